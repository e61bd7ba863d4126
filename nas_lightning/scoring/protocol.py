"""What a score means: everything that decides it, kept next to the scores and compared before they are resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError, cut
from nas_lightning.runs.made_from import file_hash, write_source
from nas_lightning.runs.reading import read_json
from nas_lightning.runs.writing import as_json, write_json
from nas_lightning.scoring.table import LABELS, OLDER, SUBMISSION, made_by_the_run

IMPLIED_BY_OLDER_PROTOCOLS = {"statistics": "batch", "cheap_first": False}
"""Values of keys that are missing from a protocol: defaults are not written."""
ORDERED_BY = "ordered_by"
"""The key of the score that orders the candidates, as ``ranking.score`` names it."""
LAYERS = "layers"
PREDICTOR = "predictor"
"""The key of the predictor's name."""
DECIDE_NO_SCORE = (ORDERED_BY, LAYERS, PREDICTOR)
"""Keys that may differ between rankings of the same scores."""


def make_protocol(
    checkpoint: Path,
    *,
    data: str,
    images: int,
    batch_size: int | None,
    norm: str,
    structure: Mapping[str, Any],
    precision: str,
    recalibration: Mapping[str, Any] | None = None,
    cheap_first: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The protocol of one ranking.

    Args:
        data: sha256 of the images and labels.
        images: their number.
        structure: entries of the networks: ``Structure.protocol``.
        batch_size: most images per pass; None is all in one. Where they do not divide, the number of passes of nearly equal size is named
            too: earlier versions had a smaller last one.
        precision: the Trainer's, such as ``32-true``: ``trainer.precision_of``.
        recalibration: entries of a ranking with recalibrated norms.
        cheap_first: the rule of a ranking that gives most candidates few images.
    """
    protocol = {
        "images": images,
        "batch_size": batch_size or images,
        "norm": norm,
        **structure,
        "dtype": precision,
        "checkpoint_sha256": file_hash(checkpoint),
        "data_sha256": data,
    }
    matters = norm == "batch" and recalibration is None  # how images are batched
    batches = {"batches": -(-images // batch_size)} if matters and batch_size and batch_size < images and images % batch_size else {}
    halving = {} if cheap_first is None else {"cheap_first": dict(cheap_first)}
    return {**protocol, **batches, **(recalibration or {}), **halving}


def claim(folder: Path, protocol: dict[str, Any]) -> None:
    """Writes ``protocol.json``, or checks that the folder's scores follow the same protocol.

    Raises:
        InputError: naming the first key that differs, with both values.
    """
    path = folder / "protocol.json"
    if not path.is_file():
        if is_rank_zero():
            write_json(path, protocol)
        return
    for key, old, new in differences(read_json(path), protocol):
        instead = f"give another run_dir, or move {folder} away"
        raise InputError(f"{path}: {key} is {cut(repr(old))}, but this ranking has {cut(repr(new))}; {instead}")


def write_order(folder: Path, score: str, layers: int, predictor: str | None = None) -> list[Path]:
    """Adds the ordering score to ``protocol.json``; if it changes, removes and returns files made in the old order.

    Args:
        score: as ``ranking.score`` names it.
        layers: number of entries of a code that layers read: codes that agree in these are one architecture.
        predictor: the name of the predictor; None if there is none.
    """
    path = folder / "protocol.json"
    content = {**read_json(path), ORDERED_BY: score, LAYERS: layers, PREDICTOR: predictor}
    return write_source(path, as_json(content), [folder / SUBMISSION, *made_by_the_run(folder)])


def read_order(scores: Path) -> str | None:
    """The score that orders a ``scores.csv``, as ``ranking.score`` names it, by the protocol next to it; None if it names none."""
    path = scores.with_name("protocol.json")
    score = str(read_json(path).get(ORDERED_BY)) if path.is_file() else ""
    score = OLDER.get(score, score)
    return score if score in LABELS else None


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The score-deciding keys in which two protocols differ, with both values."""
    keys = [key for key in {**second, **first} if key not in DECIDE_NO_SCORE]
    values = [(key, *(protocol.get(key, IMPLIED_BY_OLDER_PROTOCOLS.get(key)) for protocol in (first, second))) for key in keys]
    return [(key, old, new) for key, old, new in values if old != new]
