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
    file: str = ""
    """Name of the CSV file that the page offers; such a table can be copied and sorted, too."""

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
    figures: Sequence[Figure] = ()
    """Views of one subject; the page shows one at a time."""
    tables: Sequence[Table] = ()
    """Those without rows are skipped."""
    command: str = ""
    """A command line that answers what the part leaves open."""
    listings: Mapping[str, str] = field(default_factory=dict)
    """Long texts by title, only for the page."""
    is_folded: bool = False
    """Whether the page shows its content only on demand."""
    lead: Sequence[str] = ()
    """Paragraphs that come first, before tiles and figures, followed by the command."""
