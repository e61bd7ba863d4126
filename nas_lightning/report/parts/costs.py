"""Score against multiply-adds, and the candidates that no cheaper one matches."""

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, PALE, axis, dots, hover_texts, layout, light_axes, spaced
from nas_lightning.report.run import Run

TITLE = "Score against cost"
COST = "multiply-adds, millions"


def pareto_front(macs: npt.NDArray[np.float64], quality: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Rows, cheapest first, of the candidates whose score no candidate of the same or a lower cost reaches."""
    order = np.lexsort((-quality, macs))
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(quality[order])[:-1]])
    return order[quality[order] > best_before]


def costs(run: Run, most: int) -> Part:
    """All candidates, at most ``most`` of them beside the front."""
    if run.candidates is None:
        return Part.missing(TITLE, "Missing: ranking/scores.csv.")
    macs, shown = run.candidates.columns["macs"] / 1e6, run.kind.shown(run.quality)
    distinct = run.candidates.distinct
    front = distinct[pareto_front(macs[distinct], run.quality[distinct])]
    order = run.candidates.order(run.kind)
    order = order[np.isin(order, distinct)]
    rest = order[~np.isin(order, front)]
    others = spaced(rest, most)
    marks = (
        (others, {"name": "candidates", "marker": {"size": 6, "color": PALE, "opacity": 0.6}}),
        (
            front,
            {
                "name": "Pareto front",
                "mode": "lines+markers",
                "line": {"shape": "hv", "color": ACCENT, "width": 1.5},
                "marker": {"size": 8, "color": ACCENT},
            },
        ),
    )
    traces = [
        dots(
            macs[rows],
            shown[rows],
            text=hover_texts(run.candidates, rows, run.kind),
            hovertemplate="%{text}<extra></extra>",
            **more,
        )
        for rows, more in marks
    ]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.scatter(macs[others], shown[others], s=14, color=PALE, alpha=0.6, linewidths=0)
        axes.step(macs[front], shown[front], where="post", color=ACCENT, linewidth=1.5)
        axes.scatter(macs[front], shown[front], s=26, color=ACCENT)
        light_axes(axes, COST, run.kind.axis)

    sample = "" if len(others) == len(rest) else f" Of the others {len(others):,} of {len(rest):,} are drawn, evenly spaced by score."
    return Part(
        TITLE,
        (f"Marked: the Pareto front, {len(front):,} candidates whose score none of the same or a lower cost reaches.{sample}",),
        figure=Figure(
            "costs",
            f"Scatter of {run.kind.name} against multiply-adds with a Pareto front of {len(front):,} candidates",
            traces,
            layout(420, xaxis=axis(COST), yaxis=axis(run.kind.axis)),
            {"height": 360},
            draw,
        ),
    )
