"""What a report consists of, before it is written as a page or as text. All of it is plain text; who writes it escapes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class Table:
    """Cells as text, a row as long as the head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure, for a page as plotly's JSON and for text as a picture."""

    name: str
    """Of its element and its file."""
    says: str
    """What is seen, for those who cannot see it."""
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    narrow: Mapping[str, Any]
    """What the layout has instead on a phone."""
    draw: Callable[[Canvas], None]
    size: tuple[float, float] = (7.2, 4.4)
    """Of the picture, in inches."""


@dataclass(frozen=True)
class Tile:
    """A number that stands out."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Part:
    """One part of the report."""

    title: str
    paragraphs: Sequence[str] = ()
    statements: Sequence[tuple[str, str]] = ()
    """What about, and what is said of it."""
    tiles: Sequence[Tile] = ()
    figure: Figure | None = None
    notes: Sequence[str] = ()
    """How to read the figure."""
    tables: Sequence[Table] = ()
    folded: tuple[str, str] | None = None
    """A title and a long text, shown when asked for."""

    @classmethod
    def missing(cls, title: str, why: str) -> "Part":
        """A part whose files are not there."""
        return cls(title, (why,))
