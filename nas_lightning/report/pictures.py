"""Figures as PNG files, drawn without a display; the same figure gives the same bytes."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from nas_lightning.durable import write_whole
from nas_lightning.report.content import Figure
from nas_lightning.report.look import INK, PALE

DOTS_PER_INCH = 150
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def write_picture(figure: Figure, path: Path) -> None:
    """Draws a figure into a file."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        warnings.simplefilter("ignore")  # letters that the font has not, labels that leave a small figure no room
        canvas = Canvas(figsize=figure.size, layout="constrained")
        FigureCanvasAgg(canvas)
        figure.draw(canvas)
        write_whole(path, lambda temporary: canvas.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None}))
