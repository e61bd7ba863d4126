"""Statistics of agreement on bootstrap resamples of the architectures, as exact as on the resample written out.

A resample is held as counts (how often each architecture was drawn), so that nothing is sorted again: ranks, ties and places follow
from cumulated counts of the distinct values.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from nas_lightning.agreement.pair_order import PairOrder
from nas_lightning.draws import generator

CHUNK_ELEMENTS = 250_000  # resamples x architectures held at a time: 2 MB an array


@dataclass(frozen=True, slots=True)
class Column:
    """The scores, or the truth, of n architectures, sorted once for all resamples."""

    centred: np.ndarray  # (n,) values less their mean, so that a large offset costs no digits
    codes: np.ndarray  # (n,) place of each value among the distinct values, ascending
    order: np.ndarray  # (n,) architectures by ascending value
    starts: np.ndarray  # (distinct,) where each distinct value begins in `order`
    is_sorted: bool  # `order` is 0, 1, 2, ...

    @classmethod
    def of(cls, values: np.ndarray) -> "Column":
        """Sorts (n,) finite values."""
        _, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
        order = np.argsort(codes, kind="stable")
        return cls(values - values.mean(), codes, order, np.cumsum(sizes) - sizes, bool((order[1:] > order[:-1]).all()))

    def sizes(self, counts: np.ndarray) -> np.ndarray:
        """How often each distinct value occurs: (resamples, n) counts -> (resamples, distinct)."""
        counts = counts if self.is_sorted else np.take(counts, self.order, axis=1)
        return counts if len(self.starts) == len(self.order) else np.add.reduceat(counts, self.starts, axis=1)

    def each(self, by_value: np.ndarray) -> np.ndarray:
        """What belongs to each architecture's value: (resamples, distinct) -> (resamples, n)."""
        return by_value if self.is_sorted and len(self.starts) == len(self.order) else np.take(by_value, self.codes, axis=1)


@dataclass(frozen=True, slots=True)
class Sides:
    """Scores and truth of n architectures, in ascending order of truth and then of score."""

    order: np.ndarray  # (n,) which architecture stands where
    scores: Column
    truth: Column
    pairs: PairOrder

    @classmethod
    def of(cls, scores: np.ndarray, truth: np.ndarray) -> "Sides":
        """From (n,) finite values of the same architectures in any order."""
        order = np.lexsort((scores, truth))
        one, other = Column.of(scores[order]), Column.of(truth[order])
        return cls(order, one, other, PairOrder.of(one.codes, other.codes))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Some resamples of n architectures, with what several statistics need; x stands for the scores, y for the truth."""

    sides: Sides
    counts: np.ndarray  # (resamples, n) whole float64: how often each was drawn, in the order of the sides
    x_sizes: np.ndarray  # (resamples, distinct): how many drawn have each value, ascending
    y_sizes: np.ndarray
    x_up_to: np.ndarray  # (resamples, distinct): how many have that value or a lower one
    y_up_to: np.ndarray

    @classmethod
    def of(cls, sides: Sides, counts: np.ndarray) -> "Drawn":
        """From (resamples, n) counts, of every architecture where it stood before it was sorted."""
        counts = np.take(counts, sides.order, axis=1).astype(np.float64)
        x_sizes, y_sizes = sides.scores.sizes(counts), sides.truth.sizes(counts)
        return cls(sides, counts, x_sizes, y_sizes, np.cumsum(x_sizes, axis=1), np.cumsum(y_sizes, axis=1))

    @classmethod
    def all_once(cls, sides: Sides) -> "Drawn":
        """The architectures themselves, as one resample."""
        return cls.of(sides, np.ones((1, len(sides.order))))


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each architecture is drawn, in chunks of (some, n) int64 with every row summing to n.

    Resample i depends on the seed, n and i alone: every score sees the same ones, which makes comparisons of scores paired.
    """
    rows = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, resamples, rows):
        drawn = (generator(seed, "bootstrap", i).integers(n, size=n) for i in range(first, min(first + rows, resamples)))
        yield np.stack([np.bincount(indices, minlength=n) for indices in drawn])


