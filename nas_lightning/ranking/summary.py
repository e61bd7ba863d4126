"""What a ranking says, for the terminal, and how it agrees with known accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from nas_lightning.ranking.agreement import Agreement, measure
from nas_lightning.ranking.ceiling import Ceiling
from nas_lightning.ranking.fitted_baseline import fitted_baselines
from nas_lightning.ranking.selection import best_rows, best_under_budgets
from nas_lightning.ranking.table import LABELS, ScoreTable
from nas_lightning.space import Architecture, Population

BASELINES = ("parameters", "multiply-adds", "last width", "sum of widths")
SURE = 0.95
"""Probability from which a score is said to beat a baseline; below 1 - SURE it is beaten."""


def agreement_with(
    table: ScoreTable, known: Mapping[Architecture, float], resamples: int, seed: int = 0, by_seed: npt.NDArray[np.float64] | None = None
) -> Agreement:
    """How far the scores, and the baselines that need no training, agree with known accuracies; copies of an architecture count once.

    Args:
        known: accuracies as fractions; candidates of the table without one are left out.
        by_seed: (n, s) the accuracies of the training seeds whose means are the known ones, a row an architecture, where there are such.
    """
    architectures = table.population.architectures
    rows = [row for row in table.population.distinct_rows if architectures[row] in known]
    truth = np.array([known[architectures[row]] for row in rows])
    widths = table.population.widths[rows]
    scores = {
        **{label: values[rows] for label, values in table.qualities().items()},
        "parameters": table.parameters[rows].astype(float),
        "multiply-adds": table.multiply_adds[rows].astype(float),
        "last width": widths[:, -1].astype(float),
        "sum of widths": widths.sum(axis=1).astype(float),
    }
    return replace(
        measure(scores, truth, baselines=BASELINES, resamples=resamples, seed=seed),
        fitted=fitted_baselines(widths, truth, seed),
        ceiling=None if by_seed is None else Ceiling.of(by_seed, seed),
        copies=sum(one in known for one in architectures) - len(rows),
    )


def agreement_summary(agreement: Agreement) -> str:
    """The table of an agreement, which baselines each score beats, and what else the known accuracies allow to say."""
    lines = [verdict(agreement, name) for name in agreement.by_score if name not in agreement.baselines] if agreement.resamples else []
    for count, fitted in agreement.fitted.items():
        lines.append(f"fitted on {count} known accuracies (least squares on log widths), on the others: Kendall {fitted.kendall}")
    if (ceiling := agreement.ceiling) is not None:
        of = f"against means over {ceiling.seeds} seeds a perfect predictor would reach"
        lines.append(f"ceiling: {of} Kendall {ceiling.kendall}, Pearson {ceiling.pearson}")
    return "\n\n".join([agreement.table(), *(["\n".join(lines)] if lines else [])])


def verdict(agreement: Agreement, score: str) -> str:
    """One sentence: which baselines a score beats by Kendall, which it does not, and which beat it; p is the share of resamples."""
    found = {name: agreement.beats(score, name) for name in agreement.baselines}
    chances = {name: chance for name, chance in found.items() if chance is not None}
    groups = {
        "beats": [name for name, chance in chances.items() if chance >= SURE],
        "does not beat": [name for name, chance in chances.items() if 1 - SURE < chance < SURE],
        "is beaten by": [name for name, chance in chances.items() if chance <= 1 - SURE],
    }
    told = [f"{words} {', '.join(f'{name} (p = {chances[name]:.2f})' for name in names)}" for words, names in groups.items() if names]
    if not told:
        return f"{score} cannot be compared with a baseline: one side has no order"
    return f"{score} {'; '.join([f'{told[0]} by Kendall', *told[1:]])}"


def summary(table: ScoreTable, key: str, budgets: Sequence[int] | None) -> str:
    """The ten best architectures by the score ``key``, and the best under the budgets."""
    best = [_row(table, row) for row in best_rows(table, key)]
    chosen = best_under_budgets(table, key, budgets)
    under = [
        [f"<= {_millions(budget.multiply_adds)}", *(_row(table, budget.row) if budget.row is not None else ["none"])] for budget in chosen
    ]
    columns = ["name", "top-1", "cross entropy", "multiply-adds", "parameters", "architecture"]
    ordered = f"ordered by {LABELS[key]}"
    tables = {
        f"The best of {_count(table.population)}, {ordered}": (best, columns),
        f"The best under a budget of multiply-adds, {ordered}": (under, ["budget", *columns]),
    }
    return "\n\n".join(f"{title}\n{tabulate(rows, headers, disable_numparse=True)}" for title, (rows, headers) in tables.items())


def _count(population: Population) -> str:
    distinct, names = len(population.distinct_rows), len(population)
    return f"{names:,} candidates" if distinct == names else f"{distinct:,} architectures under {names:,} names"


def _row(table: ScoreTable, row: int) -> list[str]:
    candidate, one = table.population[row], table.scores[row]
    return [
        candidate.name,
        f"{one.top1:.4f}",
        f"{one.cross_entropy:.4f}",
        _millions(int(table.multiply_adds[row])),
        f"{int(table.parameters[row]):,}",
        candidate.text,
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f} M"
