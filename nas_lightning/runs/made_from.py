"""Files made from other files: none outlives a change of its source, and a reader can detect another source."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_text

KEY = "made_from"
"""Key in a JSON file of the sha256 of each of its sources, by name."""


def file_hash(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(sources: Mapping[str, Path]) -> dict[str, str]:
    """The value under ``KEY``: the sha256 of each source, by its name."""
    return {name: file_hash(path) for name, path in sources.items()}


def write_source(path: Path, text: str, made_from_it: Iterable[Path]) -> list[Path]:
    """Writes a file atomically. If it changes, first removes what was made from it: a kill leaves nothing stale.

    Returns:
        The removed files.
    """
    if path.is_file() and path.read_bytes() == text.encode():
        return []
    removed = remove(made_from_it)
    write_text(path, text)
    return removed


def remove(paths: Iterable[Path]) -> list[Path]:
    """Removes and returns those of the files that exist."""
    existing = [path for path in paths if path.is_file()]
    for path in existing:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: was made from files that change, and cannot be removed ({error.strerror})") from error
    return existing


def changed_source(path: Path, content: Mapping[str, Any], sources: Mapping[str, Path], others: Mapping[str, Path]) -> str | None:
    """The first source that changed since ``content`` was made; None if all match, or for files of older versions.

    Args:
        path: of ``content``.
        sources: files that ``content`` must name.
        others: files that it may name.

    Raises:
        InputError: if ``content`` does not hold a string for each name.
    """
    if KEY not in content:
        return None
    kept = content[KEY]
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise InputError(f"{path}: {KEY}: must be an object of texts")
    named = {**sources, **{name: source for name, source in others.items() if name in kept}}
    return next((name for name, source in named.items() if not source.is_file() or file_hash(source) != kept.get(name)), None)
