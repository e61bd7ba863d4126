"""Declares a dataclass's config keys: types by annotation, legal values by the functions here."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Generic, TypeVar

from nas_lightning.config import roles
from nas_lightning.errors import InputError

T = TypeVar("T")
BOUNDS = ("least", "most", "above")


@dataclass(frozen=True)
class Target:
    """An object chosen in conf/ by ``_target_``; its other keys are the arguments of its constructor.

    Args:
        role: of the object.
        is_partial: whether it becomes a function of the missing arguments, such as an optimizer's parameters.
    """

    node: dict[str, Any]
    role: roles.Role
    is_partial: bool = False


@dataclass(frozen=True)
class Later(Generic[T]):
    """Checked keys of a dataclass that is made once its objects' arguments exist: ``Builder.make``."""

    kind: type[T]
    node: dict[str, Any]


def number(default: Any = MISSING, *, least: float | None = None, most: float | None = None, above: float | None = None) -> Any:
    """A field with values in [least, most], or above a bound; required without a default."""
    return field(default=default, metadata={"least": least, "most": most, "above": above})


def choice(default: str | None, *, among: tuple[str, ...]) -> Any:
    """A field whose value must be one of a few words."""
    return field(default=default, metadata={"among": among})


def word(default: str, *, among: Mapping[str, Any]) -> Any:
    """A field for an object of a protocol: one of a few by a word, or your own class by ``_target_``."""
    return field(default=among[default], metadata={"words": among})


def target(role: roles.Role, *, is_partial: bool = False) -> Any:
    """A field for an object of a role; arguments as for ``Target``."""
    return field(metadata={"role": role, "is_partial": is_partial})


def path(default: Any = MISSING) -> Any:
    """A field that names a file or a folder; without a default the config must give it."""
    return field(default=default, metadata={"is_path": True})


def inline() -> Any:
    """A field for a dataclass whose keys are among those of its owner."""
    return field(metadata={"is_inline": True})


def made(default: Any = MISSING) -> Any:
    """A field that is not a key: code gives its value."""
    return field(default=default, metadata={"is_key": False})


class Checked:
    """Base of a dataclass whose numbers obey their declared bounds in code like in a config; errors name ``place``, or the class."""

    place: ClassVar[str] = ""

    def __init_subclass__(cls, place: str = "") -> None:
        cls.place = place or cls.place  # dataclasses make a class with slots anew, without the argument

    def __post_init__(self) -> None:
        check_fields(self, self.place or type(self).__name__)


def check_fields(instance: Any, place: str) -> None:
    """Checks a dataclass's numbers against its declared bounds."""
    for declared in fields(instance):
        value, key = getattr(instance, declared.name), f"{place}.{declared.name}"
        is_bounded = any(declared.metadata.get(bound) is not None for bound in BOUNDS)
        kind, word = (int, "an integer") if declared.type in (int, int | None) else (int | float, "a number")
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        if is_bounded and not is_number and not (value is None and declared.default is None):
            raise InputError(f"{key}: {value!r} must be {word}")
        check_value(declared.metadata, value, key)


def check_value(metadata: Mapping[str, Any], value: Any, place: str) -> None:
    """Raises InputError unless a value is legal by its field's declaration."""
    if value is None:
        return
    among = metadata.get("among")
    if among is not None and value not in among:
        raise InputError(f"{place}: {value!r} is not one of {', '.join(among)}")
    if metadata.get("is_path") and not value.strip():
        raise InputError(f"{place}: is empty; give the path of a file or folder")
    least, most, above = (metadata.get(bound) for bound in BOUNDS)
    for item in value if isinstance(value, list) else [value]:
        if least is not None and not item >= least:
            raise InputError(f"{place}: {item} must be at least {least}")
        if above is not None and not item > above:
            raise InputError(f"{place}: {item} must be above {above}")
        if most is not None and not item <= most:
            raise InputError(f"{place}: {item} must be at most {most}")
