"""Reads single files of a run folder; what is wrong with one is told in one line that names it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nas_lightning.errors import InputError

MAX_MIB = 64
"""Of one file; 50,000 candidates take 6."""


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file, lines ended as Python ends them.

    Raises:
        InputError: if it cannot be read, is too large or is no text.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MIB * 2**20:
            raise InputError(f"{path}: has {size / 2**20:.1f} MiB; files of up to {MAX_MIB} MiB are read")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: also for the NaN and Infinity that Python takes for JSON.
    """
    try:
        content = json.loads(read_text(path), parse_constant=_no_number)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a JSON object, not {_kind(content)}")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping of YAML.

    Raises:
        InputError: if it is anything else.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, not {_kind(content)}")
    return content


def read_rows(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV table, each with its line.

    Raises:
        InputError: if a needed column is missing, or naming the first line that has more or fewer cells than the header.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            missing = [name for name in needed if name not in columns]
            if missing:
                raise InputError(f"{path}: has no column {', '.join(missing)}")
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV table ({error})") from None
    for line, row in rows:
        if None in row or None in row.values():
            raise InputError(f"{path}: line {line}: is not a row of {','.join(columns)}")
    return rows


def _kind(content: object) -> str:
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(content), "a single value")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
