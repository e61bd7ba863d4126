"""Pearson, Kendall and Spearman on bootstrap resamples of the architectures, as exact as on the resample written out.

A resample is held as counts (how often each architecture was drawn), so that nothing is sorted again: ranks and ties follow from
cumulated counts of the distinct values.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nas_lightning.draws import generator

CHUNK_ELEMENTS = 1_000_000  # resamples x architectures held at a time: 8 MB an array
PAIR_MATRIX_LIMIT = 2_000  # up to here one matrix product over all pairs (16 MB) is faster than a sort per resample


@dataclass(frozen=True, slots=True)
class Column:
    """The scores, or the truth, of n architectures, sorted once for all resamples."""

    centred: np.ndarray  # (n,) values less their mean, so that a large offset costs no digits
    codes: np.ndarray  # (n,) place of each value among the distinct values, ascending
    order: np.ndarray  # (n,) architectures by ascending value
    starts: np.ndarray  # (distinct,) where each distinct value begins in `order`

    @classmethod
    def of(cls, values: np.ndarray) -> "Column":
        """Sorts (n,) finite values."""
        _, codes, sizes = np.unique(values, return_inverse=True, return_counts=True)
        return cls(values - values.mean(), codes, np.argsort(codes, kind="stable"), np.cumsum(sizes) - sizes)

    def sizes(self, counts: np.ndarray) -> np.ndarray:
        """How often each distinct value occurs: (resamples, n) counts -> (resamples, distinct)."""
        return np.add.reduceat(counts[:, self.order], self.starts, axis=1)

    def ranks(self, sizes: np.ndarray) -> np.ndarray:
        """The mean rank, from 1, of every architecture's value within each resample: (resamples, n)."""
        return (np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, self.codes]


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each architecture is drawn, in chunks of (some, n) int64 with every row summing to n.

    Resample i depends on the seed, n and i alone: every score sees the same ones, which makes comparisons of scores paired.
    """
    rows = max(1, CHUNK_ELEMENTS // n)
    for first in range(0, resamples, rows):
        drawn = (generator(seed, "bootstrap", i).integers(n, size=n) for i in range(first, min(first + rows, resamples)))
        yield np.stack([np.bincount(indices, minlength=n) for indices in drawn])


def bootstrap(scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """The three statistics on every resample; nan where a side of the resample is constant, so that no order exists.

    Quick enough that no size needs fewer resamples: 1,000 of 50,000 architectures take about 10 s on one core.

    Args:
        scores: (n,) finite.
        truth: (n,) finite, of the same architectures.
        resamples: how many.
        seed: at least 0.

    Returns:
        "pearson", "kendall" (tau-b) and "spearman", (resamples,) each.
    """
    x, y = Column.of(scores), Column.of(truth)
    signs = _pair_signs(x, y) if len(scores) <= PAIR_MATRIX_LIMIT else None
    found: dict[str, list[np.ndarray]] = {"pearson": [], "kendall": [], "spearman": []}
    for counts in resample_counts(len(scores), resamples, seed):
        x_sizes, y_sizes = x.sizes(counts), y.sizes(counts)
        ordered = (np.count_nonzero(x_sizes, axis=1) > 1) & (np.count_nonzero(y_sizes, axis=1) > 1)
        counts, x_sizes, y_sizes = counts[ordered], x_sizes[ordered], y_sizes[ordered]
        kendall = _kendall_each(counts, x, y) if signs is None else _kendall_by_pairs(counts, signs, x_sizes, y_sizes)
        of_chunk = {
            "pearson": _pearson(counts, x.centred, y.centred),
            "kendall": kendall,
            "spearman": _pearson(counts, x.ranks(x_sizes), y.ranks(y_sizes)),
        }
        for statistic, values in of_chunk.items():
            with_gaps = np.full(len(ordered), np.nan)
            with_gaps[ordered] = np.clip(values, -1.0, 1.0)
            found[statistic].append(with_gaps)
    return {statistic: np.concatenate([np.empty(0), *chunks]) for statistic, chunks in found.items()}


def _pearson(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weighted by (resamples, n) counts; x and y are (n,), or (resamples, n) where they differ by resample."""
    total = counts.shape[1]
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    x_weighted, y_weighted = counts * x, counts * y
    covariance = np.einsum("rn,rn->r", x_weighted, y)
    return covariance / np.sqrt(np.einsum("rn,rn->r", x_weighted, x)) / np.sqrt(np.einsum("rn,rn->r", y_weighted, y))


def _pair_signs(x: Column, y: Column) -> np.ndarray:
    """(n, n): 1 where a pair has the same order on both sides, -1 where the opposite, 0 where a side ties."""
    x_signs, y_signs = (np.sign(np.subtract.outer(side.codes.astype(np.float32), side.codes.astype(np.float32))) for side in (x, y))
    return x_signs * y_signs


def _kendall_by_pairs(counts: np.ndarray, signs: np.ndarray, x_sizes: np.ndarray, y_sizes: np.ndarray) -> np.ndarray:
    """tau-b of each resample from (n, n) pair signs; copies of one architecture tie with each other, as in the resample itself."""
    # Whole numbers up to n <= 2,000, which float32 holds exactly; their sum goes beyond and is taken in float64.
    concordance = (counts.astype(np.float32) @ signs).astype(np.float64)
    numerator = np.einsum("rn,rn->r", concordance, counts)
    pairs = counts.shape[1] ** 2
    x_untied, y_untied = (pairs - (sizes**2).sum(axis=1) for sizes in (x_sizes, y_sizes))
    return numerator / np.sqrt(x_untied) / np.sqrt(y_untied)


def _kendall_each(counts: np.ndarray, x: Column, y: Column) -> np.ndarray:
    """tau-b of each resample by SciPy, n log n."""
    taus = [stats.kendalltau(np.repeat(x.codes, times), np.repeat(y.codes, times)).statistic for times in counts]
    return np.array(taus, dtype=np.float64)
