"""Reads single files of a user's; what is wrong with one is told in one line that names it."""

import csv
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nas_lightning.errors import InputError, cut

MAX_MIB = 64
"""Of one file; 50,000 candidates take 6. The variable sets another."""
MAX_MIB_VARIABLE = "NAS_LIGHTNING_MAX_MIB"
MAX_TABLE_MIB = 256
"""Of a CSV table, which is read row by row; a row of scores takes some 150 bytes."""
MAX_TABLE_ROWS = 1_000_000
"""In memory a row of scores takes some 700 bytes."""
MAX_YAML_MIB = 0.5
"""A config takes some kilobytes, and a reader of YAML in Python seconds a mebibyte."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that a spreadsheet takes for a formula, or that ``safe_cell`` made of one."""


def read_bytes(path: Path, max_mib: float | None = None) -> bytes:
    """The whole of a regular file; never waits, as for who writes to a FIFO.

    Args:
        max_mib: its largest size; None takes that of every file.

    Raises:
        InputError: if it cannot be read, is no regular file (a folder, a device, a FIFO) or is larger than ``max_mib``.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{path}: cannot be read (not a regular file)")
            size = found.st_size
            limit, advice = (_max_mib(), f" ({MAX_MIB_VARIABLE} sets another limit)") if max_mib is None else (max_mib, "")
            if size > limit * 2**20:
                raise InputError(f"{path}: has {size / 2**20:.1f} MiB; may have {limit:g} MiB{advice}")
            content = file.read(size + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > size:  # as a file of /proc, which is made while it is read
        raise InputError(f"{path}: cannot be read (it grows while it is read)")
    return content


def _max_mib() -> float:
    text = os.environ.get(MAX_MIB_VARIABLE, str(MAX_MIB))
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise InputError(f"{MAX_MIB_VARIABLE}: {cut(repr(text))} must be a number of MiB, such as {MAX_MIB}")
    return float(text)


def read_text(path: Path, max_mib: float | None = None) -> str:
    """The whole of a UTF-8 file, with or without a byte order mark, lines ended as Python ends them.

    Raises:
        InputError: if it cannot be read, is too large or is no text.
    """
    try:
        text = read_bytes(path, max_mib).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
    """A mapping of YAML without aliases, as this project writes it; interpolations stay as they are written.

    Raises:
        InputError: if it is anything else.
    """
    text = read_text(path, MAX_YAML_MIB)
    try:
        content = yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not YAML ({cut(' '.join(str(error).split()), 300)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, not {_kind(content)}")
    return content


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV table, each with its line, as they are asked for; cells of ``safe_cell`` as they were before.

    Raises:
        InputError: if a needed column is missing, or naming the first line that has more or fewer cells than the header.
    """
    text = io.TextIOWrapper(io.BytesIO(read_bytes(path, MAX_TABLE_MIB)), encoding="utf-8-sig", newline="")
    reader = csv.reader(text)
    try:
        columns = [plain_cell(cell) for cell in next(reader, [])]
        missing = [name for name in needed if name not in columns]
        if missing:
            raise InputError(f"{path}: has no column {', '.join(missing)}")
        if len(set(columns)) < len(columns):
            raise InputError(f"{path}: has two columns of one name")
        count = 0
        for row in reader:
            if len(row) != len(columns) and row:
                raise InputError(f"{path}: line {reader.line_num}: is not a row of {','.join(columns)}")
            if (count := count + 1) > MAX_TABLE_ROWS:
                raise InputError(f"{path}: has more than {MAX_TABLE_ROWS:,} rows, as many as are read")
            if row:
                yield reader.line_num, dict(zip(columns, map(plain_cell, row), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV table ({error})") from None


def safe_cell(text: str) -> str:
    """A text for a CSV table, which a spreadsheet takes for a text too; ``read_rows`` gives it back as it was."""
    return f"'{text}" if FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """What ``safe_cell`` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: nested, a few lines of them stand for more values than a memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: an alias; values must be written out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a mapping that has a key twice")
        return super().construct_mapping(node, deep)


def _kind(content: object) -> str:
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(content), "a single value")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
