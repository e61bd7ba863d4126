"""The classes allowed at each key: for a ``_target_`` no other class is imported, inspected or called.

Your own class may also take a role, once the command line names its package: ``plugins=[my_package]``.
"""

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from hydra.utils import get_object

from nas_lightning.errors import InputError, suggestion

MOVED = {
    "nas_lightning.schedule.OriginalCosine": "nas_lightning.training.schedules.EpochwiseCosine",
    "nas_lightning.sampling.": "nas_lightning.training.samplers.",
    "nas_lightning.objective.": "nas_lightning.training.objectives.",
    "nas_lightning.schedule.": "nas_lightning.training.schedules.",
}
"""Old and new places of classes that configs of older versions name."""
GONE = {
    "max_mib": "the variable NAS_LIGHTNING_MAX_MIB sets the limit of all files",
    "ranking.smoothing": "ranking.predictor chooses what is predicted from the widths",
    "ranking.smoothing_candidates": "ranking.fitted_on sets their number",
}
"""Ends of keys of older versions, and their replacements."""


def of_today(name: str) -> str:
    """The current dotted path of a class."""
    return next((name.replace(old, new, 1) for old, new in MOVED.items() if name.startswith(old)), name)


def as_of_today(node: Any, key: str = "") -> Any:
    """A config of an older version as today's writes it: classes by their present paths, no keys that are gone, no nulls of the Trainer."""
    if isinstance(node, Mapping):
        kept = {name: value for name, value in node.items() if name not in GONE and (key != "trainer" or value is not None)}
        return {name: as_of_today(value, str(name)) for name, value in kept.items()}
    if isinstance(node, list):
        return [as_of_today(item) for item in node]
    return of_today(node) if key == "_target_" and isinstance(node, str) else node


@dataclass(frozen=True)
class Role:
    """What a key or an argument may hold.

    No class in a role deletes or overwrites a file named by its arguments, unpickles, starts a program or connects.

    Args:
        title: for errors.
        kind: dotted path of the base class, or of the protocol whose methods a class must have.
        modules: their public classes of this kind are allowed, if defined below one of the modules.
        classes: other single classes.
        without: excluded names in the modules.
        libraries: modules whose functions that build networks, as ``list_models`` names them, are allowed.
    """

    title: str
    kind: str
    modules: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def fits(self, candidate: type) -> bool:
        """Whether a class is of this kind: a subclass, or with a protocol's methods."""
        kind = get_object(self.kind)
        if Protocol not in kind.__bases__:
            return issubclass(candidate, kind)
        methods = [name for name, value in vars(kind).items() if inspect.isfunction(value) and (name == "__call__" or name[0] != "_")]
        return all(any(callable(vars(base).get(name)) for base in candidate.__mro__) for name in methods)

    def missing(self, made: Any) -> list[str]:
        """The attributes of a protocol that an object lacks."""
        kind = get_object(self.kind)
        return [name for name in _attributes(kind) if not hasattr(made, name)] if Protocol in kind.__bases__ else []

    def refuse(self, name: str) -> InputError:
        """The error for a class that is not allowed."""
        homes = {*self.modules, *self.libraries, *(path.rpartition(".")[0] for path in self.classes)}
        hint = suggestion(name, allowed(self)) if name.rpartition(".")[0] in homes else ""
        libraries = [f"the networks of {library}" for library in self.libraries]
        known = ", ".join([*(f"the classes of {module}" for module in self.modules), *self.classes, *libraries])
        return InputError(f"{name} is not allowed as {self.title}{hint} (known: {known}; the command line's plugins add your own package)")


def _attributes(protocol: type) -> list[str]:
    """The names of a protocol's annotated attributes and properties."""
    return [*getattr(protocol, "__annotations__", {}), *(name for name, value in vars(protocol).items() if isinstance(value, property))]


@cache
def allowed(role: Role) -> Mapping[str, Any]:
    """The classes of a role by every allowed dotted path: where they are offered, and where they are defined."""
    below = tuple(f"{module}." for module in role.modules)
    offered = {path: get_object(path) for path in role.classes}
    for library in map(importlib.import_module, role.libraries):
        offered |= {f"{library.__name__}.{name}": library.get_model_builder(name) for name in library.list_models(library)}
    for module in map(importlib.import_module, role.modules):
        for name in getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]:
            kind = getattr(module, name)
            if name in role.without:
                continue
            if isinstance(kind, type) and f"{kind.__module__}.".startswith(below) and role.fits(kind) and kind is not get_object(role.kind):
                offered[f"{module.__name__}.{name}"] = kind
    return {**{f"{kind.__module__}.{kind.__qualname__}": kind for kind in offered.values()}, **offered}


def _in(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names)


