"""One point per candidate: its score against its known accuracy and its cost, and its places in both orders."""

import math
import textwrap
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from scipy.stats import rankdata

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, Figure, Hover, crowd, spaced
from nas_lightning.report.ranking import Ranking
from nas_lightning.report.run import RunFiles
from nas_lightning.report.text import short
from nas_lightning.scoring.meanings import direction_of, head_of

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def against_truth(ranking: Ranking, points: int) -> tuple[Figure, Figure]:
    """Score against known accuracy, in values and in places."""
    scores, accuracy = ranking.values, 100 * ranking.truth
    ordered = ranking.known[np.argsort(-ranking.quality[ranking.known], kind="stable")]
    count = min(10, -(-len(ordered) // 4))  # of a few candidates fewer, or all were outlined
    best, others = ordered[:count], spaced(ordered[count:], max(points - count, 1))
    rows = np.concatenate([others, best])
    seeds = {row: 100 * values for row, values in ranking.seeds.items() if row in rows}
    true_places, places = places_of(ranking)

    def mark(axes: Axes, x: Numbers, y: Numbers) -> None:
        axes.scatter(x[others], y[others], **crowd(len(others)))
        axes.scatter(x[best], y[best], s=40, color=ACCENT, edgecolors=INK, zorder=3)

    def draw(axes: Axes) -> None:
        low, high = [min(values) for values in seeds.values()], [max(values) for values in seeds.values()]
        axes.vlines(scores[list(seeds)], low, high, color=MUTED, linewidth=1.2)
        mark(axes, scores, accuracy)
        axes.set(xlabel=_head(ranking), ylabel="known accuracy, %")
        axes.xaxis.set_inverted(ranking.key != "top1")

    def draw_places(axes: Axes) -> None:
        axes.axline((1, 1), slope=1, color=MUTED, linewidth=1)
        mark(axes, places, true_places)
        ends = (1.02 * len(ordered) + 0.5, 0.5 - len(ordered) / 50)  # the best at the upper right, as among the values
        axes.set(xlabel="place by score, 1 is the best", ylabel="place by known accuracy", xlim=ends, ylim=ends)

    says = f"Scatter of known accuracy against {ranking.name} for {len(rows):,} candidates"
    outlined = f"Each point is a candidate with an accuracy in {ranking.truth_file}. Outlined: the {_number(count)} best by score."
    bars = "Lines: from the lowest to the highest of its training seeds." if seeds else ""
    sample = _sample(len(rows), len(ordered), "score")
    values = _with_texts(draw, ranking, rows, scores, accuracy)
    in_places = _with_texts(draw_places, ranking, rows, places, true_places)
    line = "On the line both orders agree; above it the score undervalues a candidate."
    return (
        Figure("against_truth", says, values, tuple(filter(None, (outlined, bars, sample))), view="Values"),
        Figure("ranks", f"{says}, in places", in_places, tuple(filter(None, (outlined, line, sample))), view="Places"),
    )


def places_of(ranking: Ranking) -> tuple[Numbers, Numbers]:
    """(2, n) places by known accuracy and by score among the candidates with both, 1 is the best; nan of others."""
    places = np.full((2, len(ranking.truth)), np.nan)
    for row, values in enumerate((ranking.truth, ranking.quality)):
        places[row, ranking.known] = rankdata(-values[ranking.known])
    return places[0], places[1]


def costs(run: RunFiles) -> Part | None:
    """Score against cost, with the Pareto front."""
    if run.ranking is None or not len(run.ranking.known):  # without a truth the verdict shows it
        return None
    return Part("Score against cost", figures=against_costs(run.ranking, run.points))


def against_costs(ranking: Ranking, points: int) -> tuple[Figure, Figure]:
    """Score against parameters and multiply-adds."""
    thousands, millions = ranking.table.parameters / 1e3, ranking.table.multiply_adds / 1e6
    return (
        _against_cost(ranking, points, "costs", "multiply-adds, millions", millions, "Multiply-adds"),
        _against_cost(ranking, points, "parameters", "parameters, thousands", thousands, "Parameters"),
    )


def _against_cost(ranking: Ranking, points: int, name: str, label: str, cost: Numbers, view: str) -> Figure:
    scores = ranking.values
    front = ranking.distinct[pareto_front(cost[ranking.distinct], ranking.quality[ranking.distinct])]
    rest = ranking.order[~np.isin(ranking.order, front)]
    others = spaced(rest, points)

    def draw(axes: Axes) -> None:
        axes.scatter(cost[others], scores[others], s=18, color=PALE, alpha=0.6, linewidths=0)
        axes.step(cost[front], scores[front], where="post", color=ACCENT, linewidth=1.5)
        axes.scatter(cost[front], scores[front], s=32, color=ACCENT, zorder=3)
        axes.set(xlabel=label, ylabel=_head(ranking))
        axes.yaxis.set_inverted(ranking.key != "top1")

    marked = f"Marked: the Pareto front, {len(front):,} candidates whose score none of the same or a lower cost reaches."
    says = f"Scatter of {ranking.name} against {view.lower()} with a Pareto front of {len(front):,} candidates"
    notes = tuple(filter(None, (marked, _sample(len(others), len(rest), "score"))))
    return Figure(name, says, _with_texts(draw, ranking, np.concatenate([others, front]), cost, scores), notes, 420, view=view)


def pareto_front(cost: Numbers, quality: Numbers) -> Rows:
    """Rows, cheapest first, of candidates whose score no other reaches at the same or a lower cost."""
    order = np.lexsort((-quality, cost))
    best_before = np.concatenate([[-math.inf], np.maximum.accumulate(quality[order])[:-1]])
    return order[quality[order] > best_before]


def _with_texts(draw: Callable[[Axes], None], ranking: Ranking, rows: Rows, x: Numbers, y: Numbers) -> Callable[[Canvas], list[Hover]]:
    """A drawing on one pair of axes, with a text for each candidate."""
    # Lines of at most 30 characters fit a phone.
    candidates, table, known = ranking.table.population, ranking.table, 100 * ranking.truth
    texts = [
        f"{short(candidates[row].name)}\n{textwrap.fill(candidates[row].text, 30)}\n{ranking.name} {ranking.values[row]:.5g} "
        f"{ranking.unit}\n{table.multiply_adds[row] / 1e6:.3f} M multiply-adds\n{table.parameters[row]:,} parameters"
        + ("" if math.isnan(known[row]) else f"\nknown accuracy {known[row]:.2f} %")
        for row in rows
    ]

    def drawn(canvas: Canvas) -> list[Hover]:
        draw(axes := canvas.subplots())
        return [Hover(axes, x[rows].tolist(), y[rows].tolist(), texts)]

    return drawn


def _head(ranking: Ranking) -> str:
    return f"{head_of(ranking.key)}; {direction_of(ranking.key)}"


def _number(count: int) -> str:
    return {1: "one", 10: "ten"}.get(count, str(count))


def _sample(drawn: int, of: int, spaced_by: str) -> str:
    return "" if drawn == of else f"Drawn are {drawn:,} of {of:,}, evenly spaced by {spaced_by}."