def bootstrap(sides: Sides, resamples: int, seed: int, statistics: Callable[[Drawn], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Every statistic on every resample: (resamples,) each, nan where it is undefined.

    Quick enough that no size needs fewer resamples.

    Args:
        sides: of n architectures.
        resamples: draws of n architectures with replacement, at least 1.
        seed: at least 0.
        statistics: gives (resamples,) values by name.
    """
    chunks = [statistics(Drawn.of(sides, counts)) for counts in resample_counts(len(sides.order), resamples, seed)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def correlations(drawn: Drawn) -> dict[str, np.ndarray]:
    """Five correlations of each resample, in [-1, 1]; nan where a side is constant, so that no order exists.

    Returns:
        (resamples,) each. "pearson"; "kendall" is tau-b; "spearman" gives ties their mean rank. "weighted_kendall" is tau-b with each
        pair weighing the sum of 1 / place of its two, places by the truth from 1, so that the order among the truly best and of them
        against the others weighs most; those tied in truth share the mean weight of their places. "kendall_top_third" is tau-b among
        the third that is best by truth, rounded up, and those tied with its last.
    """
    x, y, counts = drawn.sides.scores, drawn.sides.truth, drawn.counts
    n = counts.shape[1]
    # Twice the mean rank less that of all: how many values are lower less how many are higher.
    x_ranks, y_ranks = (2 * up_to - sizes - n for up_to, sizes in ((drawn.x_up_to, drawn.x_sizes), (drawn.y_up_to, drawn.y_sizes)))
    x_each = x.each(x_ranks)
    lower, concordant = drawn.sides.pairs.concordance(counts, x_each)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(_dot(drawn.x_sizes * x_ranks, x_ranks)) * np.sqrt(_dot(drawn.y_sizes * y_ranks, y_ranks))
        found = {
            "pearson": _pearson(counts, x.centred, y.centred),
            "kendall": 2 * _dot(counts, lower) / _untied(drawn.x_sizes) / _untied(drawn.y_sizes),
            "spearman": _dot(counts * x_each, y.each(y_ranks)) / spread,
            "weighted_kendall": _weighted_kendall(drawn, concordant),
            "kendall_top_third": _kendall_top_third(drawn, lower),
        }
    ordered = (drawn.x_sizes.max(axis=1) < n) & (drawn.y_sizes.max(axis=1) < n)
    return {name: np.where(ordered, np.clip(values, -1.0, 1.0), np.nan) for name, values in found.items()}


def _weighted_kendall(drawn: Drawn, concordant: np.ndarray) -> np.ndarray:
    n = drawn.counts.shape[1]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
    below = (n - drawn.y_up_to).astype(np.intp)
    weights = harmonic[below + drawn.y_sizes.astype(np.intp)] - harmonic[below]  # of all that have a value together
    weighted = drawn.counts * drawn.sides.truth.each(weights / np.maximum(drawn.y_sizes, 1))
    x_untied = _dot(weighted, n - drawn.sides.scores.each(drawn.x_sizes))
    return _dot(weighted, concordant) / np.sqrt(x_untied) / np.sqrt(_dot(weights, n - drawn.y_sizes))


def _kendall_top_third(drawn: Drawn, lower: np.ndarray) -> np.ndarray:
    x, y, n = drawn.sides.scores, drawn.sides.truth, drawn.counts.shape[1]
    y_top = drawn.y_sizes * (n - drawn.y_up_to < math.ceil(n / 3))
    top = drawn.counts * y.each(y_top > 0)
    x_top = x.sizes(top)
    x_rest = drawn.x_sizes - x_top
    # Of the pairs with lower truth, those with the rest go: all of the rest are lower than all of the top.
    with_the_rest = _dot(x_top, 2 * np.cumsum(x_rest, axis=1) - x_rest - x_rest.sum(axis=1, keepdims=True))
    return 2 * (_dot(top, lower) - with_the_rest) / _untied(x_top) / _untied(y_top)


def _untied(sizes: np.ndarray) -> np.ndarray:
    """(resamples,) square roots of twice the number of pairs that a side tells apart."""
    return np.sqrt(sizes.sum(axis=1) ** 2 - _dot(sizes, sizes))


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("rn,rn->r", one, other)


def _pearson(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weighted by (resamples, n) counts; x and y are (n,)."""
    total = counts.shape[1]
    x = x - (counts @ x)[:, None] / total
    y = y - (counts @ y)[:, None] / total
    x_weighted = counts * x
    return _dot(x_weighted, y) / np.sqrt(_dot(x_weighted, x)) / np.sqrt(_dot(counts * y, y))
