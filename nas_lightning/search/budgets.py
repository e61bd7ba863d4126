"""The best candidates of all, and the best under budgets of multiply-adds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import LABELS, ScoreTable


class Budget(NamedTuple):
    """The best candidate of at most this cost."""

    multiply_adds: int
    row: int | None
    """Row of the table; None if no candidate is that cheap."""


def best_rows(table: ScoreTable, key: str, count: int = 10) -> list[int]:
    """Row numbers of the best architectures by ``key``, each under its first name, best first."""
    return table.best_rows(key)[:count].tolist()


def best_under_budgets(table: ScoreTable, key: str, budgets: Sequence[int] | None = None) -> list[Budget]:
    """The best candidate by ``key`` under each budget.

    Args:
        budgets: multiply-adds per image; None takes the quartiles of the list's costs.
    """
    if budgets is None:
        macs = table.multiply_adds[list(table.population.distinct_rows)]
        budgets = [int(np.quantile(macs, share)) for share in (0.25, 0.5, 0.75)]
    if any(budget < 1 for budget in budgets):
        raise InputError(f"ranking.budgets: {list(budgets)} must be multiply-adds of at least 1")
    affordable = [table.best_rows(key, budget) for budget in budgets]
    return [Budget(budget, int(rows[0]) if len(rows) else None) for budget, rows in zip(budgets, affordable, strict=True)]


def summary(table: ScoreTable, key: str, budgets: Sequence[int] | None) -> str:
    """Tables of the ten best architectures by the score ``key``, and of the best under each budget."""
    best = [_row(table, row) for row in best_rows(table, key)]
    chosen = best_under_budgets(table, key, budgets)
    under = [
        [f"<= {_millions(budget.multiply_adds)}", *(_row(table, budget.row) if budget.row is not None else ["none"])] for budget in chosen
    ]
    columns = ["name", "top-1", "cross entropy", "multiply-adds", "parameters", "architecture"]
    if table.predicted is not None:
        columns.insert(1, "predicted")
    ordered = f"ordered by {LABELS[key]}"
    tables = {
        f"The best of {table.population.count}, {ordered}": (best, columns),
        f"The best under a budget of multiply-adds, {ordered}": (under, ["budget", *columns]),
    }
    return "\n\n".join(f"{title}\n{tabulate(rows, headers, disable_numparse=True)}" for title, (rows, headers) in tables.items())


def _row(table: ScoreTable, row: int) -> list[str]:
    candidate, score = table.population[row], table.scores[row]
    return [
        candidate.name,
        *([] if table.predicted is None else [f"{table.predicted[row]:.4f}"]),
        *(f"{value:.4f}" if math.isfinite(value) else "" for value in (score.top1, score.cross_entropy)),
        _millions(int(table.multiply_adds[row])),
        f"{int(table.parameters[row]):,}",
        candidate.text,
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f} M"
