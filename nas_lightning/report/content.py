"""The contents of a report in plain text; page and Markdown escape it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nas_lightning.report.drawing import Figure


class Link(NamedTuple):
    """A cell that links to another file."""

    text: str
    address: str
    """Relative, percent-encoded."""


@dataclass(frozen=True)
class Table:
    """Cells; rows are as long as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    caption: str = ""
    is_folded: bool = False
    """Whether the page shows it only on demand."""

    @classmethod
    def of(cls, columns: Sequence[tuple[str, Sequence[str | Link]]], caption: str = "", *, is_folded: bool = False) -> "Table":
        """From columns, each with its head."""
        cells = list(zip(*(column for _, column in columns), strict=True))
        return cls([head for head, _ in columns], cells, caption, is_folded)


class Tile(NamedTuple):
    """A number that stands out."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Part:
    """One part of the report."""

    title: str
    paragraphs: Sequence[str] = ()
    statements: Mapping[str, str] = field(default_factory=dict)
    """By subject; empty ones are skipped."""
    tiles: Sequence[Tile] = ()
    figure: Figure | None = None
    notes: Sequence[str] = ()
    """How to read the figure."""
    tables: Sequence[Table] = ()
    listing: tuple[str, str] | None = None
    """A title and a long text, only for the page."""
    is_folded: bool = False
    """Whether the page shows its content only on demand."""
