"""Makes the objects that ``_target_`` nodes of a config describe."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra.utils import get_object

from nas_lightning.config.read import join
from nas_lightning.config.schema import Target
from nas_lightning.errors import InputError, check_known

PACKAGES = ("nas_lightning", "torch", "torchvision", "pytorch_lightning", "torchmetrics")
"""Where ``_target_`` may point without being asked."""


@dataclass(frozen=True)
class Builder:
    """Builds objects from nodes.

    Args:
        plugins: further packages that ``_target_`` may point to.
        offered: arguments given to every constructor that takes them and is not given them by the config.
    """

    plugins: tuple[str, ...] = ()
    offered: Mapping[str, Any] | None = None

    def offering(self, **offered: Any) -> "Builder":
        """The same, with more arguments offered."""
        return Builder(self.plugins, {**(self.offered or {}), **offered})

    def build(self, target: Target | Mapping[str, Any], place: str) -> Any:
        """Makes the object that a node describes; nested nodes first.

        Args:
            target: the node.
            place: its key, for errors.

        Raises:
            InputError: for a class outside the allowed packages, an unknown argument, or a value that the class refuses.
        """
        node = dict(target.node if isinstance(target, Target) else target)
        name, is_partial = node.pop("_target_", None), node.pop("_partial_", False)
        node.pop("_convert_", None)  # a hint to Hydra; values here are plain already
        made = self._locate(name, place)
        parameters = inspect.signature(made).parameters
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        arguments = {key: value for key, value in (self.offered or {}).items() if key in parameters}
        for key, value in node.items():
            if not takes_any:
                check_known(join(place, str(key)), str(key), parameters)
            arguments[str(key)] = self._nested(value, join(place, str(key)))
        try:
            return partial(made, **arguments) if is_partial else made(**arguments)
        except InputError as error:
            raise InputError(_placed(str(error), place)) from None
        except (TypeError, ValueError) as error:
            raise InputError(f"{place}: {name} does not take these values ({' '.join(str(error).split())})") from error

    def build_values(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """The mapping with every ``_target_`` node in it built."""
        return {key: self._nested(value, join(place, key)) for key, value in values.items()}

    def _nested(self, value: Any, place: str) -> Any:
        if isinstance(value, Mapping):
            if "_target_" in value:
                return self.build(value, place)
            return {key: self._nested(item, join(place, str(key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self._nested(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return value

    def _locate(self, name: Any, place: str) -> Callable[..., Any]:
        if not isinstance(name, str) or "." not in name:
            raise InputError(f"{place}._target_: {name!r} must be the dotted path of a class")
        allowed = (*PACKAGES, *self.plugins)
        if name.split(".")[0] not in allowed:
            raise InputError(f"{place}._target_: {name} is not below one of {', '.join(allowed)}; add its package to plugins")
        try:
            found = get_object(name)
        except Exception as error:
            raise InputError(f"{place}._target_: there is no {name} ({type(error).__name__})") from None
        if not isinstance(found, type):  # a function may do anything: torch.load runs what a file says
            raise InputError(f"{place}._target_: {name} is not a class")
        # An allowed module that imports another lends it its path: torch.os.system.
        if str(getattr(found, "__module__", None)).split(".")[0] not in allowed:
            raise InputError(f"{place}._target_: {name} is not defined below one of {', '.join(allowed)}")
        return found


def import_plugins(plugins: Sequence[str]) -> None:
    """Imports the user's packages, so that classes in them are known.

    Raises:
        InputError: naming the one that cannot be imported.
    """
    for plugin in plugins:
        try:
            importlib.import_module(plugin)
        except (ImportError, ValueError, TypeError) as error:  # not there, empty, or relative
            raise InputError(f"plugins: {plugin!r} cannot be imported ({error})") from None


def _placed(message: str, place: str) -> str:
    """The message of a constructor, which knows its argument but not its key, with the whole key in front."""
    last = place.rsplit(".", 1)[-1]
    if message.startswith(place):
        return message
    return place + message.removeprefix(last) if message.startswith(f"{last}.") else f"{place}: {message}"
