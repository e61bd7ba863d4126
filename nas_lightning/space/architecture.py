"""A candidate network as a value."""

from dataclasses import dataclass
from typing import Protocol

from nas_lightning.errors import InputError

MOST_DIGITS = 6
"""Maximum digits of a width in a file of unknown space."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The output width, in channels, of every searchable layer in forward order."""

    widths: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Reads the file form, such as ``16-8-12``.

        Raises:
            ValueError: if an entry is not a plain decimal integer. The space checks whether the widths are legal.
        """
        entries = text.split("-")
        for entry in entries:
            # int() would also accept "+4", " 4", "1_6" and digits of other scripts.
            if not (entry.isascii() and entry.isdigit()):
                raise ValueError(f"{entry!r} is not an integer")
        return cls(tuple(int(entry) for entry in entries))

    def __str__(self) -> str:
        return "-".join(str(width) for width in self.widths)


class ReadsCodes(Protocol):
    """Reads the codes of a file: the space, or ``AnyWidths`` if the space is unknown."""

    def parse(self, text: str) -> Architecture:
        """The architecture of a code, without trailing entries that no layer reads.

        Raises:
            InputError: if it is not a code.
        """


@dataclass(frozen=True, slots=True)
class AnyWidths:
    """Accepts any integers joined by '-' as a code."""

    layers: int | None = None
    """Entries of a code that layers read; None takes all."""

    def parse(self, text: str) -> Architecture:
        """The first ``layers`` entries.

        Raises:
            InputError: if an entry is not an integer of at most ``MOST_DIGITS`` digits, or there are too few.
        """
        entries = text.split("-")
        if not all(entry.isascii() and entry.isdigit() and len(entry) <= MOST_DIGITS for entry in entries):
            raise InputError(f"{text[:80]!r} is not a code of integers joined by '-'")
        if self.layers is not None and len(entries) < self.layers:
            raise InputError(f"{text[:80]!r} has {len(entries)} entries; the space has {self.layers} layers")
        return Architecture(tuple(map(int, entries[: self.layers])))
