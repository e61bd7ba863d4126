"""How a dataclass declares the keys that a config may hold: type by annotation, legal values by the functions here."""

from dataclasses import dataclass, field
from typing import Any

from nas_lightning.config import roles


@dataclass(frozen=True)
class Target:
    """An object chosen in conf/ by ``_target_``; its other keys are the arguments of its constructor.

    Args:
        role: what it must be.
    """

    node: dict[str, Any]
    role: roles.Role


def number(default: Any = ..., *, least: float | None = None, most: float | None = None) -> Any:
    """A field whose value must lie in [least, most]; without a default the config must give it."""
    metadata = {"least": least, "most": most}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def choice(default: str | None, *, among: tuple[str, ...]) -> Any:
    """A field whose value must be one of a few words."""
    return field(default=default, metadata={"among": among})


def target(role: roles.Role) -> Any:
    """A field that holds an object of a role."""
    return field(metadata={"role": role})


def path(default: Any = ...) -> Any:
    """A field that names a file or a folder; without a default the config must give it."""
    metadata = {"is_path": True}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def inline() -> Any:
    """A field that holds a dataclass whose keys stand among those of its owner."""
    return field(metadata={"is_inline": True})


def made(default: Any) -> Any:
    """A field that is no key: whoever makes the object gives it."""
    return field(default=default, metadata={"is_key": False})
