"""Makes the pl.Trainer of a stage, of a ranking or of a stand-alone training from one configured set of arguments."""

import copy
import inspect
import logging
import signal
import subprocess
import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.strategies.launchers import subprocess_script
from torch.utils.data import DataLoader, Dataset
from typeguard import TypeCheckError, check_type

from nas_lightning.errors import InputError, check_at_least, check_known
from nas_lightning.processes import Watch, check_alone

OWNED = {
    "max_epochs": "stages.<name>.epochs",
    "min_epochs": "stages.<name>.epochs",
    "max_steps": "stages.<name>.max_steps",
    "min_steps": "stages.<name>.max_steps",
    "check_val_every_n_epoch": "monitor.every_epochs",
    "default_root_dir": "run_dir",
    "fast_dev_run": "stages.<name>.max_steps",
    "limit_predict_batches": "ranking.count",
}
"""Arguments of pl.Trainer that another key of ours decides."""
BUCKET = 25
"""MiB of gradients that several devices reduce at once; a supernet of this kind fits into one."""
LEAST = {"log_every_n_steps": 1, "num_sanity_val_steps": -1}
"""Of arguments that Lightning takes unchecked."""
TOO_COARSE = ("16-true", "bf16-true")
"""Precisions in which the weights themselves would be halves, and lose most of a small update."""


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
    given = {key: value for key, value in arguments.items() if value is not None}
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    for key in given:
        check_known(f"trainer.{key}", key, parameters)
    # Lightning refuses to clip with manual optimization; the module does it.
    clip, algorithm = given.pop("gradient_clip_val", None), given.pop("gradient_clip_algorithm", "norm")
    if clip is not None and not (isinstance(clip, int | float) and clip > 0):
        raise InputError(f"trainer.gradient_clip_val: {clip!r} must be a number above 0")
    if algorithm not in ("norm", "value"):
        raise InputError(f"trainer.gradient_clip_algorithm: {algorithm!r} is not one of norm, value")
    for key, other in OWNED.items():
        if key in given:
            raise InputError(f"trainer.{key}: {given[key]!r} cannot be given here; use {other}")
    if given.get("accumulate_grad_batches", 1) != 1:
        raise InputError(
            f"trainer.accumulate_grad_batches: {given['accumulate_grad_batches']} cannot be used; a step has several paths instead"
        )
    for key, value in given.items():
        try:
            check_type(value, parameters[key].annotation)
        except TypeCheckError:
            wanted = inspect.formatannotation(parameters[key].annotation).replace("typing.", "")
            raise InputError(f"trainer.{key}: {value!r} is none of what pl.Trainer takes, {wanted}") from None
        if isinstance(value, bool) and "bool" not in inspect.formatannotation(parameters[key].annotation):
            raise InputError(f"trainer.{key}: {value!r} must be a number, not true or false")
    for key, least in LEAST.items():
        if key in given:
            check_at_least(f"trainer.{key}", given[key], least)
    if given.get("val_check_interval", 1) in (0, 0.0):
        raise InputError(f"trainer.val_check_interval: {given['val_check_interval']} must be above 0")
    if isinstance(given.get("strategy"), Strategy):
        given["strategy"] = copy.deepcopy(given["strategy"])  # one serves a single Trainer, and these arguments may make several
    given.setdefault("enable_model_summary", False)
    given.setdefault("use_distributed_sampler", False)
    _quieten()
    configured_callbacks = _listed(given.pop("callbacks", []))
    if owned.get("enable_checkpointing") is False:  # beside a callback that writes checkpoints Lightning refuses it
        configured_callbacks = [callback for callback in configured_callbacks if not isinstance(callback, Checkpoint)]
    configured_loggers = given.pop("logger", True)
    if any(not isinstance(one, Logger | bool) for one in _listed(configured_loggers)):
        raise InputError(f"trainer.logger: {configured_loggers!r} must be true, false, or loggers chosen by _target_")
    loggers: Any = [*logger, *_listed(configured_loggers)] if not isinstance(configured_loggers, bool) else list(logger)
    all_of_them: dict[str, Any] = {
        "enable_progress_bar": False,
        **given,
        **owned,
        "callbacks": [*callbacks, *configured_callbacks],
        "logger": loggers or False,
    }
    try:
        trainer = pl.Trainer(**all_of_them)
        if given.get("strategy") in (None, "auto", "ddp") and type(trainer.strategy) is DDPStrategy and not _is_in_a_notebook(trainer):
            # The cap, said aloud, holds for the first bucket too, which by default is small and would cost an all-reduce of its own.
            strategy = DDPStrategy(find_unused_parameters=find_unused_parameters, bucket_cap_mb=BUCKET)
            trainer = pl.Trainer(**{**all_of_them, "strategy": strategy})
    except (TypeError, ValueError, RuntimeError, ImportError, pl.utilities.exceptions.MisconfigurationException) as error:
        shown = ", ".join(f"{key}={value}" for key, value in given.items())
        raise InputError(f"trainer: {' '.join(str(error).split())} (given: {shown})") from error
    if trainer.precision in TOO_COARSE:  # whether by trainer.precision, trainer.plugins or trainer.strategy
        raise InputError(f"trainer.precision: {trainer.precision!r} cannot be used, weights and norms need float32; use bf16-mixed")
    return trainer


def precision_of(arguments: Mapping[str, Any]) -> str:
    """What a Trainer of these arguments computes in, by Lightning's name: also where it takes another than it was given, as on CPUs."""
    return make_trainer({**arguments, "callbacks": None, "logger": None}, enable_checkpointing=False).precision


def start_processes(arguments: Mapping[str, Any]) -> None:
    """Lets Lightning start the processes of all devices, where it has not yet, and waits until each is here.

    Raises:
        InputError: in a further process of a launch that has a single device.
    """
    # Callbacks and loggers are for the real work, and a strategy serves one Trainer.
    trainer = make_trainer({**arguments, "callbacks": None, "logger": None}, enable_checkpointing=False)
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


def place() -> tuple[int, int]:
    """The number of this process, from 0, and how many were started; a process alone is 0 of 1."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def wait_for_all() -> None:
    """Waits until every process of the launch is here, however long: between trainings the usual half an hour may not do."""
    if place()[1] > 1:
        group = torch.distributed.new_group(backend="gloo", timeout=timedelta(days=365))
        torch.distributed.barrier(cast(torch.distributed.ProcessGroup, group))


def _watch(child_processes: list[subprocess.Popen[Any]]) -> None:
    Watch(child_processes).start()


class _Nothing(pl.LightningModule):
    def predict_step(self, *_: Any) -> bool:
        return True


def _is_in_a_notebook(trainer: pl.Trainer) -> bool:
    launcher = trainer.strategy.launcher
    return launcher is not None and launcher.is_interactive_compatible


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [value]


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
