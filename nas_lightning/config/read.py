"""Turns a composed config into dataclasses and refuses what they do not name."""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from nas_lightning.config.fields import Target
from nas_lightning.config.roles import Role
from nas_lightning.errors import InputError, check_known

T = TypeVar("T")

LARGEST = 2**53
"""Of an integer's magnitude: what every consumer, numpy's and torch's integers and floats among them, takes without loss."""


def read(kind: type[T], node: Any, place: str = "") -> T:
    """Reads a plain mapping into a config dataclass.

    Raises:
        InputError: naming the key, its value and the rule: unknown key, missing key, wrong type, out of range.
    """
    if not isinstance(node, Mapping):
        raise InputError(f"{place or 'config'}: {node!r} must be a mapping of keys to values")
    for key in node:
        check_known(join(place, str(key)), str(key), _keys(kind))
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, declared in _declared(kind).items():
        where = join(place, name)
        if "is_inline" in declared.metadata:
            values[name] = read(hints[name], {key: node[key] for key in _keys(hints[name]) if key in node}, place)
        elif name in node:
            role = declared.metadata.get("role")
            values[name] = _value(hints[name], node[name], where) if role is None else _target(role, node[name], where)
            _check_range(declared.metadata, values[name], where)
        elif declared.default is MISSING and declared.default_factory is MISSING:
            raise InputError(f"{where}: is missing and has no default")
    return kind(**values)


def _declared(kind: type) -> dict[str, Field[Any]]:
    """The fields that a config may give."""
    return {field.name: field for field in fields(kind) if field.metadata.get("is_key", True)}


def _keys(kind: type) -> list[str]:
    """The names of all keys of a dataclass, those of its inline parts among them."""
    hints = typing.get_type_hints(kind)
    return [key for name, field in _declared(kind).items() for key in (_keys(hints[name]) if "is_inline" in field.metadata else [name])]


def _value(hint: Any, value: Any, place: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        return _value(next(one for one in hint.__args__ if one is not type(None)), value, place)
    origin = typing.get_origin(hint)
    if is_dataclass(hint):
        return read(typing.cast(type, hint), value, place)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{place}: {value!r} must be a mapping of keys to values")
        inner = typing.get_args(hint)[1]
        _check_numbers(value, place)
        return {str(key): item if inner is Any else _value(inner, item, join(place, str(key))) for key, item in value.items()}
    if origin is list:
        if not isinstance(value, list):
            raise InputError(f"{place}: {value!r} must be a list")
        return [_value(typing.get_args(hint)[0], item, f"{place}[{index}]") for index, item in enumerate(value)]
    legal = (int, float) if hint is float else hint
    if not isinstance(value, legal) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{place}: {value!r} must be {_NAMES[hint]}")
    _check_numbers(value, place)
    return value


def _target(role: Role, value: Any, place: str) -> Target:
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: {value!r} must be a mapping with _target_")
    _check_numbers(value, place)
    return Target(dict(value), role)


_NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def _check_range(metadata: Mapping[str, Any], value: Any, place: str) -> None:
    if value is None:
        return
    among, least, most = metadata.get("among"), metadata.get("least"), metadata.get("most")
    if among is not None and value not in among:
        raise InputError(f"{place}: {value!r} is not one of {', '.join(among)}")
    if metadata.get("is_path") and not value.strip():
        raise InputError(f"{place}: is empty; give the path of a file or folder")
    for one in value if isinstance(value, list) else [value]:
        if least is not None and not one >= least:
            raise InputError(f"{place}: {one} must be at least {least}")
        if most is not None and not one <= most:
            raise InputError(f"{place}: {one} must be at most {most}")


def _check_numbers(value: Any, place: str) -> None:
    """Refuses nan, the infinite and absurdly large integers, at any depth: no class checks each of its numbers for them."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_numbers(item, join(place, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_numbers(item, f"{place}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{place}: {value} must be a finite number")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{place}: {str(value)[:20]} must lie within 2^53 of 0")


def join(place: str, key: str) -> str:
    """The dotted place of a key."""
    return f"{place}.{key}" if place else key
