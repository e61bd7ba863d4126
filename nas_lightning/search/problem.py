"""What a search chooses from: rows of positions in each layer's list of legal widths, their costs, limits that none exceeds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.space import Architecture, Space

Rows = npt.NDArray[np.int64]
"""(n, layers) positions of a candidate's widths, 0 the narrowest."""
Floats = npt.NDArray[np.float64]
CostOf = Callable[[Rows], npt.NDArray[Any]]
"""(n, layers) widths -> (n,) costs."""
Budget = Mapping[str, float]
"""The most that a candidate may cost, by the cost's name; empty without limits."""

BISECTIONS = 12
"""Steps towards the largest candidate within the limits."""


COUNTED = ("multiply_adds", "parameters")
"""Costs that a structure counts."""


def counted(cost: Callable[[Rows], Any]) -> dict[str, CostOf]:
    """The costs that a structure counts, by name; ``cost`` is its method."""

    def of(name: str, widths: Rows) -> npt.NDArray[Any]:
        return getattr(cost(widths), name)

    return {name: partial(of, name) for name in COUNTED}


@dataclass(frozen=True)
class Problem:
    """The candidates of a space, and their costs by name.

    Args:
        budgets: candidates are chosen under each; one may exceed a budget, but not the largest of each cost.
        front: the costs that span the front.
        listed: candidates of a list, for ``start=list``.
    """

    space: Space
    cost_of: Mapping[str, CostOf]
    budgets: tuple[Budget, ...] = ({},)
    front: tuple[str, ...] = ("multiply_adds",)
    listed: tuple[Architecture, ...] = ()

    @cached_property
    def most(self) -> Rows:
        """(layers,) the positions of the widest widths."""
        return np.array([len(widths) - 1 for widths in self.space.choices], dtype=np.int64)

    @cached_property
    def limits(self) -> dict[str, float]:
        """The largest budget of each cost that all budgets limit."""
        named = set.intersection(*(set(budget) for budget in self.budgets))
        return {name: max(budget[name] for budget in self.budgets) for name in sorted(named)}

    def widths(self, rows: Rows) -> Rows:
        """(n, layers) widths in channels."""
        rows = rows.reshape(-1, self.space.layers)  # of none, too
        columns = [np.array(widths)[column] for widths, column in zip(self.space.choices, rows.T, strict=True)]
        return np.stack(columns, axis=1)

    def architectures(self, rows: Rows) -> list[Architecture]:
        """The candidates as values."""
        return [Architecture(tuple(widths)) for widths in self.widths(rows).tolist()]

    def rows(self, architectures: Iterable[Architecture]) -> Rows:
        """The positions of legal candidates."""
        found = [[legal.index(width) for legal, width in zip(self.space.choices, one.widths, strict=True)] for one in architectures]
        return np.array(found, dtype=np.int64).reshape(-1, self.space.layers)

    def costs(self, rows: Rows) -> dict[str, Floats]:
        """(n,) costs by name."""
        widths = self.widths(rows)
        return {name: np.asarray(cost(widths), dtype=np.float64) for name, cost in self.cost_of.items()}

    def ends(self, name: str) -> tuple[float, float]:
        """A cost of the smallest and of the largest candidate."""
        smallest, largest = self.cost_of[name](np.array([self.space.smallest.widths, self.space.largest.widths]))
        return float(smallest), float(largest)

    def most_of(self, name: str) -> float:
        """The highest cost that a candidate may have."""
        return min(self.limits.get(name, np.inf), self.ends(name)[1])

    def within(self, rows: Rows, budget: Budget | None = None) -> npt.NDArray[np.bool_]:
        """(n,) whether candidates keep to a budget; None takes the limits, to which all keep."""
        widths, kept = self.widths(rows), np.ones(len(rows), dtype=bool)
        for name, limit in (self.limits if budget is None else budget).items():
            kept &= np.asarray(self.cost_of[name](widths)) <= limit
        return kept

    def shrunk(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """Candidates beyond the limits with all layers narrowed in proportion until they fit; layers round at random."""
        rows = rows.copy()
        beyond = np.flatnonzero(~self.within(rows)) if self.limits else np.array([], dtype=np.int64)
        if not len(beyond):
            return rows
        wide, dither = rows[beyond], rng.random((len(beyond), self.space.layers))
        low, high = np.zeros((len(beyond), 1)), np.ones((len(beyond), 1))  # the smallest candidate fits, or no search begins
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = self.within(np.floor(wide * middle + dither).astype(np.int64))[:, None]
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        rows[beyond] = np.floor(wide * low + dither)
        return rows
