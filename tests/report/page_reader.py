"""Reads a page as a browser's parser does: its tags, its text and the figures' points; and the points alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import Hover


@dataclass
class Page(HTMLParser):
    """What a page holds."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    """What is read, without scripts and styles."""
    scripts: list[str] = field(default_factory=list)
    """Those that run."""
    data: dict[str, Any] = field(default_factory=dict)
    """The panels of each figure by its name."""

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)

    @classmethod
    def parse(cls, text: str) -> "Page":
        page = cls()
        page.feed(text)
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and attributes.get("type") == "application/json":
            self.data[str(attributes["id"]).removesuffix("-data")] = json.loads(data)
        elif tag == "script":
            self.scripts.append(data)
        elif tag != "style":
            self.text += f"{data} "

    def points(self, figure: str) -> int:
        """How many points of a figure a pointer finds."""
        return sum(len(panel["x"]) for panel in self.data[figure])


def points_of(parts: Sequence[Part]) -> dict[str, Sequence[Hover]]:
    """The points of each figure by its name, without a picture."""
    return {figure.name: figure.draw(Canvas()) for part in parts for figure in part.figures}
