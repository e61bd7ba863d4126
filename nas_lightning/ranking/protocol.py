"""What a score means: everything that decides it, kept beside the scores and compared before they are continued."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.durable import write_json
from nas_lightning.errors import InputError
from nas_lightning.processes import is_first
from nas_lightning.reading import read_json

UNSAID = {"statistics": "batch", "cheap_first": False}
"""What a key means that a protocol does not hold: the defaults are not written."""


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
    recalibration: Mapping[str, Any] | None = None,
    cheap_first: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The protocol of one ranking.

    Args:
        data: sha256 of the images and labels.
        images: how many there are.
        batch_size: images a pass; None is all in one.
        precision: that the Trainer computes in, such as ``32-true``: ``trainer.precision_of``.
        recalibration: entries of a ranking whose norms take their statistics from training images.
        cheap_first: the rule of a ranking that gives most candidates few images.
    """
    protocol = {
        "images": images,
        "batch_size": batch_size or images,
        "norm": norm,
        "shortcuts": shortcuts,
        "dtype": precision,
        "checkpoint_sha256": file_hash(checkpoint),
        "data_sha256": data,
    }
    further = {} if cheap_first is None else {"cheap_first": dict(cheap_first)}
    return {**protocol, **(recalibration or {}), **further}


def claim(folder: Path, protocol: dict[str, Any]) -> None:
    """Writes ``protocol.json``, or checks that the folder's scores were made in the same way.

    Raises:
        InputError: naming the first key that differs, with both values.
    """
    path = folder / "protocol.json"
    if not path.is_file():
        if is_first():
            write_json(path, protocol)
        return
    found = read_json(path)
    for key in {**protocol, **found}:
        old, new = (one.get(key, UNSAID.get(key)) for one in (found, protocol))
        if old != new:
            raise InputError(f"{path}: {key} is {old!r}, but this ranking has {new!r}; give another run_dir")
