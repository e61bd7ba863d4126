"""Reads single files of a user; reports any fault in one line that names the file."""

import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nas_lightning.errors import InputError, cut, shorten

MAX_MIB = 64
"""Maximum size of one file; 50,000 candidates take 6 MiB. The variable sets another."""
MAX_MIB_VARIABLE = "NAS_LIGHTNING_MAX_MIB"
MAX_TABLE_MIB = 256
"""Maximum size of a CSV table, which is read row by row; a row of scores takes some 150 bytes."""
MAX_TABLE_ROWS = 1_000_000
"""A row of scores takes some 700 bytes in memory."""
MAX_YAML_MIB = 0.5
"""A config takes some kilobytes, and PyYAML some seconds per MiB."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Start of a text that a spreadsheet reads as a formula, or that ``safe_cell`` made of one."""


def read_bytes(path: Path, max_mib: float | None = None) -> bytes:
    """The content of a regular file; never blocks, as on a FIFO.

    Args:
        max_mib: its largest size; None takes the limit of ``MAX_MIB_VARIABLE``.

    Raises:
        InputError: if it cannot be read, is not a regular file (a folder, a device, a FIFO) or is too large.
    """
    limit, advice = (_max_mib(), f" ({MAX_MIB_VARIABLE} sets another limit)") if max_mib is None else (max_mib, "")
    try:
        status = path.stat()
        size, is_regular, content = status.st_size, stat.S_ISREG(status.st_mode), b""
        if is_regular and size <= limit * 2**20:
            with path.open("rb") as file:
                content = file.read(size)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not is_regular:
        raise InputError(f"{path}: cannot be read (not a regular file)")
    if size > limit * 2**20:
        raise InputError(f"{path}: has {size / 2**20:.1f} MiB; may have {limit:g} MiB{advice}")
    return content


def _max_mib() -> float:
    text = os.environ.get(MAX_MIB_VARIABLE, str(MAX_MIB))
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise InputError(f"{MAX_MIB_VARIABLE}: {cut(repr(text))} must be a number of MiB, such as {MAX_MIB}")
    return float(text)


def finite(text: str) -> float | None:
    """The number that a cell holds; None if it is none, nan or infinite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_text(path: Path, max_mib: float | None = None) -> str:
    """The text of a UTF-8 file, with or without a byte order mark, with Python's line ends."""
    try:
        text = read_bytes(path, max_mib).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: also for NaN and Infinity, which Python's reader accepts.
    """
    content = load_json(path, parse_constant=_no_number)
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a JSON object, not {shorten(content)}")
    return content


def read_entries(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects, each with a code under ``architecture``."""
    content = load_json(path, parse_constant=_no_number)
    if not isinstance(content, list):
        raise InputError(f"{path}: holds {shorten(content)}, not a list of objects with a code under architecture")
    for number, entry in enumerate(content, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("architecture"), str):
            raise InputError(f"{path}: entry {number} is {shorten(entry)} without a code under architecture")
    return content


def load_json(path: Path, **how: Any) -> Any:
    """The content of a JSON file.

    Args:
        how: arguments of ``json.loads``.
    """
    text = read_text(path)
    try:
        return json.loads(text, **how)
    except (ValueError, RecursionError) as error:  # a plain ValueError: an integer of more digits than Python reads
        raise InputError(f"{path}: is not JSON ({error})") from None


@contextmanager
def as_written(path: Path, writer: str) -> Iterator[None]:
    """Turns what fails on content of ``path`` that ``writer`` would not have written there into one line."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: does not hold what {writer} writes there ({type(error).__name__}: {error})") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping without aliases, as this project writes it; interpolations stay as written."""
    text = read_text(path, MAX_YAML_MIB)
    try:
        for token in yaml.scan(text):
            if isinstance(token, yaml.AliasToken):  # a few nested lines of them can stand for more values than memory holds
                raise yaml.YAMLError(f"line {token.start_mark.line + 1}: an alias; values must be written out")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not YAML ({cut(' '.join(str(error).split()), 300)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, not {shorten(content)}")
    return content


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the rows of a CSV table, each with its line number; undoes ``safe_cell``.

    Raises:
        InputError: if a needed column is missing, or naming the first line with more or fewer cells than the header.
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
    """A cell of a CSV table that no spreadsheet reads as a formula; ``read_rows`` undoes it."""
    return f"'{text}" if FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """Undoes ``safe_cell``."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
