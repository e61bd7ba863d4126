"""Score against known accuracy, candidate by candidate."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Figure, Part
from nas_lightning.report.look import ACCENT, INK, axis, cloud, dots, hover_texts, layout, light_axes, spaced
from nas_lightning.report.run import Run

TITLE = "Score against known accuracy"
ACCURACY = "known accuracy, %"


def against_truth(run: Run, most: int) -> Part:
    """A point a candidate, at most ``most`` of them."""
    if run.candidates is None:
        return Part.missing(TITLE, "Missing: ranking/scores.csv.")
    if run.truth is None:
        return Part.missing(TITLE, "Missing: ranking/known_accuracies.json or standalone/known_accuracies.json.")
    if not len(run.known):
        return Part.missing(TITLE, f"No candidate of ranking/scores.csv has an accuracy in {run.truth_file}.")
    ordered = run.known[np.argsort(-run.quality[run.known], kind="stable")]
    best, others = ordered[:10], spaced(ordered[10:], max(most - 10, 1))
    shown, accuracy = run.kind.shown(run.quality), 100 * run.truth
    traces = []
    for rows, name, marker in (
        (others, "candidates", cloud(len(others))),
        (best, "ten best by score", {"size": 9, "color": ACCENT, "line": {"color": INK, "width": 1.5}}),
    ):
        texts = [
            f"{text}<br>known accuracy {accuracy[row]:.2f} %"
            for text, row in zip(hover_texts(run.candidates, rows, run.kind), rows, strict=True)
        ]
        traces.append(dots(shown[rows], accuracy[rows], name=name, marker=marker, text=texts, hovertemplate="%{text}<extra></extra>"))

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.scatter(shown[others], accuracy[others], s=18, color=ACCENT, alpha=0.5, linewidths=0)
        axes.scatter(shown[best], accuracy[best], s=32, color=ACCENT, edgecolors=INK)
        light_axes(axes, run.kind.axis, ACCURACY)

    drawn = len(best) + len(others)
    sample = "" if drawn == len(run.known) else f" Drawn are {drawn:,} of {len(run.known):,}, evenly spaced by score."
    return Part(
        TITLE,
        (
            f"Each point is one of {len(run.known):,} candidates with an accuracy in {run.truth_file}. "
            f"The closer they lie to one rising line, the better the score orders them.{sample}",
        ),
        figure=Figure(
            "against_truth",
            f"Scatter of known accuracy against {run.kind.name} for {drawn:,} candidates",
            traces,
            layout(440, xaxis=axis(run.kind.axis), yaxis=axis(ACCURACY)),
            {"height": 360},
            draw,
        ),
        notes=("Outlined: the ten best by score.",) if len(others) else (),
    )
