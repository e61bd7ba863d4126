"""The arguments of pl.Trainer that a run supports, a rule for each; docs/trainer_arguments.md shows them as tables."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
STARTS_ANEW = "it starts new processes for every stage, and what they train is lost"
DIVIDES = "it divides the weights between devices, and our layers slice whole ones"
NO_TPU = "no run on a TPU was ever tried"
REFUSED_STRATEGIES = {  # part of a name -> reason
    "spawn": STARTS_ANEW,
    "fork": STARTS_ANEW,
    "notebook": STARTS_ANEW,
    "deepspeed": DIVIDES,
    "fsdp": DIVIDES,
    "xla": NO_TPU,
    "tpu": NO_TPU,
    "single_device": "by name it means the CPU; auto takes the configured device",
}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = {  # every name that Lightning takes -> reason to refuse it; None if supported
    "32-true": None,
    "32": None,
    "64-true": None,
    "64": None,
    "16-mixed": None,
    "16": None,
    "bf16-mixed": None,
    "bf16": None,
    "16-true": "weights and norms need float32; use bf16-mixed",
    "bf16-true": "weights and norms need float32; use bf16-mixed",
    "transformer-engine": "it replaces layers by class, and ours are not among them; use bf16-mixed",
    "transformer-engine-float16": "it replaces layers by class, and ours are not among them; use 16-mixed",
}
PROFILERS = ("simple", "advanced", "pytorch")
FINETUNING = "it adds parameters to an optimizer whose rates a schedule sets; make a stage of each part"
AVERAGES = "panel, checkpoints and the next stage would have averages in place of what was trained"
CALLBACKS = {  # every class of pytorch_lightning.callbacks -> why it is refused; None where it is supported
    "BackboneFinetuning": FINETUNING,
    "BaseFinetuning": FINETUNING,
    "BasePredictionWriter": "a ranking writes its scores itself",
    "BatchSizeFinder": "it changes the number of steps that schedule and checkpoints count by; set loader.batch_size",
    "Callback": None,
    "Checkpoint": None,
    "DeviceStatsMonitor": None,
    "EarlyStopping": None,
    "EMAWeightAveraging": AVERAGES,
    "GradientAccumulationScheduler": "a step has several paths instead",
    "LambdaCallback": None,
    "LearningRateFinder": "the rate belongs to the stage; nas-tune searches for stages.<name>.optimizer.lr",
    "LearningRateMonitor": None,
    "ModelCheckpoint": None,
    "ModelPruning": "it takes weights out of their layers, and our layers slice them there",
    "ModelSummary": None,
    "OnExceptionCheckpoint": None,
    "ProgressBar": "it is a base class without a bar; use TQDMProgressBar",
    "RichModelSummary": None,
    "RichProgressBar": None,
    "SpikeDetection": "a step returns no loss, as it has one for each path; use stages.<name>.non_finite",
    "StochasticWeightAveraging": "it replaces the schedule, and takes norms with averages for granted; use stages.<name>.schedule",
    "ThroughputMonitor": "it needs a function of the batch, which no config can give",
    "Timer": None,
    "TQDMProgressBar": None,
    "WeightAveraging": AVERAGES,
}
INERT_BASES = ("BasePredictionWriter", "ProgressBar", "ThroughputMonitor")
"""Refused classes that a class of the user's own may build upon."""
OWN_STATISTICS = "the statistics of each device's own images are the method, and our layers run no BatchNorm"


@dataclass(frozen=True)
class Rule:
    """How a run treats an argument.

    Args:
        status: ``supported``, ``refused``, or ``decided by`` a key; the table's second column.
        note: the table's third.
        check: of a given value; None takes any.
    """

    status: str
    note: str = ""
    check: Check | None = None


def check_arguments(given: Mapping[str, Any]) -> None:
    """Checks every argument by itself, without making any object.

    Args:
        given: arguments of pl.Trainer as configured; None is Lightning's own default.

    Raises:
        InputError: naming the first unusable argument, with the reason.
    """
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    for key in given:
        check_known(f"trainer.{key}", key, parameters)
    for key, value in given.items():
        if value is None:
            continue
        rule = RULES.get(key, _UNKNOWN)
        if rule.status in ("supported", "refused"):  # the value of a key that belongs elsewhere does not matter
            _check_type(key, value, parameters[key].annotation)
        if rule.check is not None and (wrong := rule.check(value)) is not None:
            raise InputError(f"trainer.{key}: {_shown(value)} {wrong}")


def _check_type(key: str, value: Any, annotation: Any) -> None:
    wanted = inspect.formatannotation(annotation).replace("typing.", "")
    try:
        check_type(value, annotation)
    except TypeCheckError:
        raise InputError(f"trainer.{key}: {_shown(value)} is none of what pl.Trainer takes, {wanted}") from None
    if isinstance(value, bool) and "bool" not in wanted:
        raise InputError(f"trainer.{key}: {value!r} must be a number, not true or false")


def listed(value: Any) -> list[Any]:
    """A list's items; anything else as the only item."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(value: Any) -> str:
    """Values as they are, objects by class."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return repr(value) if isinstance(value, str | int | float | dict) else type(value).__name__


def _is_of_lightning(value: object) -> bool:
    return type(value).__module__.partition(".")[0] in ("pytorch_lightning", "lightning_fabric", "lightning")


def _refused(reason: str, *, but: tuple[Any, ...] = ()) -> Rule:
    """An argument that cannot be used, except for values that change nothing."""
    return Rule("refused", reason, lambda value: None if value in but else f"cannot be used, {reason}")


