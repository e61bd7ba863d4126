"""Makes the pl.Trainer of a stage, of a ranking or of a stand-alone training from one configured set of arguments."""

import inspect
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from typeguard import TypeCheckError, check_type

from nas_lightning.errors import InputError, check_at_least, check_known

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
LEAST = {"log_every_n_steps": 1, "num_sanity_val_steps": -1}
"""Of arguments that Lightning takes unchecked."""


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
    for key, ours in OWNED.items():
        if key in given:
            raise InputError(f"trainer.{key}: {given[key]!r} cannot be given here; use {ours}")
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
    given.setdefault("enable_model_summary", False)
    given.setdefault("use_distributed_sampler", False)
    takes_ddp = given.get("strategy") == "ddp" or (
        given.get("strategy") in (None, "auto") and given.get("devices") not in (None, 1, "1", "auto")
    )
    if find_unused_parameters and takes_ddp:
        given["strategy"] = "ddp_find_unused_parameters_true"
    _quieten()
    configured_callbacks = _listed(given.pop("callbacks", []))
    configured_loggers = given.pop("logger", True)
    if any(not isinstance(one, Logger | bool) for one in _listed(configured_loggers)):
        raise InputError(f"trainer.logger: {configured_loggers!r} must be true, false, or loggers chosen by _target_")
    loggers: Any = [*logger, *_listed(configured_loggers)] if not isinstance(configured_loggers, bool) else list(logger)
    try:
        return pl.Trainer(
            **{"enable_progress_bar": False, **given, **owned},
            callbacks=[*callbacks, *configured_callbacks],
            logger=loggers or False,
        )
    except (TypeError, ValueError, RuntimeError, ImportError, pl.utilities.exceptions.MisconfigurationException) as error:
        shown = ", ".join(f"{key}={value}" for key, value in given.items())
        raise InputError(f"trainer: {' '.join(str(error).split())} (given: {shown})") from error


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [value]


def _quieten() -> None:
    # What Lightning says of devices, workers and tips is not news to who runs this; warnings of substance stay.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _NO_NEWS:
        warnings.filterwarnings("ignore", message=message)


_NO_NEWS = (
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    ".*Couldn't infer the batch indices.*",
    ".*You passed in a `val_dataloader` but have no `validation_step`.*",
)
