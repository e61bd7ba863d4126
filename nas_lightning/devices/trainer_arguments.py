"""The arguments of pl.Trainer that a run supports, a rule for each; docs/trainer_arguments.md explains them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import LayerSync, Precision, TorchCheckpointIO
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from typeguard import TypeCheckError, check_type

from nas_lightning.errors import InputError, check_known

Check = Callable[[Any], str | None]
"""What is wrong with a value, as the end of an error's line; None if it can be used."""

STRATEGIES = ("auto", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
"""Strategies by name; ``_target_`` also takes DDPStrategy, SingleDeviceStrategy, and classes of the user's own."""
NO_TPU = "no run on a TPU was ever tried"
REFUSED_STRATEGIES = {  # part of a name -> reason
    **dict.fromkeys(("spawn", "fork", "notebook"), "it starts new processes for every stage, and what they train is lost"),
    **dict.fromkeys(("deepspeed", "fsdp"), "it divides the weights between devices, and our layers slice whole ones"),
    **dict.fromkeys(("xla", "tpu"), NO_TPU),
    "single_device": "by name it means the CPU; auto takes the configured device",
}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PROFILERS = ("simple", "advanced", "pytorch")
PRECISIONS: Mapping[str, str | None] = {  # every name that Lightning takes -> reason to refuse it; None if supported
    **dict.fromkeys(("32-true", "32", "64-true", "64", "16-mixed", "16", "bf16-mixed", "bf16")),
    **dict.fromkeys(("16-true", "bf16-true"), "weights and norms need float32; use bf16-mixed"),
    "transformer-engine": "it replaces layers by class, and ours are not among them; use bf16-mixed",
    "transformer-engine-float16": "it replaces layers by class, and ours are not among them; use 16-mixed",
}
CALLBACKS: Mapping[str, str | None] = {  # every class of pytorch_lightning.callbacks -> why it is refused; None where it is supported
    **dict.fromkeys(("Callback", "Checkpoint", "DeviceStatsMonitor", "EarlyStopping", "LambdaCallback", "LearningRateMonitor")),
    **dict.fromkeys(("ModelCheckpoint", "ModelSummary", "OnExceptionCheckpoint", "RichModelSummary", "RichProgressBar")),
    **dict.fromkeys(("Timer", "TQDMProgressBar")),
    **dict.fromkeys(
        ("BackboneFinetuning", "BaseFinetuning"),
        "it adds parameters to an optimizer whose rates a schedule sets; make a stage of each part",
    ),
    **dict.fromkeys(
        ("EMAWeightAveraging", "WeightAveraging"),
        "panel, checkpoints and the next stage would have averages in place of what was trained",
    ),
    "BasePredictionWriter": "a ranking writes its scores itself",
    "BatchSizeFinder": "it changes the number of steps that schedule and checkpoints count by; set loader.batch_size",
    "GradientAccumulationScheduler": "a step has several paths instead",
    "LearningRateFinder": "the rate belongs to the stage; nas-tune searches for stages.<name>.optimizer.lr",
    "ModelPruning": "it takes weights out of their layers, and our layers slice them there",
    "ProgressBar": "it is a base class without a bar; use TQDMProgressBar",
    "SpikeDetection": "a step returns no loss, as it has one for each path; use stages.<name>.non_finite",
    "StochasticWeightAveraging": "it replaces the schedule, and takes norms with averages for granted; use stages.<name>.schedule",
    "ThroughputMonitor": "it needs a function of the batch, which no config can give",
}
INERT_BASES = ("BasePredictionWriter", "ProgressBar", "ThroughputMonitor")
"""Refused classes that a class of the user's own may build upon."""
OWN_STATISTICS = "the statistics of each device's own images are the method, and our layers run no BatchNorm"
DECIDED_BY = {
    "fast_dev_run": "stages.<name>.max_steps",
    "max_epochs": "stages.<name>.epochs",
    "min_epochs": "stages.<name>.epochs",
    "max_steps": "stages.<name>.max_steps",
    "min_steps": "stages.<name>.max_steps",
    "limit_test_batches": "ranking.images",
    "limit_predict_batches": "ranking.count",
    "check_val_every_n_epoch": "monitor.every_epochs",
    "default_root_dir": "run_dir",
}
"""Arguments that belong to other keys, and those keys."""
REFUSED: Mapping[str, tuple[str, Any]] = {
    "overfit_batches": ("each epoch draws its own batches; use limit_train_batches, or fewer images (data.train_images)", 0),
    "enable_checkpointing": ("a run resumes from its checkpoints", True),
    "accumulate_grad_batches": ("a step has several paths instead", 1),
    "use_distributed_sampler": ("images and candidates are divided among the devices already", False),
    "barebones": ("it writes neither metrics nor checkpoints, from which a run resumes", False),
    "sync_batchnorm": (OWN_STATISTICS, False),
    "model_registry": ("checkpoints stay in the run folder", None),
}
"""Arguments that cannot be used, with the reason and the value that changes nothing."""


def check_arguments(given: Mapping[str, Any]) -> None:
    """Checks every argument by itself, without making any object.

    Args:
        given: arguments of pl.Trainer as configured; None is Lightning's own default.
    """
    parameters = inspect.signature(pl.Trainer).parameters
    for key in given:
        check_known(f"trainer.{key}", key, parameters)
    for key, value in given.items():
        if value is not None and (wrong := _wrong(key, value, parameters[key].annotation)) is not None:
            raise InputError(f"trainer.{key}: {_shown(value)} {wrong}")


def _wrong(key: str, value: Any, annotation: Any) -> str | None:
    if key in DECIDED_BY:
        return f"cannot be given here; use {DECIDED_BY[key]}"
    if key not in REFUSED and key not in SUPPORTED:
        return "cannot be used, this version of Lightning is newer than what was tried"
    wanted = inspect.formatannotation(annotation).replace("typing.", "")
    try:
        check_type(value, annotation)
    except TypeCheckError:
        return f"is none of what pl.Trainer takes, {wanted}"
    if isinstance(value, bool) and "bool" not in wanted:
        return "must be a number, not true or false"
    if key in REFUSED:
        reason, inert = REFUSED[key]
        return None if value == inert else f"cannot be used, {reason}"
    check = SUPPORTED[key]
    return None if check is None else check(value)


def listed(value: Any) -> list[Any]:
    """A list's items; anything else as the only item."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(value: Any) -> str:
    """Values as they are, objects by class."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return repr(value) if isinstance(value, str | int | float | dict) else type(value).__name__


def _among(*names: str) -> Check:
    return lambda value: None if value in names else f"is not one of {', '.join(names)}"


def _at_least(least: int) -> Check:
    return lambda value: None if value >= least else f"must be an integer of at least {least}"


def _first_wrong(check: Check) -> Check:
    return lambda value: next((wrong for item in listed(value) if (wrong := check(item)) is not None), None)


def _share_or_number(value: float) -> str | None:
    is_one = value > 0 and (value <= 1 or value == int(value))
    return None if is_one else "must be a share of the batches, above 0 and at most 1.0, or a number of them"


def _interval(value: Any) -> str | None:
    if isinstance(value, int | float):
        return _share_or_number(value) and "must be above 0: a share of an epoch, or a number of steps"
    return "cannot be used, the panel's steps must not depend on a clock; give a share of an epoch, or a number of steps"


def _max_time(value: Any) -> str | None:
    try:
        seconds = Timer(value).time_remaining()
    except (TypeError, ValueError, MisconfigurationException):
        return "is no duration: DD:HH:MM:SS, or a mapping of days, hours, minutes, seconds to numbers"
    return None if seconds is not None and seconds > 0 else "must be longer than no time"


def _accelerator(value: Any) -> str | None:
    is_object = not isinstance(value, str) and "XLA" not in type(value).__name__
    return None if is_object else _among(*ACCELERATORS)(value)


def _strategy(value: Any) -> str | None:
    if isinstance(value, str):
        name = value.lower()
        if name in STRATEGIES:
            return None
        reason = next((reason for part, reason in REFUSED_STRATEGIES.items() if part in name), None)
        return f"is not one of {', '.join(STRATEGIES)}" + (f": {reason}" if reason else "")
    is_of_lightning = type(value).__module__.startswith(("pytorch_lightning.", "lightning_fabric.", "lightning."))
    if is_of_lightning and type(value) not in (DDPStrategy, SingleDeviceStrategy):
        return "cannot be used, only DDPStrategy and SingleDeviceStrategy can"
    if isinstance(value, DDPStrategy) and value._ddp_kwargs.get("static_graph"):
        return "cannot be used with static_graph=true, every step has other paths"
    return _first_wrong(_plugin)([part for part in (value._precision_plugin, value._checkpoint_io) if part is not None])


def _precision(value: Any) -> str | None:
    reason = PRECISIONS.get(str(value), "it is not among those tried")
    return None if reason is None else f"cannot be used, {reason}"


def _profiler(value: Any) -> str | None:
    if value == "xla":
        return f"cannot be used, {NO_TPU}"
    return _among(*PROFILERS)(value) if isinstance(value, str) else None


def _logger(value: Any) -> str | None:
    if isinstance(value, bool) or all(isinstance(item, Logger) for item in listed(value)):
        return None
    return "must be true, false, or loggers chosen by _target_"


def _callback(value: Any) -> str | None:
    if not isinstance(value, Callback):
        return "must be callbacks chosen by _target_"
    for kind in type(value).__mro__:
        if kind.__module__.partition(".")[0] != "pytorch_lightning" or (kind is not type(value) and kind.__name__ in INERT_BASES):
            continue
        reason = CALLBACKS.get(kind.__name__, "it is not among those tried")
        return None if reason is None else f"cannot be used: {kind.__name__}, {reason}"
    return None


def _plugin(value: Any) -> str | None:
    if isinstance(value, ClusterEnvironment) or type(value) is TorchCheckpointIO:
        return None
    name = type(value).__name__
    if isinstance(value, Precision):
        return f"cannot be used, {name} is chosen by trainer.precision"
    if isinstance(value, LayerSync):
        return f"cannot be used, {OWN_STATISTICS}"
    return f"cannot be used, {name} is neither a ClusterEnvironment nor TorchCheckpointIO, whose files a resumed run reads"


SUPPORTED: Mapping[str, Check | None] = {
    **dict.fromkeys(("devices", "num_nodes", "enable_progress_bar", "enable_model_summary", "deterministic", "benchmark")),
    **dict.fromkeys(("inference_mode", "detect_anomaly", "enable_autolog_hparams")),
    "accelerator": _accelerator,
    "strategy": _strategy,
    "precision": _precision,
    "logger": _logger,
    "callbacks": _first_wrong(_callback),
    "max_time": _max_time,
    "limit_train_batches": _share_or_number,
    "limit_val_batches": lambda value: _share_or_number(value or 1),
    "val_check_interval": _interval,
    "num_sanity_val_steps": _at_least(-1),
    "log_every_n_steps": _at_least(1),
    "gradient_clip_val": lambda value: None if value > 0 else "must be a number above 0",
    "gradient_clip_algorithm": _among("norm", "value"),
    "profiler": _profiler,
    "plugins": _first_wrong(_plugin),
    "reload_dataloaders_every_n_epochs": _at_least(0),
}
"""The other arguments, with the check of a value; None takes any. A test compares all of them with Lightning's and the docs."""
