"""Turns a composed config into dataclasses and refuses unknown keys."""

import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from nas_lightning.config.fields import Later, Target, check_value
from nas_lightning.config.roles import GONE, Role
from nas_lightning.errors import InputError, check_known

T = TypeVar("T")
Make = Callable[[Target, str], Any]
"""Makes the object of a node, given its place."""

LARGEST = 2**53
"""Largest magnitude of an integer that every consumer, such as float64, takes without loss."""


def _keep(target: Target, _: str) -> Target:
    return target


def read(kind: type[T], node: Any, place: str = "", make: Make = _keep, **given: Any) -> T:
    """Reads a plain mapping into a dataclass.

    Args:
        place: its key, for errors.
        make: makes its objects; by default they stay targets.
        given: the fields that are not keys.

    Raises:
        InputError: naming the key, its value and the rule: unknown key, missing key, wrong type, out of range, or
            refused by the dataclass itself.
    """
    values = _values(kind, node, place, make)
    try:
        return kind(**values, **given)
    except InputError as error:
        raise InputError(placed(str(error), place, _keys(kind))) from None


def _values(kind: type, node: Any, place: str, make: Make) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise InputError(f"{place or 'config'}: {node!r} must be a mapping of keys to values")
    _check_numbers(node, place)
    for key in node:
        where = join(place, str(key))
        if instead := next((said for gone, said in GONE.items() if f".{where}".endswith(f".{gone}")), None):
            raise InputError(f"{where}: is no key any more: {instead}")
        check_known(where, str(key), _keys(kind))
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, declared in _declared(kind).items():
        where = join(place, name)
        if "is_inline" in declared.metadata:
            owned = _keys(_inner(hints[name]))
            values[name] = _value(hints[name], {key: node[key] for key in owned if key in node}, place, make)
        elif name in node:
            values[name] = _field(declared.metadata, hints[name], node[name], where, make)
        elif declared.default is MISSING and declared.default_factory is MISSING:
            raise InputError(f"{where}: is missing and has no default")
    return values


def _declared(kind: type) -> dict[str, Field[Any]]:
    """The fields that a config may give."""
    return {field.name: field for field in fields(kind) if field.metadata.get("is_key", True)}


def _keys(kind: type) -> list[str]:
    """The names of all keys of a dataclass, those of inline parts included."""
    hints = typing.get_type_hints(kind)
    return [
        key for name, field in _declared(kind).items() for key in (_keys(_inner(hints[name])) if "is_inline" in field.metadata else [name])
    ]


def _inner(hint: Any) -> type:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Later else hint


def _field(metadata: Mapping[str, Any], hint: Any, value: Any, place: str, make: Make) -> Any:
    if "role" in metadata:
        return make(_target(metadata["role"], value, place, metadata["is_partial"]), place)
    if "words" in metadata:
        return _word(metadata["words"], hint, value, place, make)
    checked = _value(hint, value, place, make)
    check_value(metadata, checked, place)
    return checked


def _value(hint: Any, value: Any, place: str, make: Make) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        return _value(next(kind for kind in hint.__args__ if kind is not type(None)), value, place, make)
    origin = typing.get_origin(hint)
    if origin is Later:
        _values(_inner(hint), value, place, _keep)
        return Later(_inner(hint), dict(value))
    if is_dataclass(hint):
        return read(typing.cast(type, hint), value, place, make)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{place}: {value!r} must be a mapping of keys to values")
        inner = typing.get_args(hint)[1]
        return {str(key): item if inner is Any else _value(inner, item, join(place, str(key)), make) for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise InputError(f"{place}: {value!r} must be a list")
        return origin(_value(typing.get_args(hint)[0], item, f"{place}[{index}]", make) for index, item in enumerate(value))
    legal = (int, float) if hint is float else hint
    if not isinstance(value, legal) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{place}: {value!r} must be {_NAMES[hint]}")
    return value


def _target(role: Role, value: Any, place: str, is_partial: bool = False) -> Target:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: {value!r} must be a mapping with _target_")
    return Target(dict(value), role, is_partial)


def _word(words: Mapping[str, Any], protocol: type, value: Any, place: str, make: Make) -> Any:
    if isinstance(value, Mapping):
        protocol = next(kind for kind in getattr(protocol, "__args__", (protocol,)) if kind is not type(None))
        classes = tuple({f"{type(known).__module__}.{type(known).__qualname__}": None for known in words.values() if known is not None})
        role = Role(f"a {protocol.__name__}", f"{protocol.__module__}.{protocol.__qualname__}", classes=classes)
        return make(_target(role, value, place), place)
    if value is None and None in words.values():
        return None
    if not isinstance(value, str) or value not in words:
        raise InputError(f"{place}: {value!r} is not one of {', '.join(words)}")
    return words[value]


_NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def _check_numbers(value: Any, place: str) -> None:
    """Refuses nan, infinity and huge integers at any depth, which no class checks for by itself."""
    for where, _, item in walk(value, place):
        if isinstance(item, float) and not math.isfinite(item):
            raise InputError(f"{where}: {item} must be a finite number")
        if isinstance(item, int) and abs(item) > LARGEST:
            raise InputError(f"{where}: {str(item)[:20]} must lie within 2^53 of 0")


def walk(node: Any, place: str, key: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """A value and every value in it, at any depth, as (place, key or index, value)."""
    yield place, key, node
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from walk(value, join(place, str(key)), key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{place}[{index}]", index)


def join(place: str, key: str) -> str:
    """The dotted place of a key."""
    return f"{place}.{key}" if place else key


def placed(message: str, place: str, keys: Sequence[str] = ()) -> str:
    """A constructor's message, which names its argument but not the key, with the whole key in front.

    Args:
        keys: arguments that the message may begin with; otherwise it begins with the last part of the key.
    """
    last = place.rsplit(".", 1)[-1]
    if message.startswith(place):
        return message
    if re.split(r"[:.\[]", message, maxsplit=1)[0] in keys:
        return join(place, message)
    return place + message.removeprefix(last) if message.startswith(f"{last}.") else f"{place}: {message}"
