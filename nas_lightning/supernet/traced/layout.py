"""Which positions of a dimension a candidate keeps, and how a tensor is narrowed to them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nas_lightning.supernet.traced.channel_ids import Ids
from nas_lightning.supernet.traced.groups import WHOLE, Grouping

MOST_BLOCKS = 16
"""Above it, one gather is quicker than joining so many narrowed views."""
Units = tuple[int, ...]
"""How many units of each group a candidate keeps."""


class Block(NamedTuple):
    """Consecutive positions of which a candidate keeps the first."""

    start: int
    length: int
    group: int
    per_unit: int


@dataclass(frozen=True, eq=False)
class Layout:
    """A dimension some of whose positions belong to groups."""

    size: int
    group: Ids
    """(size,): the group of each position, or ``WHOLE``."""
    rank: Ids
    """(size,): its unit."""
    counts_of: tuple[tuple[int, Ids], ...]
    """By group: the number of positions that the first k units have, for k from 0 to all."""
    blocks: tuple[Block, ...] | None
    """The dimension as blocks, if it is one of few."""

    @cached_property
    def whole(self) -> int:
        """Positions that every candidate keeps."""
        return int((self.group == WHOLE).sum())

    @cached_property
    def groups(self) -> frozenset[int]:
        """The groups that it depends on."""
        return frozenset(group for group, _ in self.counts_of)

    def count(self, units: Units) -> int:
        """Number of positions that a candidate keeps."""
        return self.whole + sum(int(table[units[group]]) for group, table in self.counts_of)

    def counts(self, units: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n, groups) units -> (n,) numbers of kept positions."""
        total = np.full(len(units), self.whole, dtype=np.int64)
        for group, table in self.counts_of:
            total += table[units[:, group]]
        return total

    def kept(self, units: Units) -> Ids:
        """The positions that a candidate keeps, ascending."""
        limit = np.array([*units, 1])  # the last entry serves WHOLE, whose rank is 0
        return np.flatnonzero(self.rank < limit[self.group])

    def narrow(self, tensor: Tensor, dim: int, units: Units) -> Tensor:
        """The kept positions of one dimension; a view where they are one run."""
        if self.blocks is None:
            return tensor.index_select(dim, torch.from_numpy(self.kept(units)).to(tensor.device))
        runs: list[list[int]] = []
        for start, length, group, per_unit in self.blocks:
            keep = length if group == WHOLE else per_unit * units[group]
            if runs and sum(runs[-1]) == start:
                runs[-1][1] += keep
            else:
                runs.append([start, keep])
        if len(runs) == 1:
            start, keep = runs[0]
            return tensor if keep == self.size else tensor.narrow(dim, start, keep)
        return torch.cat([tensor.narrow(dim, start, keep) for start, keep in runs if keep], dim)


class Layouts:
    """The layouts of a grouping; equal dimensions share one."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping, self._known = grouping, dict[bytes, Layout | None]()

    def of(self, ids: Ids | None) -> Layout | None:
        """The layout of a dimension; None if every candidate keeps it whole."""
        if ids is None:
            return None
        if (key := ids.tobytes()) not in self._known:
            self._known[key] = self._made(ids)
        return self._known[key]

    def _made(self, ids: Ids) -> Layout | None:
        group, rank = self._grouping.units_of(ids)
        rank = np.where(group == WHOLE, 0, rank)
        if (group == WHOLE).all():
            return None
        tables = []
        for number in np.unique(group[group != WHOLE]).tolist():
            per_unit = np.bincount(rank[group == number], minlength=self._grouping.groups[number].units)
            tables.append((number, np.concatenate([[0], np.cumsum(per_unit)])))
        return Layout(len(ids), group, rank, tuple(tables), self._blocks(group, rank))

    def _blocks(self, group: Ids, rank: Ids) -> tuple[Block, ...] | None:
        blocks, start = list[Block](), 0
        while start < len(group):
            number = int(group[start])
            same = group[start:] == number
            run = len(same) if same.all() else int(np.argmin(same))
            if number == WHOLE:
                blocks.append(Block(start, run, WHOLE, 0))
                start += run
                continue
            units = self._grouping.groups[number].units
            ranks = rank[start : start + run]
            per_unit = len(ranks) if not ranks.any() else int(np.argmax(ranks != 0))
            length = per_unit * units
            if length > run or not np.array_equal(ranks[:length], np.repeat(np.arange(units), per_unit)):
                return None
            blocks.append(Block(start, length, number, per_unit))
            start += length
        return tuple(blocks) if len(blocks) <= MOST_BLOCKS else None
