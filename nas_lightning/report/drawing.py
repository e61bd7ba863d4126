"""Figures: a function draws each, as a wide and a narrow picture, and returns the texts that a pointer reads."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from PIL import Image

from nas_lightning.report.text import short

ACCENT, TINT = "#0b6170", "#8fb8bf"
INK, MUTED, PALE, LINE = "#1d2327", "#69737b", "#b3bac0", "#e4e7ea"
COLOURS = LinearSegmentedColormap.from_list("effect", ["#8c7a6b", "#f7f8f8", ACCENT])
AMOUNTS = LinearSegmentedColormap.from_list("amount", ["#f7f8f8", ACCENT])
"""Of values around 0, and of others."""
WIDE, NARROW = 992, 340
"""Widths of a picture on a desktop's and a phone's page, in CSS pixels."""
CSS_PIXELS_AN_INCH = 96
COLOURS_OF_A_PICTURE = 256
"""A palette makes the files half as large."""
MOST_WRITTEN = 40
"""Maximum cells of a heat map with written values."""
LOOK: dict[Any, Any] = {
    "font.size": 9.5,
    "text.parse_math": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), PALE),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
}


class Hover(NamedTuple):
    """The texts that a pointer reads near the points of one pair of axes."""

    axes: Axes
    x: list[float]
    y: list[float]
    texts: list[str]
    """Plain text; a name on the first line."""

    def add(self, x: float, y: float, text: str) -> None:
        """One more point."""
        self.x.append(x)
        self.y.append(y)
        self.texts.append(text)


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    """Name of its element and its file."""
    says: str
    """Description for those who cannot see it."""
    draw: Callable[[Canvas], Sequence[Hover]]
    """Draws on a canvas, wide or narrow, and returns the same points for both."""
    notes: Sequence[str] = ()
    """How to read it."""
    height: int = 440
    """Height of the wide picture, in CSS pixels."""
    narrow_height: int = 360
    view: str = ""
    """Label of its switch where a part has several."""


@dataclass(frozen=True)
class Picture:
    """A figure in one of its two arrangements."""

    png: bytes
    """The same figure gives the same bytes."""
    width: int
    """In CSS pixels."""
    height: int
    hovers: Sequence[Hover]
    frames: Sequence[tuple[float, ...]]
    """Of each hover's axes: left, top, width and height as fractions of the picture; then the limits of x and y."""


def draw_both(figure: Figure) -> tuple[Picture, Picture]:
    """The wide and the narrow picture, with two and three pixels per CSS pixel; needs no display."""
    return _draw(figure, WIDE, figure.height, 2), _draw(figure, NARROW, figure.narrow_height, 3)


def is_narrow(canvas: Canvas) -> bool:
    """Whether a canvas is for a phone."""
    return canvas.get_figwidth() * CSS_PIXELS_AN_INCH < (NARROW + WIDE) / 2


def _draw(figure: Figure, width: int, height: int, sharpness: int) -> Picture:
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        warnings.simplefilter("ignore")  # characters that the font lacks, labels too large for a small figure
        size, dpi = (width / CSS_PIXELS_AN_INCH, height / CSS_PIXELS_AN_INCH), CSS_PIXELS_AN_INCH * sharpness
        canvas = Canvas(size, dpi, layout="constrained")
        hovers = figure.draw(canvas)
        agg, file = FigureCanvasAgg(canvas), io.BytesIO()
        agg.draw()  # savefig would lay out and draw twice
        drawn = Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3])
        drawn.quantize(COLOURS_OF_A_PICTURE, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, "png")
    return Picture(file.getvalue(), width, height, hovers, [_frame(hover.axes) for hover in hovers])


def crowd(points: int) -> dict[str, Any]:
    """Markers that stay legible in a crowd."""
    size, opacity = (36, 0.8) if points <= 50 else (28, 0.5) if points <= 500 else (14, 0.35)
    return {"s": size, "alpha": opacity, "color": ACCENT, "linewidths": 0}


def spaced(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most ``most`` of the rows, evenly spaced, including the first and the last."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def heat_map(
    values: npt.NDArray[np.float64],
    columns: tuple[str, Sequence[str]],
    rows: tuple[str, Sequence[str]],
    unit: str,
    limits: tuple[float, float],
    texts: Mapping[tuple[int, int], str],
) -> Callable[[Canvas], list[Hover]]:
    """Draws cells (rows, columns), nan if absent, coloured between limits; writes the values of few cells.

    Columns and rows have an axis label and a name each; texts are by row and column, of the cells that are not absent.
    """

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        colours = COLOURS if limits[0] == -limits[1] else AMOUNTS
        image = axes.imshow(values, origin="lower", aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1])
        for axis, (label, names) in ((axes.xaxis, columns), (axes.yaxis, rows)):
            named = spaced(np.arange(len(names)), 16)
            axis.set_ticks(named, [short(names[index]) for index in named])
            axis.set_label_text(short(label))
        for row, column in texts if len(texts) <= MOST_WRITTEN else ():
            axes.text(column, row, f"{values[row, column]:.3f}", ha="center", va="center", bbox={"color": "white", "alpha": 0.7, "pad": 2})
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        bar = canvas.colorbar(image, ax=axes, location="top" if is_narrow(canvas) else "right", aspect=30)
        bar.set_label(short(unit), color=INK)
        bar.outline.set_visible(False)
        return [Hover(axes, [column for _, column in texts], [row for row, _ in texts], list(texts.values()))]

    return draw


def _frame(axes: Axes) -> tuple[float, ...]:
    box = axes.get_position()
    numbers = (box.x0, 1 - box.y1, box.width, box.height, *axes.get_xlim(), *axes.get_ylim())
    return tuple(float(f"{number:.6g}") for number in numbers)
