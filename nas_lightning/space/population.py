"""Lists of candidates, and the challenge's file format: ``{"arch1": {"acc": 0, "arch": "16-4-12"}, ...}``."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError, check_at_least, cut
from nas_lightning.rng import generator
from nas_lightning.runs.reading import load_json
from nas_lightning.runs.writing import as_json, write_text
from nas_lightning.space.architecture import Architecture, ReadsCodes
from nas_lightning.space.space import Space

LARGEST = 1e300
"""Largest magnitude of a legal number."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of a list. Rows are equal if their architectures are: no layer reads trailing entries of the text."""

    name: str = field(compare=False)
    text: str = field(compare=False)
    """The code as given, for output."""
    architecture: Architecture


class CandidateRows:
    """Candidates in their file's order, of any space."""

    candidates: tuple[Candidate, ...]

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __getitem__(self, index: int) -> Candidate:
        return self.candidates[index]

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """The candidates' architectures, in order."""
        return tuple(candidate.architecture for candidate in self.candidates)

    @property
    def widths(self) -> npt.NDArray[np.int64]:
        """(n, layers) integers, one row per candidate."""
        return np.array([candidate.architecture.widths for candidate in self.candidates], dtype=np.int64)

    @cached_property
    def distinct_rows(self) -> tuple[int, ...]:
        """The rows of each architecture's first occurrence; other rows are copies under other names."""
        first: dict[Architecture, int] = {}
        for row, candidate in enumerate(self.candidates):
            first.setdefault(candidate.architecture, row)
        return tuple(first.values())

    @property
    def count(self) -> str:
        """In words: ``60 candidates``, or with copies ``3 architectures under 60 names``."""
        distinct, names = len(self.distinct_rows), len(self)
        return f"{names:,} candidates" if distinct == names else f"{distinct:,} architectures under {names:,} names"

    def write(self, path: Path, accuracies: Iterable[float] | None = None) -> None:
        """Writes the challenge's format, codes as given; without accuracies ``acc`` is 0, as in the official list."""
        write_text(path, self.as_json(accuracies))

    def as_json(self, accuracies: Iterable[float] | None = None) -> str:
        """The text for ``write``."""
        values = [0] * len(self) if accuracies is None else list(accuracies)
        rows = zip(self.candidates, values, strict=True)
        return as_json({candidate.name: {"acc": acc, "arch": candidate.text} for candidate, acc in rows})


@dataclass(frozen=True)
class Candidates(CandidateRows):
    """Candidates of a file of unknown space."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Population(CandidateRows):
    """Candidates of one space in their file's order."""

    space: Space
    candidates: tuple[Candidate, ...]

    @classmethod
    def of(cls, space: Space, architectures: Iterable[Architecture]) -> "Population":
        """Names architectures ``arch1``, ``arch2``, ... and writes their codes at full length."""
        numbered = enumerate(architectures, start=1)
        return cls(space, tuple(Candidate(f"arch{number}", space.text(arch), arch) for number, arch in numbered))

    @classmethod
    def draw(cls, space: Space, count: int, seed: int) -> "Population":
        """``count`` distinct candidates, uniform over the space, the same for the same seed."""
        return cls.of(space, space.sample_distinct(count, generator(seed, "population")))

    @classmethod
    def read(cls, path: Path, space: Space) -> "Population":
        """Reads a list in the challenge's format and checks every code.

        Raises:
            InputError: naming file, key, value and rule of the first wrong entry, and the number of others.
        """
        return cls(space, tuple(candidate for candidate, _ in _read_rows(path, space)))

    def distinct(self) -> "Population":
        """The list without copies: every architecture under its first name."""
        if len(self.distinct_rows) == len(self):
            return self
        return Population(self.space, tuple(self.candidates[row] for row in self.distinct_rows))

    def sample(self, count: int, seed: int, purpose: str) -> "Population":
        """``count`` random candidates without replacement, in the list's order; determined by seed and purpose.

        Args:
            purpose: of the sample; with the same seed, samples to train on and to rank still differ.
        """
        if not 1 <= count <= len(self):
            raise InputError(f"cannot take {count} candidates at random: the list has {len(self)}")
        chosen = generator(seed, purpose).choice(len(self), size=count, replace=False)
        return Population(self.space, tuple(self.candidates[index] for index in sorted(chosen)))


