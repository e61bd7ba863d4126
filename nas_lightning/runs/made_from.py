"""Files that are made from other files: none outlives a change of its source, and a reader can tell one that is of another source."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_text

KEY = "made_from"
"""Of a JSON file: the sha256 of each file that it was made from, by name."""


def file_hash(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(sources: Mapping[str, Path]) -> dict[str, str]:
    """What a file keeps under ``KEY``: the sha256 of each source, by its name."""
    return {name: file_hash(path) for name, path in sources.items()}


def write_source(path: Path, text: str, made_from_it: Iterable[Path]) -> list[Path]:
    """Writes a file as a whole. Where that changes it, what was made from it is removed first, so that a kill leaves nothing stale.

    Returns:
        What was removed.

    Raises:
        InputError: if a file cannot be written or removed.
    """
    if path.is_file() and path.read_bytes() == text.encode():
        return []
    removed = remove(made_from_it)
    write_text(path, text)
    return removed


def remove(paths: Iterable[Path]) -> list[Path]:
    """Removes those of the files that exist, and returns them.

    Raises:
        InputError: if one cannot be removed.
    """
    found = [path for path in paths if path.is_file()]
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: was made from files that change, and cannot be removed ({error.strerror})") from error
    return found


def changed_source(path: Path, content: Mapping[str, Any], sources: Mapping[str, Path], others: Mapping[str, Path]) -> str | None:
    """The first source that is not the file that ``content`` was made from; None where all are, or ``content`` is of an older version.

    Args:
        path: of ``content``.
        sources: by the names under which ``content`` must know them.
        others: by the names under which it may know them.

    Raises:
        InputError: if ``content`` does not hold a text for each name.
    """
    if KEY not in content:
        return None
    kept = content[KEY]
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise InputError(f"{path}: {KEY}: must be an object of texts")
    named = {**sources, **{name: source for name, source in others.items() if name in kept}}
    return next((name for name, source in named.items() if not source.is_file() or file_hash(source) != kept.get(name)), None)
