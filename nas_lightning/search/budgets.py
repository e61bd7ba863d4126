"""The best candidates of all, and the best under budgets of multiply-adds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import ScoreTable


class Budget(NamedTuple):
    """The best candidate of at most this cost."""

    multiply_adds: int
    row: int | None
    """Row of the table; None if no candidate is that cheap."""


def best_rows(table: ScoreTable, key: str, count: int = 10) -> list[int]:
    """Row numbers of the best architectures by ``key``, each under its first name, best first."""
    return _ordered(table, key)[:count].tolist()


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
    order = _ordered(table, key)
    chosen = []
    for budget in budgets:
        affordable = order[table.multiply_adds[order] <= budget]
        chosen.append(Budget(budget, int(affordable[0]) if len(affordable) else None))
    return chosen


def _ordered(table: ScoreTable, key: str) -> npt.NDArray[np.int64]:
    order = table.order(key)
    return order[np.isin(order, table.population.distinct_rows)]