@dataclass(frozen=True)
class EveryKth:
    """Chooses ``count`` candidates of a list, every ``step``-th from the first."""

    step: int
    count: int | None = None

    def __post_init__(self) -> None:
        check_at_least("step", self.step, 1)
        if self.count is not None:
            check_at_least("count", self.count, 1)

    def __call__(self, population: Population) -> Population:
        """The chosen candidates, in the list's order."""
        spaced = population.candidates[:: self.step][: self.count]
        if self.count is not None and len(spaced) < self.count:
            raise InputError(f"every {self.step}th of a list of {len(population)} gives {len(spaced)} candidates, not {self.count}")
        return Population(population.space, spaced)


@dataclass(frozen=True)
class RandomSubset:
    """Chooses ``count`` candidates of a list at random, without replacement."""

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least("count", self.count, 1)
        check_at_least("seed", self.seed, 0)

    def __call__(self, population: Population) -> Population:
        """The chosen candidates, in the list's order."""
        return population.sample(self.count, self.seed, "training list")


@dataclass(frozen=True)
class ListFile:
    """Takes the candidates of another file instead of the run's list."""

    path: str

    def __call__(self, population: Population) -> Population:
        """The file's candidates, checked against the list's space."""
        return Population.read(Path(self.path), population.space)


def read_accuracies(path: Path, space: ReadsCodes) -> dict[Architecture, float]:
    """Known accuracies, as fractions in (0, 1], in the challenge's format; omits an ``acc`` of exactly 0 as unknown.

    A file whose known accuracies all lie between 1 and 100 is in percent, with a line that says so.

    Raises:
        InputError: also if an accuracy is neither a fraction nor in percent, or an architecture has two different ones.
    """
    return as_fractions(path, read_values(path, space))


def read_values(path: Path, space: ReadsCodes) -> dict[Candidate, float]:
    """The numbers under ``acc`` as they stand in the file, each architecture once; omits those of exactly 0.

    Raises:
        InputError: as ``Population.read``; also if one is not a finite number, or an architecture has two different ones.
    """
    values: dict[Candidate, float] = {}
    for candidate, row in _read_rows(path, space):
        acc = row.get("acc")
        if not isinstance(acc, int | float) or isinstance(acc, bool) or not abs(acc) < LARGEST:  # nor NaN
            raise InputError(f"{path}: {candidate.name}: acc {repr(acc)[:80]} is not a fraction from 0 to 1, nor in percent")
        if acc and (first := values.setdefault(candidate, float(acc))) != float(acc):
            raise InputError(f"{path}: {candidate.name}: {candidate.text} has two accuracies, {first} and {acc}")
    return values


def as_fractions(path: Path, values: Mapping[Candidate, float]) -> dict[Architecture, float]:
    """The values of a file of accuracies as fractions; of percents it prints that they are, once."""
    fraction, percent = (
        next((f"{candidate.name} has {acc}" for candidate, acc in values.items() if low < acc < high), None)
        for low, high in ((0, 1), (1, LARGEST))
    )
    for candidate, acc in values.items():
        if not 0 < acc <= 100:
            raise InputError(f"{path}: {candidate.name}: acc {acc} is not a fraction from 0 to 1, nor in percent")
    if fraction and percent:
        raise InputError(f"{path}: mixes fractions and percents: {fraction}, but {percent}; give all accuracies in one of them")
    if percent:
        _report_percent(path, min(values.values()), max(values.values()))
    return {candidate.architecture: acc / (100 if percent else 1) for candidate, acc in values.items()}


@cache
def _report_percent(path: Path, least: float, most: float) -> None:
    if is_rank_zero():
        print(f"{path}: its accuracies, {least:g} to {most:g}, are taken as percent", file=sys.stderr)


def _read_rows(path: Path, space: ReadsCodes) -> list[tuple[Candidate, Mapping[str, Any]]]:
    content = _read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError(f'{path}: must be a JSON object of one or more entries such as "arch1": {{"acc": 0, "arch": "16-8"}}')
    rows, wrong = [], []
    for name, row in content.items():
        if not name.isprintable():  # names go into tables, pages and terminals
            wrong.append(f"name {name!a} holds characters that cannot be printed")
            continue
        text = row.get("arch") if isinstance(row, dict) else None
        if not isinstance(text, str):
            wrong.append(f'{name}: {str(row)[:80]!r} is not an object with a text "arch"')
            continue
        try:
            rows.append((Candidate(name, text, space.parse(text)), row))
        except InputError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        more = f" (and {len(wrong) - 1} more wrong entries)" if len(wrong) > 1 else ""
        raise InputError(f"{path}: {wrong[0]}{more}")
    return rows


def _read_json(path: Path) -> Any:
    try:
        return load_json(path, object_pairs_hook=_unique)
    except _DuplicateKeyError as error:
        raise InputError(f"{path}: key {error} stands twice") from None


class _DuplicateKeyError(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        raise _DuplicateKeyError(next(repr(cut(key)) for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return content
