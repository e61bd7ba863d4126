"""The candidates of ``ranking/scores.csv``, and what is known of their accuracy."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.reading import read_json, read_rows

NUMBERS = ("top1", "top5", "cross_entropy", "macs", "parameters")
OPTIONAL = ("smoothed",)
"""Columns that only some rankings have."""
Widths = tuple[int, ...]


@dataclass(frozen=True)
class ScoreKind:
    """One way to score a candidate: how it is read, named and shown."""

    column: str
    name: str
    """In agreement.json and in words."""
    sign: int
    """-1 where less is better in the file."""
    percent: bool

    @property
    def axis(self) -> str:
        """The title of an axis, with its unit."""
        return f"score: {self.name}, {'%' if self.percent else 'nats'}"

    def shown(self, quality: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """As it is drawn, in the unit of the axis."""
        return quality * 100 if self.percent else quality

    def text(self, quality: float) -> str:
        """As it is written in a table."""
        return f"{100 * quality:.2f} %" if self.percent else f"{quality:.4f}"


KINDS = {
    "top1": ScoreKind("top1", "top-1", 1, True),
    "cross_entropy": ScoreKind("cross_entropy", "negative cross entropy", -1, False),
    "smoothed": ScoreKind("smoothed", "smoothed negative cross entropy", -1, False),
}
"""By the config's ``ranking.score``."""


@dataclass(frozen=True)
class Candidates:
    """The rows of a ranking in the file's order; every array is (n,) but for the widths."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    """The codes as they stand in the file: integers joined by '-'."""
    widths: npt.NDArray[np.int64]
    """(n, layers) channels."""
    columns: Mapping[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.names)

    def quality(self, kind: ScoreKind) -> npt.NDArray[np.float64]:
        """(n,) scores, higher is better."""
        return kind.sign * self.columns[kind.column]

    def order(self, kind: ScoreKind) -> npt.NDArray[np.int64]:
        """(n,) row numbers, best first; ties go by cross entropy, then by the file."""
        return np.lexsort((self.columns["cross_entropy"], -self.quality(kind)))


def read_candidates(path: Path, layers: int | None) -> Candidates:
    """Reads a score table.

    Args:
        layers: entries of a code that a layer reads; None takes all.

    Raises:
        InputError: naming the first line that is not a whole row.
    """
    names, texts, codes, entries = [], [], array("q"), 0
    columns: dict[str, array[float]] = {}
    for line, row in read_rows(path, ("name", "architecture", *NUMBERS)):
        place = f"{path}: line {line}"
        code = read_code(row["architecture"], place)
        columns = columns or {column: array("d") for column in (*NUMBERS, *OPTIONAL) if column in row}
        entries = entries or len(code)
        if len(code) != entries:
            raise InputError(f"{place}: {row['architecture'][:80]!r} has {len(code)} entries, the first row {entries}")
        names.append(row["name"])
        texts.append(row["architecture"])
        codes.extend(code)
        for column, values in columns.items():
            values.append(read_number(row[column], f"{place}: {column}"))
    if not names:
        raise InputError(f"{path}: holds no scores")
    if layers is not None and entries < layers:
        raise InputError(f"{path}: codes have {entries} entries; the config's space has {layers} layers")
    widths = np.array(codes, dtype=np.int64).reshape(-1, entries)[:, :layers]
    return Candidates(tuple(names), tuple(texts), widths, {column: np.array(values) for column, values in columns.items()})


def read_known(path: Path) -> dict[Widths, float]:
    """Known accuracies, fractions by code, of a file in the challenge's format.

    Raises:
        InputError: naming the first entry that is not of the format.
    """
    known: dict[Widths, float] = {}
    for name, entry in read_json(path).items():
        place = f"{path}: {name[:80]!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("arch"), str):
            raise InputError(f'{place}: is not an object with a text "arch"')
        accuracy = entry.get("acc")
        if not isinstance(accuracy, int | float) or isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
            raise InputError(f"{place}: acc {str(accuracy)[:80]!r} is not a fraction from 0 to 1")
        known[read_code(entry["arch"], place)] = float(accuracy)
    return known


def match(candidates: Candidates, known: Mapping[Widths, float]) -> npt.NDArray[np.float64]:
    """(n,) accuracies, nan where none is known. Entries that no layer reads do not count."""
    layers = min([candidates.widths.shape[1], *map(len, known)])
    read = {code[:layers]: accuracy for code, accuracy in known.items()}
    return np.array([read.get(tuple(row[:layers]), math.nan) for row in candidates.widths.tolist()])


def read_code(text: str, place: str) -> Widths:
    """Reads the file form of an architecture, such as ``16-8-12``."""
    entries = text.split("-")
    if not all(entry.isascii() and entry.isdigit() and len(entry) < 7 for entry in entries):
        raise InputError(f"{place}: {text[:80]!r} is not a code of integers joined by '-'")
    return tuple(map(int, entries))


def read_number(text: str, place: str) -> float:
    """Reads a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: {text[:80]!r} is not a finite number")
    return value
