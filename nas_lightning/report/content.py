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
    """Rows of cells by column; a column without text in any row is not shown."""

    rows: Sequence[Mapping[str, str | Link]]
    caption: str = ""
    is_folded: bool = False
    """Whether the page shows it only on demand."""

    @property
    def columns(self) -> list[str]:
        """The heads of the columns that are shown."""
        named = dict.fromkeys(column for row in self.rows for column in row)
        return [column for column in named if any(row.get(column) for row in self.rows)]


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
    """By subject; like a paragraph, skipped if empty."""
    tiles: Sequence[Tile] = ()
    figure: Figure | None = None
    tables: Sequence[Table] = ()
    """Those without rows are skipped."""
    listings: Mapping[str, str] = field(default_factory=dict)
    """Long texts by title, only for the page."""
    is_folded: bool = False
    """Whether the page shows its content only on demand."""


def missing(title: str, files: str) -> Part:
    """The part that stands for one whose files are not there."""
    return Part(title, (f"Missing: {files}.",))
