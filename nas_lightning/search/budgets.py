"""The best candidates under budgets of multiply-adds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import ScoreTable


class Budget(NamedTuple):
    """The best candidate of at most this cost."""

    multiply_adds: int
    row: int | None
    """Row of the table; None if no candidate is that cheap."""


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
