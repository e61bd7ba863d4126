"""What every space is: named choices, each with its legal widths, and the candidates that they make."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.space.architecture import Architecture


class Space(ABC):
    """Candidates that differ in the width of every choice, in forward order."""

    name: str
    """Of the space in files and errors."""
    resolution: int
    """Height and width of the images, in pixels."""
    trailing_entries: int
    """Number of entries at the end of a written code that no layer reads."""
    choices: tuple[tuple[int, ...], ...]
    """The legal widths of every choice, ascending, in channels."""
    names: tuple[str, ...]
    """The name of every choice."""

    @property
    def layers(self) -> int:
        """Number of widths of an architecture."""
        return len(self.choices)

    @property
    def size(self) -> int:
        """Number of candidates."""
        return math.prod(len(widths) for widths in self.choices)

    @property
    def largest(self) -> Architecture:
        """Every layer at its largest width."""
        return Architecture(tuple(widths[-1] for widths in self.choices))

    @property
    def smallest(self) -> Architecture:
        """Every layer at its smallest width."""
        return Architecture(tuple(widths[0] for widths in self.choices))

    def check(self, architecture: Architecture) -> None:
        """Raises InputError naming the first entry that is not in the space."""
        self._check_entries(architecture.widths, str(architecture), self.choices)

    def parse(self, text: str) -> Architecture:
        """Reads a code of one entry per layer, with or without the trailing entries that no layer reads.

        Raises:
            InputError: naming the entry (counted from 1), its layer, its value and the legal widths.
        """
        try:
            entries = Architecture.parse(text).widths
        except ValueError as error:
            raise InputError(f"{text!r}: {error}; a code is integers joined by '-'") from None
        trailing = (self.choices[-1],) * self.trailing_entries
        legal = self.choices if len(entries) == self.layers else self.choices + trailing
        self._check_entries(entries, text, legal)
        return Architecture(entries[: self.layers])

    def text(self, architecture: Architecture) -> str:
        """The full written form; its trailing entries, which no layer reads, repeat the last width."""
        return "-".join(str(width) for width in architecture.widths + architecture.widths[-1:] * self.trailing_entries)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """One candidate, each width uniform over its legal values."""
        return Architecture(tuple(widths[rng.integers(len(widths))] for widths in self.choices))

    def sample_distinct(self, count: int, rng: np.random.Generator) -> list[Architecture]:
        """``count`` different candidates, uniform over the space.

        Raises:
            InputError: if the space has fewer.
        """
        if not 1 <= count <= self.size:
            raise InputError(f"cannot draw {count} distinct candidates: space {self.name} has {self.size}")
        if self.size <= 4 * count:  # rejection would be slow if most of the space is wanted
            return [self._numbered(int(number)) for number in rng.permutation(self.size)[:count]]
        drawn: dict[Architecture, None] = {}
        while len(drawn) < count:
            for row in self._rows(count - len(drawn), rng):
                drawn[Architecture(tuple(int(width) for width in row))] = None
        return list(drawn)

    @abstractmethod
    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the space: its constructor's arguments."""

    def _rows(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        return np.stack([rng.choice(widths, size=count) for widths in self.choices], axis=1)

    def _numbered(self, number: int) -> Architecture:
        widths: list[int] = []
        for legal in self.choices:
            number, digit = divmod(number, len(legal))
            widths.append(legal[digit])
        return Architecture(tuple(widths))

    def _check_entries(self, entries: tuple[int, ...], text: str, legal: tuple[tuple[int, ...], ...]) -> None:
        if len(entries) != len(legal):
            lengths = f"{self.layers}" + (f" or {self.layers + self.trailing_entries}" if self.trailing_entries else "")
            raise InputError(f"{text}: has {len(entries)} entries; space {self.name} takes {lengths}")
        for number, (width, allowed) in enumerate(zip(entries, legal, strict=True), start=1):
            if width not in allowed:
                layer = self.names[number - 1] if number <= self.layers else "read by no layer"
                raise InputError(f"entry {number} of {text} ({layer}): width {width} is not one of {', '.join(map(str, allowed))}")
