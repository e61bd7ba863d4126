"""The candidates of ``ranking/scores.csv``, and what is known of their accuracy."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.reading import read_json, read_rows

NUMBERS = {"top1": (0, 1), "top5": (0, 1), "cross_entropy": (0, math.inf), "macs": (0, 2**63), "parameters": (0, 2**63)}
"""Columns, with the least and the most that a value may be."""
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

    @cached_property
    def distinct(self) -> npt.NDArray[np.int64]:
        """Rows at which an architecture stands for the first time, ascending; the others are copies under other names."""
        return np.sort(np.unique(self.widths, axis=0, return_index=True)[1])

    @property
    def count(self) -> str:
        """In words, such as ``60 candidates``."""
        if len(self.distinct) == len(self):
            return f"{len(self):,} candidates"
        return f"{len(self.distinct):,} architectures under {len(self):,} names"

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
    names, texts, codes, entries = list[str](), list[str](), array("q"), 0
    columns: dict[str, array[float]] = {}
    first_rows: dict[Widths, int] = {}
    for line, row in read_rows(path, ("name", "architecture", *NUMBERS)):
        place = f"{path}: line {line}"
        code = read_code(row["architecture"], place)
        columns = columns or {column: array("d") for column in (*NUMBERS, *OPTIONAL) if column in row}
        entries = entries or len(code)
        if len(code) != entries:
            raise InputError(f"{place}: {row['architecture'][:80]!r} has {len(code)} entries, the first row {entries}")
        for column, values in columns.items():
            values.append(read_number(row[column], f"{place}: {column}", *NUMBERS.get(column, ())))
        first = first_rows.setdefault(code[:layers], len(names))
        if first < len(names) and not all(math.isclose(values[first], values[-1]) for values in columns.values()):
            raise InputError(
                f"{place}: {row['architecture'][:80]} stands above with other values; a table has one score of an architecture"
            )
        names.append(row["name"])
        texts.append(row["architecture"])
        codes.extend(code)
    if not names:
        raise InputError(f"{path}: holds no scores")
    if layers is not None and entries < layers:
        raise InputError(f"{path}: codes have {entries} entries; the config's space has {layers} layers")
    widths = np.array(codes, dtype=np.int64).reshape(-1, entries)[:, :layers]
    return Candidates(tuple(names), tuple(texts), widths, {column: np.array(values) for column, values in columns.items()})


def read_known(path: Path, layers: int | None) -> dict[Widths, float]:
    """Known accuracies, fractions by the layers' widths, of a file in the challenge's format; an ``acc`` of exactly 0 is unknown.

    Args:
        layers: entries of a code that a layer reads; None takes all.

    Raises:
        InputError: naming the first entry that is not of the format, or has another accuracy than its architecture has above.
    """
    known: dict[Widths, float] = {}
    for name, entry in read_json(path).items():
        place = f"{path}: {name[:80]!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("arch"), str):
            raise InputError(f'{place}: is not an object with a text "arch"')
        accuracy = entry.get("acc")
        if not isinstance(accuracy, int | float) or isinstance(accuracy, bool) or not 0 <= accuracy <= 1:
            raise InputError(f"{place}: acc {str(accuracy)[:80]!r} is not a fraction from 0 to 1")
        code = read_code(entry["arch"], place)[:layers]
        if accuracy and known.setdefault(code, float(accuracy)) != accuracy:
            raise InputError(f"{place}: {entry['arch'][:80]} has two accuracies, {known[code]} and {accuracy}")
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


def read_number(text: str, place: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Reads a finite number from ``least`` to ``most``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: {text[:80]!r} is not a finite number")
    if not least <= value <= most:
        raise InputError(f"{place}: {text[:80]!r} must be {f'from {least} to {most}' if most < math.inf else f'at least {least}'}")
    return value
