"""Writes files atomically: they are either whole or absent."""

import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas_lightning.errors import InputError

TEMPORARY = re.compile(r"\..+\.nas_lightning-[0-9]+\.tmp")
"""Name of a temporary file, with the id of the process that writes it."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a temporary file next to ``path``, then renames it, so that no reader meets a torn file.

    Raises:
        InputError: if the file cannot be written (read-only folder, full disk).
    """
    temporary = path.with_name(f".{path.name}.nas_lightning-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # none was written, or its folder is not writable
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically."""
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(value, indent=2) + "\n"
