"""What a ranking says, for the terminal, and how it agrees with known accuracies."""

from collections.abc import Mapping, Sequence

import numpy as np
from tabulate import tabulate

from nas_lightning.ranking.agreement import Agreement, measure
from nas_lightning.ranking.selection import best_rows, best_under_budgets
from nas_lightning.ranking.table import ScoreTable
from nas_lightning.space import Architecture

BASELINES = ("parameters", "multiply-adds", "last width")


def agreement_with(table: ScoreTable, known: Mapping[Architecture, float], resamples: int, seed: int = 0) -> Agreement:
    """How far both scores, and the baselines that need no training, agree with known accuracies.

    Args:
        known: accuracies as fractions; candidates of the table without one are left out.
    """
    truth = np.array([known.get(candidate.architecture, np.nan) for candidate in table.population])
    has_truth = ~np.isnan(truth)
    scores = {
        "top-1": table.quality("top1"),
        "negative cross entropy": table.quality("cross_entropy"),
        "parameters": table.parameters.astype(float),
        "multiply-adds": table.multiply_adds.astype(float),
        "last width": table.population.widths[:, -1].astype(float),
    }
    kept = {name: values[has_truth] for name, values in scores.items()}
    return measure(kept, truth[has_truth], baselines=BASELINES, resamples=resamples, seed=seed)


def summary(table: ScoreTable, key: str, budgets: Sequence[int] | None) -> str:
    """The ten best candidates, and the best under the budgets."""
    best = [_row(table, row) for row in best_rows(table, key)]
    chosen = best_under_budgets(table, key, budgets)
    under = [
        [f"<= {_millions(budget.multiply_adds)}", *(_row(table, budget.row) if budget.row is not None else ["none"])] for budget in chosen
    ]
    columns = ["name", "top-1", "cross entropy", "multiply-adds", "parameters", "architecture"]
    return "\n\n".join(
        [
            f"The best of {len(table.population):,} candidates by {key}\n" + tabulate(best, columns, disable_numparse=True),
            "The best under a budget of multiply-adds\n" + tabulate(under, ["budget", *columns], disable_numparse=True),
        ]
    )


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
