"""Statistics of agreement on bootstrap resamples of the architectures, as exact as on the resample written out.

A resample is held as counts: how often each architecture was drawn. Ranks and ties follow from their cumulated sums. Kendall's tau-b is a
ratio of quadratic forms in the counts, whose matrices of signs are the same in every resample.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas_lightning.draws import generator

MOST_PAIRED = 4000  # architectures whose matrices of signs are held: 64 MB each
CHUNK_ROWS = 256  # resamples taken at a time
CHUNK_ELEMENTS = 1_000_000  # of resamples x architectures held at a time, at most: 8 MB an array


@dataclass(frozen=True)
class Side:
    """The scores, or the truth, of n architectures in some resamples."""

    values: np.ndarray  # (n,) finite, higher is better
    counts: np.ndarray  # (resamples, n) whole float64: how often each was drawn
    above: np.ndarray  # (resamples, n): how many drawn have a higher value
    tied: np.ndarray  # (resamples, n): how many drawn have the same value

    @classmethod
    def of(cls, values: np.ndarray, counts: np.ndarray) -> "Side":
        """Sorts the values once for all resamples."""
        order = np.argsort(-values)
        first, end = (np.searchsorted(-values[order], -values, side) for side in ("left", "right"))
        drawn = np.zeros((len(counts), len(values) + 1))
        np.cumsum(np.take(counts, order, axis=1), axis=1, out=drawn[:, 1:])
        above = np.take(drawn, first, axis=1)
        return cls(values, counts, above, np.take(drawn, end, axis=1) - above)

    @cached_property
    def drawn(self) -> np.ndarray:
        """(resamples, 1): how many were drawn."""
        return self.counts.sum(axis=1, keepdims=True)

    @cached_property
    def deviations(self) -> np.ndarray:
        """(resamples, n): of the values from the resample's mean."""
        centred = self.values - self.values.mean()  # so that a large offset costs no digits
        return centred - (self.counts @ centred)[:, None] / self.drawn

    @cached_property
    def centred_ranks(self) -> np.ndarray:
        """(resamples, n): twice the mean rank less that of all, which is how many drawn are lower less how many are higher."""
        return self.drawn - self.tied - 2 * self.above

    @cached_property
    def is_constant(self) -> np.ndarray:
        """(resamples,): whether all drawn have one value."""
        return _dot(self.counts, self.tied) == self.drawn[:, 0] ** 2

    @cached_property
    def place_weights(self) -> np.ndarray:
        """(resamples, n): 1 / place from the highest, counted from 1; those tied share the mean."""
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.drawn.max() + 1))])
        above, tied = self.above.astype(np.intp), self.tied.astype(np.intp)
        return (harmonic[above + tied] - harmonic[above]) / np.maximum(tied, 1)

    @cached_property
    def highest(self) -> np.ndarray:
        """(resamples, 1): the highest value that was drawn."""
        return np.where(self.counts > 0, self.values, -np.inf).max(axis=1, keepdims=True)


Statistics = Callable[[Side, Side], dict[str, np.ndarray]]
"""Of a score and the truth: (resamples,) by name."""


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each architecture is drawn, in chunks of (some, n) int64 with every row summing to n.

    Resample i depends on the seed, n and i alone: every score sees the same ones, which makes comparisons of scores paired.
    """
    rows = max(1, min(CHUNK_ROWS, CHUNK_ELEMENTS // n))
    for start in range(0, resamples, rows):
        drawn = (generator(seed, "bootstrap", i).integers(n, size=n) for i in range(start, min(start + rows, resamples)))
        yield np.stack([np.bincount(indices, minlength=n) for indices in drawn])


def bootstrap(
    scores: Mapping[str, np.ndarray], truth: np.ndarray, resamples: int, seed: int, statistics: Statistics
) -> dict[str, dict[str, np.ndarray]]:
    """Every statistic of every score on every resample: (resamples,) each, nan where it is undefined; none without resamples.

    Args:
        scores: by name, (n,) each, finite.
        truth: (n,) finite.
        resamples: of n architectures, with replacement.
        seed: at least 0.
        statistics: of which (resamples,) values are wanted.
    """
    chunks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scores}
    for drawn in resample_counts(len(truth), resamples, seed):
        counts = drawn.astype(np.float64)
        y = Side.of(truth, counts)
        for name, values in scores.items():
            chunks[name].append(statistics(Side.of(values, counts), y))
    return {name: {key: np.concatenate([part[key] for part in parts]) for key in (parts or [{}])[0]} for name, parts in chunks.items()}


def of_values_and_ranks(x: Side, y: Side) -> dict[str, np.ndarray]:
    """Pearson, and Spearman, which gives ties their mean rank: (resamples,) each in [-1, 1], nan where a side is constant."""
    found = {
        "pearson": _correlation(x.counts, x.deviations, y.deviations),
        "spearman": _correlation(x.counts, x.centred_ranks, y.centred_ranks),
    }
    return {name: np.where(x.is_constant | y.is_constant, np.nan, values) for name, values in found.items()}


def kendalls(x: Side, y: Side) -> dict[str, np.ndarray]:
    """Three kinds of Kendall's tau-b: (resamples,) each in [-1, 1], nan where a side is constant.

    Returns:
        "kendall"; "weighted_kendall", with each pair weighing the sum of 1 / place of its two, places by the truth from 1, so that the
        order among the truly best and of them against the others weighs most; "kendall_top_third", among the third that is best by
        truth, rounded up, and those tied with its last.
    """
    signs = _signs(x.values) * _signs(y.values)
    agreed = _times(x.counts, signs)
    weighted = _tau(x.counts * y.place_weights, agreed, x, y)
    top = x.counts * (y.above < np.ceil(y.drawn / 3))
    best = np.flatnonzero(top.any(axis=0))
    x_top, y_top = (Side.of(side.values[best], np.take(top, best, axis=1)) for side in (x, y))
    return {
        "kendall": _tau(x.counts, agreed, x, y),
        "weighted_kendall": np.where(x.is_constant | y.is_constant, np.nan, weighted),  # rounding might give it an order
        "kendall_top_third": _tau(x_top.counts, _times(x_top.counts, signs[np.ix_(best, best)]), x_top, y_top),
    }


def _tau(weights: np.ndarray, agreed: np.ndarray, x: Side, y: Side) -> np.ndarray:
    """Tau-b of pairs that weigh the sum of the weights of their two.

    Args:
        weights: (resamples, n), those of all that were drawn of an architecture together.
        agreed: (resamples, n), with how many scores and truth order an architecture alike, less with how many they order it oppositely.
    """
    x_untied, y_untied = (weights.sum(axis=1) * side.drawn[:, 0] - _dot(weights, side.tied) for side in (x, y))
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(weights, agreed) / np.sqrt(x_untied) / np.sqrt(y_untied), -1, 1)


def _signs(values: np.ndarray) -> np.ndarray:
    """(n, n) int8: the sign of the row's value less the column's."""
    return (values[:, None] > values).view(np.int8) - (values[:, None] < values).view(np.int8)


def _times(counts: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The product of (resamples, n) counts and (n, n) signs; float32 holds its whole numbers, which are n at most, exactly."""
    return (counts.astype(np.float32) @ signs.astype(np.float32)).astype(np.float64)


def _correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's of (resamples, n) deviations from the means."""
    x_counted = counts * x
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(x_counted, y) / np.sqrt(_dot(x_counted, x)) / np.sqrt(_dot(counts * y, y)), -1, 1)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("rn,rn->r", one, other)