def _decided_by(key: str) -> Rule:
    return Rule(f"decided by {key}", "", lambda _: f"cannot be given here; use {key}")


def _above_0(value: float) -> str | None:
    return None if value > 0 else "must be a number above 0"


def _among(*names: str) -> Check:
    return lambda value: None if value in names else f"is not one of {', '.join(names)}"


def _at_least(least: int) -> Check:
    return lambda value: None if value >= least else f"must be an integer of at least {least}"


def _first_wrong(check: Check) -> Check:
    return lambda value: next((wrong for item in listed(value) if (wrong := check(item)) is not None), None)


def _share_or_number(value: float) -> str | None:
    if value > 0 and (value <= 1 or value == int(value)):
        return None
    return "must be a share of the batches, above 0 and at most 1.0, or a number of them"


def _interval(value: Any) -> str | None:
    if isinstance(value, int | float):
        return None if value > 0 and (value <= 1 or value == int(value)) else "must be above 0: a share of an epoch, or a number of steps"
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
    if _is_of_lightning(value) and type(value) not in (DDPStrategy, SingleDeviceStrategy):
        return "cannot be used, only DDPStrategy and SingleDeviceStrategy can"
    if isinstance(value, DDPStrategy) and value._ddp_kwargs.get("static_graph"):
        return "cannot be used with static_graph=true, every step has other paths"
    return _first_wrong(_plugin)([part for part in (value._precision_plugin, value._checkpoint_io) if part is not None])


def _precision(value: Any) -> str | None:
    reason = PRECISIONS.get(str(value), "it is not among those tried")
    return None if reason is None else f"cannot be used, {reason}"


def _profiler(value: Any) -> str | None:
    name = value if isinstance(value, str) else type(value).__name__
    if "xla" in name.lower():
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


RULES: Mapping[str, Rule] = {
    "accelerator": Rule("supported", ", ".join(ACCELERATORS), _accelerator),
    "strategy": Rule("supported", f"{', '.join(STRATEGIES)}; see below", _strategy),
    "devices": Rule("supported"),
    "num_nodes": Rule("supported", "with a launcher (torchrun, srun), or NODE_RANK, MASTER_ADDR and MASTER_PORT on each node"),
    "precision": Rule("supported", "32-true, 64-true, 16-mixed, bf16-mixed; see below", _precision),
    "logger": Rule("supported", "beside metrics.csv and TensorBoard, which are always written", _logger),
    "callbacks": Rule("supported", "see below", _first_wrong(_callback)),
    "fast_dev_run": _decided_by("stages.<name>.max_steps"),
    "max_epochs": _decided_by("stages.<name>.epochs"),
    "min_epochs": _decided_by("stages.<name>.epochs"),
    "max_steps": _decided_by("stages.<name>.max_steps"),
    "min_steps": _decided_by("stages.<name>.max_steps"),
    "max_time": Rule("supported", "of each stage; the same command resumes it", _max_time),
    "limit_train_batches": Rule("supported", "shortens every epoch, and the schedule with it; at least one batch", _share_or_number),
    "limit_val_batches": Rule("supported", "of the held-out images; 0 evaluates no panel", lambda value: _share_or_number(value or 1)),
    "limit_test_batches": _decided_by("ranking.images"),
    "limit_predict_batches": _decided_by("ranking.count"),
    "overfit_batches": _refused("each epoch draws its own batches; use limit_train_batches, or fewer images (data.train_images)", but=(0,)),
    "val_check_interval": Rule("supported", "a share of an epoch, or a number of steps up to an epoch's; no duration", _interval),
    "check_val_every_n_epoch": _decided_by("monitor.every_epochs"),
    "num_sanity_val_steps": Rule("supported", "-1 or more", _at_least(-1)),
    "log_every_n_steps": Rule("supported", "1 or more", _at_least(1)),
    "enable_checkpointing": _refused("a run resumes from its checkpoints", but=(True,)),
    "enable_progress_bar": Rule("supported", "true adds Lightning's bar to ours"),
    "enable_model_summary": Rule("supported"),
    "accumulate_grad_batches": _refused("a step has several paths instead", but=(1,)),
    "gradient_clip_val": Rule("supported", "above 0; clipped after the passes of a step", _above_0),
    "gradient_clip_algorithm": Rule("supported", "norm, value", _among("norm", "value")),
    "deterministic": Rule("supported"),
    "benchmark": Rule("supported"),
    "inference_mode": Rule("supported"),
    "use_distributed_sampler": _refused("images and candidates are divided among the devices already", but=(False,)),
    "profiler": Rule("supported", f"{', '.join(PROFILERS)}; writes into the stage's folder", _profiler),
    "detect_anomaly": Rule("supported"),
    "barebones": _refused("it writes neither metrics nor checkpoints, from which a run resumes", but=(False,)),
    "plugins": Rule("supported", "a ClusterEnvironment; precision is chosen by trainer.precision", _first_wrong(_plugin)),
    "sync_batchnorm": _refused(OWN_STATISTICS, but=(False,)),
    "reload_dataloaders_every_n_epochs": Rule("supported", "0 or more", _at_least(0)),
    "default_root_dir": _decided_by("run_dir"),
    "enable_autolog_hparams": Rule("supported", "changes nothing, config.yaml has all keys"),
    "model_registry": _refused("checkpoints stay in the run folder"),
}
"""Every parameter of pl.Trainer; a test compares this with Lightning's signature and with the docs."""
_UNKNOWN = Rule("refused", "", lambda _: "cannot be used, this version of Lightning is newer than what was tried")
