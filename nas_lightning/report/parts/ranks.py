"""How many places each candidate is off: its place by score beside its place by known accuracy."""

import numpy as np
from matplotlib.figure import Figure as Canvas
from scipy.stats import rankdata

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, MUTED, axis, cloud, dots, escaped, layout, light_axes, spaced
from nas_lightning.report.run import Run

TITLE = "How many places off"
PLACE, OFF = "place by known accuracy", "places too low (+) or high (-)"


def ranks(run: Run, most: int) -> Part:
    """A point a candidate, at most ``most`` of them."""
    if run.candidates is None or run.truth is None or len(run.known) < 2:
        return Part.missing(TITLE, "Missing: at least two candidates with a known accuracy (see above).")
    true_places = rankdata(-run.truth[run.known])
    score_places = rankdata(-run.quality[run.known])
    off = score_places - true_places
    rows = spaced(np.argsort(true_places, kind="stable"), most)
    half, most_of = (float(np.quantile(np.abs(off), share)) for share in (0.5, 0.9))
    names = run.candidates.names
    texts = [
        f"<b>{escaped(names[run.known[row]])}</b><br>place by known accuracy {true_places[row]:g}<br>place by score {score_places[row]:g}"
        for row in rows
    ]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.scatter(true_places[rows], off[rows], s=18, color=ACCENT, alpha=0.55, linewidths=0)
        light_axes(axes, PLACE, OFF)

    n = len(run.known)
    sample = "" if len(rows) == n else f" Drawn are {len(rows):,} of {n:,}, evenly spaced by known accuracy."
    return Part(
        TITLE,
        (
            f"Half of the {n:,} candidates stand at most {half:,.0f} places off, nine in ten at most {most_of:,.0f}. "
            f"An order at random would put half of them at least {0.29 * n:,.0f} places off.{sample}",
        ),
        figure=Figure(
            "ranks",
            f"Place by score minus place by known accuracy, against the latter, for {len(rows):,} candidates",
            [
                dots(
                    true_places[rows],
                    off[rows],
                    marker=cloud(len(rows)),
                    text=texts,
                    hovertemplate="%{text}<extra></extra>",
                )
            ],
            layout(
                360,
                xaxis=axis(PLACE),
                yaxis=axis(OFF),
                shapes=[{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": {"color": MUTED, "width": 1}}],
            ),
            {"height": 320},
            draw,
            (7.2, 3.8),
        ),
        notes=("Place 1 is the best. At both ends a candidate can only be misplaced inwards: the cloud leans there by itself.",),
    )
