"""One point per candidate: its score against its known accuracy and its cost, and its places in both orders."""

import math
import textwrap
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from scipy.stats import rankdata

from nas_lightning.report.content import Part, missing
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, Figure, Hover, crowd, spaced
from nas_lightning.report.run import Ranking, RunFiles
from nas_lightning.report.text import short

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def against_truth(run: RunFiles) -> Part | None:
    """Score against known accuracy."""
    title, ranking = "Score against known accuracy", run.ranking
    if ranking is None:
        return None
    if not len(ranking.known):
        return missing(title, "accuracies of candidates in ranking/known_accuracies.json or standalone/known_accuracies.json")
    scores, accuracy = ranking.quality, 100 * ranking.truth
    ordered = ranking.known[np.argsort(-ranking.quality[ranking.known], kind="stable")]
    best, others = ordered[:10], spaced(ordered[10:], max(run.points - 10, 1))

    def draw(axes: Axes) -> None:
        axes.scatter(scores[others], accuracy[others], **crowd(len(others)))
        axes.scatter(scores[best], accuracy[best], s=40, color=ACCENT, edgecolors=INK)
        axes.set(xlabel=f"score: {ranking.label}, {ranking.unit}", ylabel="known accuracy, %")

    rows = np.concatenate([others, best])
    says = f"Scatter of known accuracy against {ranking.label} for {len(rows):,} candidates"
    text = (
        f"Each point is one of {len(ordered):,} candidates with an accuracy in {ranking.truth_file}. "
        f"The closer they lie to one rising line, the better the score orders them.{_sample(len(rows), len(ordered), 'score')}"
    )
    figure = Figure("against_truth", says, _with_texts(draw, ranking, rows, scores, accuracy), ("Outlined: the ten best by score.",))
    return Part(title, (text,), figure=figure)


def places(run: RunFiles) -> Part | None:
    """The place by score minus the place by known accuracy."""
    ranking = run.ranking
    if ranking is None or len(ranking.known) < 2:
        return None
    true_places, off = np.full((2, len(ranking.truth)), np.nan)
    true_places[ranking.known] = rankdata(-ranking.truth[ranking.known])
    off[ranking.known] = rankdata(-ranking.quality[ranking.known]) - true_places[ranking.known]
    rows, n = spaced(ranking.known[np.argsort(true_places[ranking.known], kind="stable")], run.points), len(ranking.known)
    half, most_of = np.nanquantile(np.abs(off), (0.5, 0.9))

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.scatter(true_places[rows], off[rows], **crowd(len(rows)))
        axes.set(xlabel="place by known accuracy", ylabel="places too low (+) or high (-)")

    says = f"Place by score minus place by known accuracy, against the latter, for {len(rows):,} candidates"
    note = "Place 1 is the best. At both ends a candidate can only be misplaced inwards: the cloud leans there by itself."
    text = (
        f"Half of the {n:,} candidates stand at most {half:,.0f} places off, nine in ten at most {most_of:,.0f}. "
        f"An order at random would put half of them at least {0.29 * n:,.0f} places off.{_sample(len(rows), n, 'known accuracy')}"
    )
    figure = Figure("ranks", says, _with_texts(draw, ranking, rows, true_places, off), (note,), 360, 320)
    return Part("How many places off", (text,), figure=figure)


def costs(run: RunFiles) -> Part | None:
    """Score against multiply-adds, with the Pareto front."""
    if (ranking := run.ranking) is None:
        return None
    macs, scores = ranking.table.multiply_adds / 1e6, ranking.quality
    front = ranking.distinct[pareto_front(macs[ranking.distinct], ranking.quality[ranking.distinct])]
    rest = ranking.order[~np.isin(ranking.order, front)]
    others = spaced(rest, run.points)

    def draw(axes: Axes) -> None:
        axes.scatter(macs[others], scores[others], s=18, color=PALE, alpha=0.6, linewidths=0)
        axes.step(macs[front], scores[front], where="post", color=ACCENT, linewidth=1.5)
        axes.scatter(macs[front], scores[front], s=32, color=ACCENT, zorder=3)
        axes.set(xlabel="multiply-adds, millions", ylabel=f"score: {ranking.label}, {ranking.unit}")

    marked = f"Marked: the Pareto front, {len(front):,} candidates whose score none of the same or a lower cost reaches."
    says = f"Scatter of {ranking.label} against multiply-adds with a Pareto front of {len(front):,} candidates"
    figure = Figure("costs", says, _with_texts(draw, ranking, np.concatenate([others, front]), macs, scores), height=420)
    return Part("Score against cost", (f"{marked}{_sample(len(others), len(rest), 'score')}",), figure=figure)


def pareto_front(macs: Numbers, quality: Numbers) -> Rows:
    """Rows, cheapest first, of candidates whose score no other reaches at the same or a lower cost."""
    order = np.lexsort((-quality, macs))
    best_before = np.concatenate([[-math.inf], np.maximum.accumulate(quality[order])[:-1]])
    return order[quality[order] > best_before]


def _with_texts(draw: Callable[[Axes], None], ranking: Ranking, rows: Rows, x: Numbers, y: Numbers) -> Callable[[Canvas], list[Hover]]:
    """A drawing on one pair of axes, with a text for each candidate."""
    # Lines of at most 30 characters fit a phone.
    candidates, macs, known = ranking.table.population, ranking.table.multiply_adds / 1e6, 100 * ranking.truth
    texts = [
        f"{short(candidates[row].name)}\n{textwrap.fill(candidates[row].text, 30)}\n{ranking.label} {ranking.quality[row]:.5g} "
        f"{ranking.unit}\n{macs[row]:.3f} M multiply-adds\nknown accuracy {known[row]:.2f} %".removesuffix("\nknown accuracy nan %")
        for row in rows
    ]

    def drawn(canvas: Canvas) -> list[Hover]:
        draw(axes := canvas.subplots())
        return [Hover(axes, x[rows].tolist(), y[rows].tolist(), texts)]

    return drawn


def _sample(drawn: int, of: int, spaced_by: str) -> str:
    return "" if drawn == of else f" Drawn are {drawn:,} of {of:,}, evenly spaced by {spaced_by}."
