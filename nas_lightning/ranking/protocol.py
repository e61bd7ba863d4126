"""What a score means: everything that decides it, kept beside the scores and compared before they are continued."""

import hashlib
import json
from pathlib import Path
from typing import Any

from nas_lightning.durable import write_json
from nas_lightning.errors import InputError


def file_hash(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_protocol(
    checkpoint: Path,
    *,
    data: str,
    images: int,
    batch_size: int | None,
    norm: str,
    shortcuts: str,
    precision: str,
) -> dict[str, Any]:
    """The protocol of one ranking.

    Args:
        data: sha256 of the images and labels.
        images: how many there are.
        batch_size: images a pass; None is all in one.
        precision: pl.Trainer's, such as ``32-true``.
    """
    return {
        "checkpoint_sha256": file_hash(checkpoint),
        "data_sha256": data,
        "images": images,
        "batch_size": batch_size or images,
        "norm": norm,
        "shortcuts": shortcuts,
        "dtype": precision,
    }


def claim(folder: Path, protocol: dict[str, Any]) -> None:
    """Writes ``protocol.json``, or checks that the folder's scores were made in the same way.

    Raises:
        InputError: naming the first key that differs, with both values.
    """
    path = folder / "protocol.json"
    if not path.is_file():
        write_json(path, protocol)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path}: is not JSON; remove the folder to rank again") from None
    for key, value in protocol.items():
        if found.get(key) != value:
            raise InputError(f"{path}: {key} is {found.get(key)!r}, but this ranking has {value!r}; give another run_dir")
