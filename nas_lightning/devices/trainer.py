"""Makes the pl.Trainer of a stage, of a ranking or of a stand-alone training from one configured set of arguments."""

import copy
import logging
import os
import signal
import subprocess
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
"""MiB of gradients that several devices reduce at once; a supernet of this kind fits into one."""
RENDEZVOUS = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What each node's environment must hold where no launcher is known to Lightning."""


def make_trainer(
    arguments: Mapping[str, Any],
    *,
    callbacks: Sequence[Callback] = (),
    logger: Sequence[Logger] = (),
    find_unused_parameters: bool = False,
    **owned: Any,
) -> pl.Trainer:
    """A quiet Trainer: our callbacks and loggers beside the configured ones.

    Args:
        arguments: of pl.Trainer as configured; None takes Lightning's own default.
        callbacks: ours.
        logger: ours.
        find_unused_parameters: whether a path can leave parameters without gradient, which plain DDP does not allow.
        owned: arguments that the caller decides.

    Raises:
        InputError: for an argument that another key decides, or a value that Lightning refuses.
    """
    check_arguments(arguments)
    given = {key: value for key, value in arguments.items() if value is not None}
    if isinstance(given.get("strategy"), Strategy):
        given["strategy"] = copy.deepcopy(given["strategy"])  # one serves a single Trainer, and these arguments may make several
    for clipping in ("gradient_clip_val", "gradient_clip_algorithm"):  # Lightning refuses them with manual optimization; the module clips
        given.pop(clipping, None)
    given.setdefault("enable_model_summary", False)
    given.setdefault("use_distributed_sampler", False)
    _quieten()
    configured_callbacks = listed(given.pop("callbacks", []))
    if not owned.get("enable_checkpointing", True):  # they are for the stages
        configured_callbacks = [callback for callback in configured_callbacks if not isinstance(callback, Checkpoint)]
    configured_loggers = given.pop("logger", True)
    loggers = list(logger) if isinstance(configured_loggers, bool) else [*logger, *listed(configured_loggers)]
    all_of_them: dict[str, Any] = {
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
            # The cap, said aloud, holds for the first bucket too, which by default is small and would cost an all-reduce of its own.
            ddp = DDPStrategy(find_unused_parameters=find_unused_parameters, bucket_cap_mb=BUCKET)
            trainer = pl.Trainer(**{**all_of_them, "strategy": ddp})
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ImportError, pl.utilities.exceptions.MisconfigurationException) as error:
        shown = ", ".join(f"{key}={value}" for key, value in given.items())
        raise InputError(f"trainer: {' '.join(str(error).split())} (given: {shown})") from error
    strategy = trainer.strategy
    if find_unused_parameters and isinstance(strategy, DDPStrategy) and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise InputError(
            f"trainer.strategy: {given['strategy']} cannot be used with this supernet, whose paths leave out parameters; use ddp"
        )
    profiler: Any = vars(trainer)["profiler"]
    if "default_root_dir" in owned and not isinstance(
        profiler, PassThroughProfiler | None
    ):  # else its report would go to a log that is silent
        profiler.dirpath = profiler.dirpath or str(owned["default_root_dir"])
        profiler.filename = profiler.filename or "profile"
    return trainer


def limited(batches: int, limit: float) -> int:
    """How many of an epoch's batches Lightning takes: at most ``limit`` where that is an integer, else this share, rounded down."""
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def precision_of(arguments: Mapping[str, Any]) -> str:
    """What a Trainer of these arguments computes in, by Lightning's name: also where it takes another than it was given, as on CPUs."""
    return make_trainer({**arguments, "callbacks": None, "logger": None}, enable_checkpointing=False).precision


def start_processes(arguments: Mapping[str, Any]) -> None:
    """Lets Lightning start the processes of all devices, where it has not yet, and waits until each is here.

    Raises:
        InputError: in a further process of a launch that has a single device.
    """
    check_arguments(arguments)
    # Callbacks, loggers and profiler are for the real work, and a strategy serves one Trainer.
    trainer = make_trainer({**arguments, "callbacks": None, "logger": None, "profiler": None}, enable_checkpointing=False)
    if trainer.world_size == 1:
        check_alone()
    elif not torch.distributed.is_initialized():
        subprocess_script._launch_process_observer = _watch  # Lightning's own kills this process without a word
        trainer.predict(_Nothing(), DataLoader(cast(Dataset[int], range(1)), batch_size=None), return_predictions=False)


def end_at_once(trainer: pl.Trainer) -> None:
    """Gives SIGTERM back to who had it before the Trainer, which puts it off and then ends as if nothing had been asked."""
    if threading.current_thread() is threading.main_thread():
        before: Any = trainer._signal_connector._original_handlers.get(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def rank_and_world_size() -> tuple[int, int]:
    """The number of this process, from 0, and how many were started; a process alone is 0 of 1."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def wait_for_all() -> None:
    """Waits until every process of the launch is here, however long: between trainings the usual half an hour may not do."""
    if rank_and_world_size()[1] > 1:
        group = torch.distributed.new_group(backend="gloo", timeout=timedelta(days=365))
        torch.distributed.barrier(cast(torch.distributed.ProcessGroup, group))


def _watch(child_processes: list[subprocess.Popen[Any]]) -> None:
    Watch(child_processes).start()


class _Nothing(pl.LightningModule):
    def predict_step(self, *_: Any) -> bool:
        return True


def _check_launch(trainer: pl.Trainer) -> None:
    """Refuses processes that would not outlive a stage, or would wait for others that nobody starts.

    Raises:
        ValueError: where the launcher has started another number of processes.
    """
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
    # What Lightning says of devices, workers and tips is not news to who runs this; warnings of substance stay.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=message)


_NO_NEWS = (
    ".*to use `self.log.*sync_dist=True.*",  # our metrics are reduced over the processes before they are logged
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*Couldn't infer the batch indices.*",
    ".*method of metric .* was called before the ``update`` method.*",  # an epoch whose steps were all skipped
    ".*You passed in a `val_dataloader` but have no `validation_step`.*",
)
