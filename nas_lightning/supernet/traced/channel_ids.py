"""Which channels must be kept or dropped together: a union-find over channel ids, some of which are pinned."""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Dims = list[Ids | None]
"""The ids along each dimension of a tensor; None where it has no channels, as for batch and pixels."""

CONSTANT = 0
"""An id that is always pinned."""


class ChannelIds:
    """Ids of channels. Tied ids are one class; a pinned class is kept whole by every candidate, for a reason."""

    def __init__(self) -> None:
        self._parents: Ids = np.zeros(1, dtype=np.int64)
        self._count = 1
        self._reasons: dict[int, str] = {CONSTANT: "is joined with constants"}
        self.marks: dict[int, set[int]] = {}
        """By id: the parts that operations cut out by position; classes of one choice lie in the same ones."""
        self._marks_made = 0
        self.ordered: list[Ids] = []
        """Ids whose order matters to an operation, so that units must not change places."""

    def fresh(self, count: int) -> Ids:
        """New ids, each a class of its own."""
        start, self._count = self._count, self._count + count
        if self._count > len(self._parents):
            grown = np.arange(max(self._count, 2 * len(self._parents)), dtype=np.int64)
            grown[: len(self._parents)] = self._parents
            self._parents = grown
        return np.arange(start, self._count)

    @property
    def count(self) -> int:
        """Number of ids."""
        return self._count

    def find(self, ids: Ids) -> Ids:
        """The representative of each id's class."""
        roots = self._parents[ids]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[ids] = roots
        return roots

    def unify(self, first: Ids, second: Ids) -> None:
        """Ties ids one by one, with broadcasting."""
        one, other = np.broadcast_arrays(first, second)
        for a, b in zip(self.find(one.ravel()).tolist(), self.find(other.ravel()).tolist(), strict=True):
            if a != b and (a := self._root(a)) != (b := self._root(b)):
                low, high = min(a, b), max(a, b)
                self._parents[high] = low
                if high in self._reasons:
                    self._reasons.setdefault(low, self._reasons.pop(high))

    def pin(self, ids: Ids | None, reason: str) -> None:
        """Keeps the classes of the ids whole; the first reason counts."""
        if ids is not None:
            for root in np.unique(self.find(ids.ravel())).tolist():
                self._reasons.setdefault(root, reason)

    def pinned(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Whether each id is pinned."""
        roots = self.find(ids)
        return np.isin(roots, list(self._reasons))

    def reason(self, number: int) -> str:
        """Why an id is pinned."""
        return self._reasons[self._root(number)]

    def narrows(self, ids: Ids | None) -> bool:
        """Whether any of the ids may be dropped."""
        return ids is not None and not bool(self.pinned(ids).all())

    def tie(self, first: Ids | None, second: Ids | None, reason: str) -> None:
        """The two are the same channels; if one side has none, the other is pinned for the reason."""
        if first is not None and second is not None:
            self.unify(first, second)
        else:
            self.pin(first, reason)
            self.pin(second, reason)

    def mark(self, ids: Ids) -> None:
        """The ids are a part that an operation cuts out by position."""
        self._marks_made += 1
        for number in ids.tolist():
            self.marks.setdefault(number, set()).add(self._marks_made)

    def spread(self, ids: Ids, parts: int) -> Ids | None:
        """If every class occurs a multiple of ``parts`` times: each that many times less, in order of first occurrence."""
        roots = np.where(self.pinned(ids), CONSTANT, self.find(ids))
        values, first, counts = np.unique(roots, return_index=True, return_counts=True)
        if (counts % parts).any():
            return None
        order = np.argsort(first)
        return np.repeat(values[order], counts[order] // parts)

    def equal_parts(self, ids: Ids, count: int) -> list[Ids]:
        """The ids of each of ``count`` equal parts, which stay equally wide; only sizes are tied where that is enough."""
        if (shared := self.spread(ids, count)) is not None:
            self.ordered.append(ids)  # other channels stand at the same place in another part
            return [shared] * count
        rows = ids.reshape(count, -1)
        self.unify(rows[0], rows)
        return list(rows)

    def _root(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = int(parents[number])
        return number
