"""Makes the pl.Trainer of a stage, a ranking or a stand-alone training from one configured set of arguments."""

import copy
import logging
import os
import signal
import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint, ProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, subprocess_script
from torch.utils.data import DataLoader, Dataset

from nas_lightning.devices.launch import Watch, check_alone
from nas_lightning.devices.trainer_arguments import check_arguments, listed
from nas_lightning.errors import InputError

BUCKET = 25
"""MiB of gradients that several devices reduce at once; a whole supernet of this kind fits."""
RENDEZVOUS = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables that each node needs without a launcher known to Lightning."""


def make_trainer(
    arguments: Mapping[str, Any],
    *,
    callbacks: Sequence[Callback] = (),
    logger: Sequence[Logger] = (),
    find_unused_parameters: bool = False,
    **owned: Any,
) -> pl.Trainer:
    """A quiet Trainer with our callbacks and loggers besides the configured ones.

    Args:
        arguments: of pl.Trainer as configured; None takes Lightning's own default.
        callbacks: ours.
        logger: ours.
        find_unused_parameters: whether a path can leave parameters without gradient, which plain DDP does not allow.
        owned: arguments set by the caller.

    Raises:
        InputError: for an argument that another key decides, or a value that Lightning refuses.
    """
    check_arguments(arguments)
    clipping = ("gradient_clip_val", "gradient_clip_algorithm")  # refused by Lightning; the module clips
    given = {key: value for key, value in arguments.items() if value is not None and key not in clipping}
    if isinstance(given.get("strategy"), Strategy):
        given["strategy"] = copy.deepcopy(given["strategy"])  # a strategy serves only one Trainer
    _quieten()
    configured_callbacks = listed(given.pop("callbacks", []))
    if not owned.get("enable_checkpointing", True):  # checkpoints are for the stages
        configured_callbacks = [callback for callback in configured_callbacks if not isinstance(callback, Checkpoint)]
    configured_loggers = given.pop("logger", True)
    loggers = list(logger) if isinstance(configured_loggers, bool) else [*logger, *listed(configured_loggers)]
    all_of_them: dict[str, Any] = {
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "enable_progress_bar": any(isinstance(callback, ProgressBar) for callback in configured_callbacks),
        **given,
        **owned,
        "callbacks": [*callbacks, *configured_callbacks],
        "logger": loggers or False,
    }
    try:
        trainer = pl.Trainer(**all_of_them)
        _check_launch(trainer)
        if given.get("strategy") in (None, "auto", "ddp") and type(trainer.strategy) is DDPStrategy:
            # Set explicitly, the cap also applies to DDP's first bucket, otherwise small and an extra all-reduce.
            ddp = DDPStrategy(find_unused_parameters=find_unused_parameters, bucket_cap_mb=BUCKET)
            trainer = pl.Trainer(**{**all_of_them, "strategy": ddp})
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ImportError, pl.utilities.exceptions.MisconfigurationException) as error:
        pairs = ", ".join(f"{key}={value}" for key, value in given.items())
        raise InputError(f"trainer: {' '.join(str(error).split())} (given: {pairs})") from error
    strategy = trainer.strategy
    if find_unused_parameters and isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise InputError(
            f"trainer.strategy: {given['strategy']} cannot be used with this supernet, whose paths leave out parameters; use ddp"
        )
    profiler: Any = vars(trainer)["profiler"]
    if "default_root_dir" in owned and not isinstance(profiler, PassThroughProfiler | None):  # else its report would go to a silenced log
        profiler.dirpath = profiler.dirpath or str(owned["default_root_dir"])
        profiler.filename = profiler.filename or "profile"
    return trainer


def limited(batches: int, limit: float) -> int:
    """Number of an epoch's batches that Lightning takes: at most an integer ``limit``, or this share, rounded down."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def precision_of(arguments: Mapping[str, Any]) -> str:
    """The precision of a Trainer with these arguments, by Lightning's name, which may differ from theirs on CPUs."""
    return make_trainer({**arguments, "callbacks": None, "logger": None}, enable_checkpointing=False).precision


def start_processes(arguments: Mapping[str, Any]) -> None:
    """Lets Lightning start the processes of all devices, if it has not yet, and waits until all have started.

    Raises:
        InputError: in another process than rank zero if there is a single device.
    """
    # Callbacks, loggers and profiler are for the real work, and a strategy serves only one Trainer.
    trainer = make_trainer({**arguments, "callbacks": None, "logger": None, "profiler": None}, enable_checkpointing=False)
    if trainer.world_size == 1:
        check_alone()
    elif not torch.distributed.is_initialized():
        # Lightning's own silently kills this process.
        subprocess_script._launch_process_observer = lambda child_processes: Watch(child_processes).start()
        trainer.predict(_Nothing(), DataLoader(cast(Dataset[int], range(1)), batch_size=None), return_predictions=False)


def end_at_once(trainer: pl.Trainer) -> None:
    """Restores the previous SIGTERM handler: Lightning's delays the signal and then exits with success."""
    if threading.current_thread() is threading.main_thread():
        before: Any = trainer._signal_connector._original_handlers.get(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def rank_and_world_size() -> tuple[int, int]:
    """The rank of this process and the number of processes; (0, 1) for a single process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def wait_for_all() -> None:
    """Waits for every process of the launch, without the usual limit of half an hour."""
    if rank_and_world_size()[1] > 1:
        group = torch.distributed.new_group(backend="gloo", timeout=timedelta(days=365))
        torch.distributed.barrier(cast(torch.distributed.ProcessGroup, group))


class _Nothing(pl.LightningModule):
    def predict_step(self, *_: Any) -> bool:
        return True


def _check_launch(trainer: pl.Trainer) -> None:
    """Refuses processes that would not outlive a stage, or would wait for processes that nobody starts."""
    strategy = trainer.strategy
    if isinstance(strategy.launcher, _MultiProcessingLauncher):  # chosen by start_method, or by Lightning in a notebook
        raise InputError(
            f"trainer.devices: {trainer.num_devices} cannot be used in a notebook, nor a strategy that spawns or forks: it starts new "
            "processes for every stage, and what they train is lost; run a script"
        )
    environment = getattr(strategy, "cluster_environment", None)
    if environment is None or trainer.world_size == 1:
        return
    missing = [name for name in RENDEZVOUS if name not in os.environ]
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment) and missing:
        raise InputError(
            f"trainer.num_nodes: {trainer.num_nodes} needs a launcher (torchrun, srun), or {', '.join(missing)} in the environment of "
            "each node; without, this one would wait for the others for ever"
        )
    if environment.creates_processes_externally:
        environment.validate_settings(num_devices=trainer.num_devices, num_nodes=trainer.num_nodes)


def _quieten() -> None:
    # Silences Lightning's messages on devices, workers and tips; other warnings stay.
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=message)


_NO_NEWS = (
    ".*to use `self.log.*sync_dist=True.*",  # our metrics are reduced before they are logged
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*Couldn't infer the batch indices.*",
    ".*method of metric .* was called before the ``update`` method.*",  # an epoch whose steps were all skipped
    ".*You passed in a `val_dataloader` but have no `validation_step`.*",
    ".*GPU available but not used.*",  # trainer chooses
    ".*there was no current CUDA context.*",  # of autograd's thread, which then takes the device's
)
