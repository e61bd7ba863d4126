"""Colours, and what the figures share: axes, hover texts, and how many points are drawn."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from nas_lightning.report.candidates import Candidates, ScoreKind

ACCENT, TINT = "#0b6170", "#8fb8bf"
INK, MUTED, PALE, LINE = "#1d2327", "#69737b", "#b3bac0", "#e4e7ea"
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
LONGEST_NAME = 40
"""Characters of a name that a figure shows."""
ENTRIES_A_LINE = 10
"""Of an architecture in a hover text, so that a phone has room for it."""


def escaped(text: str) -> str:
    """Text of a file for plotly, which reads a little HTML in every text it is given; long ones are cut."""
    short = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    return html.escape(short, quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A plain axis of a plotly layout."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "gridcolor": LINE,
        "zeroline": False,
        "linecolor": PALE,
        "ticks": "outside",
        "tickcolor": PALE,
        "ticklen": 4,
        "automargin": True,
        **more,
    }


def layout(height: int, **more: Any) -> dict[str, Any]:
    """A plain plotly layout, as wide as its place."""
    return {
        "height": height,
        "autosize": True,
        "font": {"family": FONTS, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": PALE, "align": "left", "font": {"family": FONTS, "size": 12, "color": INK}},
        "showlegend": False,
        **more,
    }


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The first mapping with the second's values in it, at every depth."""
    result = dict(first)
    for key, value in second.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


def dots(x: npt.NDArray[Any], y: npt.NDArray[Any], **more: Any) -> dict[str, Any]:
    """A plotly trace of points."""
    return {"type": "scatter", "mode": "markers", "x": plain(x), "y": plain(y), "cliponaxis": False, **more}


def cloud(points: int) -> dict[str, Any]:
    """Markers that let a crowd be seen through."""
    size, opacity = (8, 0.8) if points <= 50 else (7, 0.5) if points <= 500 else (5, 0.35)
    return {"size": size, "opacity": opacity, "color": ACCENT}


def plain(values: npt.NDArray[Any], digits: int = 6) -> list[float | None]:
    """Numbers for JSON with so many significant digits, None where there is none."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def hover_texts(candidates: Candidates, rows: npt.NDArray[np.int64], kind: ScoreKind) -> list[str]:
    """Name, architecture, score and multiply-adds of each row."""
    macs, quality = candidates.columns["macs"], candidates.quality(kind)
    return [
        f"<b>{escaped(candidates.names[row])}</b><br>{_code(candidates.texts[row])}<br>{kind.name} {kind.text(quality[row])}"
        f"<br>{macs[row] / 1e6:.3f} M multiply-adds"
        for row in rows
    ]


def spaced(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many of the rows, evenly spaced; the first and the last among them."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def light_axes(axes: Axes, x: str, y: str) -> None:
    """Titles and a plain grid for a picture."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(PALE)
    axes.tick_params(color=PALE)


def _code(text: str) -> str:
    entries = text.split("-")
    lines = ["-".join(entries[start : start + ENTRIES_A_LINE]) for start in range(0, len(entries), ENTRIES_A_LINE)]
    return "-<br>".join(lines)
