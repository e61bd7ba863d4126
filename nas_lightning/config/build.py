"""Makes the objects described by a config's ``_target_`` nodes."""

import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hydra.utils import get_object

from nas_lightning.config.fields import Later, Target
from nas_lightning.config.read import join, placed, read, walk
from nas_lightning.config.roles import ARGUMENTS, EVERY, NETWORK, Role, allowed, of_today
from nas_lightning.errors import InputError, check_known, suggestion

T = TypeVar("T")
TIMM = "timm."
"""The name of timm in dotted paths of its networks, each a function's work."""
HYDRA = logging.getLogger("hydra.utils")
"""Writes down what ``get_object`` raises."""
IMPORTED: set[str] = set()
"""The user's packages that this process may name, also for the networks of checkpoints."""


@dataclass(frozen=True)
class Builder:
    """Builds objects from nodes.

    Args:
        plugins: the user's packages, whose classes may take every role that they fit.
        offered: arguments for every constructor that takes them, unless the config gives them.
    """

    plugins: tuple[str, ...] = ()
    offered: Mapping[str, Any] | None = None

    def offering(self, **offered: Any) -> "Builder":
        """The same builder, with more arguments offered."""
        return Builder(self.plugins, {**(self.offered or {}), **offered})

    def build(self, target: Target, place: str) -> Any:
        """Makes a node's object, nested nodes first; a partial node becomes a function of the missing arguments.

        Args:
            target: the node.
            place: its key, for errors.

        Raises:
            InputError: for a class outside the role, an unknown argument, or a value that the class refuses.
        """
        if not target.is_partial:
            return self._build(target.node, place, (target.role,))
        made, arguments = self._read(target.node, place, (target.role,))
        return partial(made, **arguments)

    def make(self, later: Later[T], place: str, **given: Any) -> T:
        """Makes a dataclass and the objects in it.

        Args:
            place: its key, for errors.
            given: its fields that are not keys.
        """
        return read(later.kind, later.node, place, self.build, **given)

    def located(self, target: Target, place: str) -> Callable[..., Any]:
        """What makes a node's object; errors as for ``build``."""
        return self._locate(target.node.get("_target_"), place, (target.role,))

    def build_values(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """The arguments of pl.Trainer, with every ``_target_`` node built."""
        return {key: self._nested(value, join(place, key), ARGUMENTS.get(key, ())) for key, value in values.items()}

    def _build(self, node: Mapping[str, Any], place: str, roles: Sequence[Role]) -> Any:
        made, arguments = self._read(node, place, roles)
        name = node["_target_"]
        try:
            built = made(**arguments)
        except InputError as error:
            raise InputError(placed(str(error), place)) from None
        except ImportError as error:
            raise InputError(f"{place}: {name} needs what is not installed ({' '.join(str(error).split())})") from error
        except Exception as error:
            if not isinstance(error, TypeError | ValueError) and (self._is_own(name) or name.startswith("nas_lightning.")):
                raise  # a bug; a library's class may raise anything for a wrong value
            check_numbers(made, arguments, place)
            nulls = "".join(f"; {key} is null" for key, value in arguments.items() if value is None)
            raise InputError(f"{place}: {name} does not take these values ({' '.join(str(error).split())}{nulls})") from error
        for role in roles if len(roles) == 1 else ():
            if missing := role.missing(built):
                raise InputError(f"{place}: {name} has no {missing[0]}, which {role.title} needs")
        return built

    def _read(self, node: Mapping[str, Any], place: str, roles: Sequence[Role]) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The class, checked before anything is called, and its arguments."""
        name = node.get("_target_")
        made = self._locate(name, place, roles)
        is_own = self._is_own(str(name))
        parameters = inspect.signature(made).parameters
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
        arguments = {key: value for key, value in (self.offered or {}).items() if key in parameters}
        for key, value in node.items():
            if key in ("_target_", "_convert_"):  # a hint to Hydra; values here are plain already
                continue
            where = join(place, str(key))
            if not takes_any or str(key).startswith("_"):
                check_known(where, str(key), parameters)
            for inside, _, item in () if is_own else walk(value, where):  # Lightning's writers accept any address that fsspec knows
                if isinstance(item, str) and "://" in item and not item.startswith("file://"):
                    raise InputError(f"{inside}: {item!r} must be a path on this machine, no address")
            arguments[str(key)] = self._nested(value, where, EVERY if is_own else ARGUMENTS.get(str(key), ()))
        return made, arguments

    def _nested(self, value: Any, place: str, roles: Sequence[Role]) -> Any:
        if isinstance(value, Mapping):
            if "_target_" in value:
                return self._build(value, place, roles)
            return {key: self._nested(item, join(place, str(key)), roles) for key, item in value.items()}
        if isinstance(value, list):
            return [self._nested(item, f"{place}[{index}]", roles) for index, item in enumerate(value)]
        return value

    def _locate(self, name: Any, place: str, roles: Sequence[Role]) -> Callable[..., Any]:
        place = f"{place}._target_"
        if not isinstance(name, str) or "." not in name:
            raise InputError(f"{place}: {name!r} must be the dotted path of a class")
        name = of_today(name)
        for role in roles:
            if name in allowed(role):
                return allowed(role)[name]
        if not self._is_own(name):
            raise InputError(f"{place}: {roles[0].refuse(name) if roles else f'{name} cannot stand here, where no object is taken'}")
        if name.startswith(TIMM) and NETWORK in roles:
            return _of_timm(name.removeprefix(TIMM), place)
        try:
            HYDRA.disabled = True
            kind = get_object(name)
        except Exception as error:
            package, _, last = name.rpartition(".")
            hint = suggestion(last, dir(sys.modules.get(package)), f"{package}.")
            raise InputError(f"{place}: there is no {name} ({type(error).__name__}){hint}") from None
        finally:
            HYDRA.disabled = False
        if not isinstance(kind, type):  # a function may do anything
            raise InputError(f"{place}: {name} is not a class")
        if not self._is_own(f"{kind.__module__}."):  # else my_package.os.system would pass
            raise InputError(f"{place}: {name} is not defined below one of {', '.join(self.plugins)}")
        if roles not in ((), EVERY) and not any(role.fits(kind) for role in roles):
            raise InputError(f"{place}: {name} is not {roles[0].title}, see {roles[0].kind}")
        return kind

    def _is_own(self, name: str) -> bool:
        """Whether a dotted path lies below one of the user's packages."""
        return any(plugin and name.startswith(f"{plugin}.") for plugin in self.plugins)


def check_numbers(made: Callable[..., Any], arguments: Mapping[str, Any], place: str) -> None:
    """Raises InputError if an argument is text where the default is a number."""
    for key, parameter in inspect.signature(made).parameters.items():
        is_number = isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
        if is_number and isinstance(arguments.get(key), str) and "str" not in str(parameter.annotation):
            raise InputError(f"{join(place, key)}: {arguments[key]!r} must be a number")


def _of_timm(name: str, place: str) -> Callable[..., Any]:
    """The function that builds a network of the package timm."""
    timm = importlib.import_module("timm")
    if name not in (known := timm.list_models()):
        raise InputError(f"{place}: timm has no network {name}{suggestion(name, known)}")
    return partial(timm.create_model, name)


def packages_in(words: Iterable[str]) -> list[str]:
    """What names the user's packages in a command line, for the next one."""
    return [word for word in words if word.startswith("plugins=")]


def import_plugins(plugins: Sequence[str]) -> None:
    """Imports the user's packages, so that their classes are known."""
    for plugin in plugins:
        try:
            importlib.import_module(plugin)
            IMPORTED.add(plugin)
        except (ImportError, ValueError, TypeError) as error:  # not there, empty, or relative
            raise InputError(f"plugins: {plugin!r} cannot be imported ({error})") from None