_CALLABLE = "collections.abc.Callable"
SPACE = Role("a space", "nas_lightning.space.Space", classes=_in("nas_lightning.space", "SearchSpace", "ListedSpace"))
NETWORK = Role("a network", "torch.nn.Module", libraries=("torchvision.models",))
DATASET = Role("a data set", "nas_lightning.data.ImageDataset", ("nas_lightning.data",))
AUGMENTATION = Role("an augmentation", _CALLABLE, classes=_in("nas_lightning.data", "Augmentation", "PerImage"))
SAMPLER = Role("a sampler", "nas_lightning.training.samplers.Sampler", ("nas_lightning.training.samplers",))
OBJECTIVE = Role("an objective", "nas_lightning.training.objectives.Objective", ("nas_lightning.training.objectives",))
SCHEDULE = Role("a schedule", "nas_lightning.training.schedules.Schedule", ("nas_lightning.training.schedules",))
OPTIMIZER = Role("an optimizer", "torch.optim.Optimizer", ("torch.optim",))

_OPERATIONS = _in(
    "nas_lightning.data", "RandomCrop", "RandomResizedCrop", "RandomHorizontalFlip", "RandomRotation", "Cutout", "ColorJitter"
)
_OPERATION = Role("an operation on images", _CALLABLE, classes=_OPERATIONS)
_TORCHVISION = ("torchvision.transforms", "torchvision.transforms.v2")
_TRANSFORM = Role("a transform of an image", _CALLABLE, _TORCHVISION, ("nas_lightning.data.ImageCutout",))
_DIVERGENCES = _in("nas_lightning.training.objectives", "KLDivergence", "AlphaDivergence")
_DIVERGENCE = Role("a divergence", "nas_lightning.training.objectives.Divergence", classes=_DIVERGENCES)
_CHOICE = Role("a choice of candidates", _CALLABLE, ("nas_lightning.space.population",))
# SpikeDetection overwrites any file it is given; other loggers send to a server; XLA's profiler opens a port.
_CALLBACKS = ("pytorch_lightning.callbacks",)
_CALLBACK = Role("a callback", "pytorch_lightning.callbacks.Callback", _CALLBACKS, without=("SpikeDetection",))
_LOGGERS = _in("pytorch_lightning.loggers", "CSVLogger", "TensorBoardLogger")
_LOGGER = Role("a logger", "pytorch_lightning.loggers.Logger", classes=_LOGGERS)
_PROFILERS = _in("pytorch_lightning.profilers", "SimpleProfiler", "AdvancedProfiler", "PyTorchProfiler", "PassThroughProfiler")
_PROFILER = Role("a profiler", "pytorch_lightning.profilers.Profiler", classes=_PROFILERS)
_STRATEGY = Role("a strategy", "pytorch_lightning.strategies.Strategy", ("pytorch_lightning.strategies",))
_ACCELERATOR = Role("an accelerator", "pytorch_lightning.accelerators.Accelerator", ("pytorch_lightning.accelerators",))
_PRECISION = Role("a precision plugin", "pytorch_lightning.plugins.Precision", ("pytorch_lightning.plugins",))
_ENVIRONMENTS = ("pytorch_lightning.plugins.environments", "lightning_fabric.plugins.environments")
_ENVIRONMENT = Role("a cluster environment", "lightning_fabric.plugins.environments.ClusterEnvironment", _ENVIRONMENTS)
_PLUGINS = ("pytorch_lightning.plugins", "lightning_fabric.plugins")
_CHECKPOINTS = Role("a way to keep checkpoints", "pytorch_lightning.plugins.CheckpointIO", _PLUGINS)
_SYNC = Role("a layer synchronization", "pytorch_lightning.plugins.LayerSync", ("pytorch_lightning.plugins",))
_THEME_CLASS = "pytorch_lightning.callbacks.progress.rich_progress.RichProgressBarTheme"
_THEME = Role("a theme of the progress bar", _THEME_CLASS, classes=(_THEME_CLASS,))

ARGUMENTS: Mapping[str, tuple[Role, ...]] = {
    # of our classes and torchvision's
    "choose": (_CHOICE,),
    "divergence": (_DIVERGENCE,),
    "operations": (_OPERATION,),
    "transforms": (_TRANSFORM,),
    # of pl.Trainer
    "callbacks": (_CALLBACK,),
    "logger": (_LOGGER,),
    "profiler": (_PROFILER,),
    "strategy": (_STRATEGY,),
    "accelerator": (_ACCELERATOR,),
    "plugins": (_PRECISION, _ENVIRONMENT, _CHECKPOINTS, _SYNC),
    # of Lightning's classes
    "cluster_environment": (_ENVIRONMENT,),
    "checkpoint_io": (_CHECKPOINTS,),
    "precision_plugin": (_PRECISION,),
    "theme": (_THEME,),
}
"""The roles of arguments, by name, of pl.Trainer and of the classes above; no other argument may hold an object."""
EVERY = (SPACE, DATASET, AUGMENTATION, SAMPLER, OBJECTIVE, SCHEDULE, OPTIMIZER, *dict.fromkeys(sum(ARGUMENTS.values(), ())))
"""The roles of any argument of a user's own class."""
