"""Tries every public class and function of the packages in every role; a program, as importing all of torch leaves traces in a process.

python -m tests.config.every_name RESULT.json
"""

import importlib
import inspect
import json
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from nas_lightning.config import build
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import EVERY, Role
from nas_lightning.errors import InputError

PACKAGES = ("nas_lightning", "torch", "torchvision", "pytorch_lightning", "lightning_fabric", "torchmetrics")


class Reached(Exception):
    """A class was taken: the next step would read its signature, the one after call it."""


def imported(skipped: dict[str, str]) -> list[ModuleType]:
    """Every module below the packages; why one cannot be imported goes to ``skipped``."""
    modules = []
    for package in map(importlib.import_module, PACKAGES):
        modules.append(package)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None):
            if found.name.rsplit(".", 1)[-1] == "__main__":
                skipped[found.name] = "a program"
                continue
            try:
                modules.append(importlib.import_module(found.name))
            except BaseException as error:  # a module may even call sys.exit
                skipped[found.name] = f"{type(error).__name__}: {error}"[:200]
    return modules


def loaded() -> list[ModuleType]:
    """The modules below the packages that this process has imported already."""
    return [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] in PACKAGES and isinstance(module, ModuleType)]


def named(modules: Iterable[ModuleType]) -> dict[str, Any]:
    """Every public class and function by each dotted path: through each module that offers it, and where it is defined."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some objects warn when they are looked at
        for module in modules:
            for name, value in list(vars(module).items()):
                if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)):
                    found[f"{module.__name__}.{name}"] = value
                    if inspect.isclass(value):
                        found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def accepted(names: Iterable[str]) -> dict[str, list[str]]:
    """The names that each role takes, by its title; nothing is called, and no name is looked up where it leads to."""
    inspector, lookup = build.inspect, build.get_object

    def reach(_: Any) -> None:
        raise Reached

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} was looked up")

    build.inspect, build.get_object = SimpleNamespace(signature=reach), refuse  # type: ignore[assignment]
    try:
        return {role.title: [name for name in names if _is_taken(name, role)] for role in EVERY}
    finally:
        build.inspect, build.get_object = inspector, lookup


def expected(names: dict[str, Any], role: Role) -> set[str]:
    """The names that a role must take, from what lies behind each name."""
    kind = getattr(importlib.import_module(role.kind.rpartition(".")[0]), role.kind.rpartition(".")[2])
    offered = set()
    for name, value in names.items():
        module, _, last = name.rpartition(".")
        public = getattr(sys.modules.get(module), "__all__", None) or [last]
        if name in role.classes:
            offered.add(value)
        elif module in role.modules and last in public and last not in role.without and inspect.isclass(value) and value is not kind:
            defined_there = any(f"{value.__module__}.".startswith(f"{home}.") for home in role.modules)
            if defined_there and _is_of(value, kind):
                offered.add(value)
    return {name for name, value in names.items() if _is_in(value, offered) and _is_offered(name, value, role)}


def _is_of(value: type, kind: Any) -> bool:
    methods = {"Sampler": ["sample"], "Objective": ["architectures", "__call__"], "Schedule": ["rate"]}.get(kind.__name__)
    if methods is None:
        return issubclass(value, kind)
    return all(method in {name for base in value.__mro__ for name in vars(base)} for method in methods)


def _is_in(value: Any, offered: set[Any]) -> bool:
    return inspect.isclass(value) and any(value is other for other in offered)


def _is_offered(name: str, value: Any, role: Role) -> bool:
    public = getattr(sys.modules.get(name.rpartition(".")[0]), "__all__", None) or [name.rpartition(".")[2]]
    listed = name.rpartition(".")[0] in role.modules and name.rpartition(".")[2] in public
    return name in role.classes or listed or name == f"{value.__module__}.{value.__qualname__}"


def _is_taken(name: str, role: Role) -> bool:
    try:
        Builder().build(Target({"_target_": name}, role), "at")
    except Reached:
        return True
    except InputError:
        return False
    raise AssertionError(f"{name} was called")


def main() -> None:
    warnings.simplefilter("ignore")
    skipped: dict[str, str] = {}
    names = named(imported(skipped))
    taken = accepted(names)
    wanted = {role.title: sorted(expected(names, role)) for role in EVERY}
    result = {"names": len(names), "skipped": skipped, "accepted": {title: sorted(taken[title]) for title in taken}, "expected": wanted}
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1))
    os._exit(0)  # some of what was imported has threads that may crash the interpreter as it ends


if __name__ == "__main__":
    main()
