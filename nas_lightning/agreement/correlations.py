"""Exact correlations of scores with known accuracies, on many resamples at a time.

Kendall's tau-b of a resample is a ratio of quadratic forms in its counts; all resamples share the matrices of signs.
"""

import math

import numpy as np
from scipy import stats

from nas_lightning.agreement.resampling import Side

MOST_PAIRED = 4000
"""Maximum architectures for a matrix of all pairs, which takes 64 MB."""


def kendall_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Rank agreement in [-1, 1]; ties share credit (tau-b).

    Args:
        scores: (n,) finite, higher is better.
        truth: (n,) accuracy of the same architectures, in the same order.

    Raises:
        ValueError: if the lengths differ, n < 2, a value is not finite, or one side is constant and has no order.
    """
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(f"scores {scores.shape} and truth {truth.shape} must be one-dimensional and of one length")
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} architectures: agreement needs at least 2")
    for name, side in (("scores", scores), ("truth", truth)):
        if not np.isfinite(side).all():
            raise ValueError(f"the {name} must be finite")
        if side.min() == side.max():
            raise ValueError(f"the {name} are constant ({side[0]}), so that no order exists")
    return float(stats.kendalltau(scores, truth).statistic)


def of_values_and_ranks(x: Side, y: Side) -> dict[str, np.ndarray]:
    """Pearson and Spearman, with mean ranks for ties: (resamples,) each in [-1, 1], nan where a side is constant."""
    correlations = {
        "pearson": _correlation(x.counts, x.deviations, y.deviations),
        "spearman": _correlation(x.counts, x.centred_ranks, y.centred_ranks),
    }
    return {name: np.where(x.is_constant | y.is_constant, np.nan, values) for name, values in correlations.items()}


def kendalls(x: Side, y: Side) -> dict[str, np.ndarray]:
    """Three kinds of Kendall's tau-b: (resamples,) each in [-1, 1], nan where a side is constant.

    Returns:
        "kendall". "weighted_kendall", in which a pair weighs the sum of its two 1 / place, with places by truth from 1,
        so that the order of the truly best weighs most. "kendall_top_third", among the best third by truth, rounded up,
        and those tied with its last.
    """
    signs = x.signs * y.signs
    agreed = _times(x.counts, signs)
    weighted = _tau(x.counts * y.place_weights, agreed, x, y)
    top = x.counts * (y.above < np.ceil(y.drawn / 3))
    best = np.flatnonzero(top.any(axis=0))
    x_top, y_top = (Side.of(side.values[best], np.take(top, best, axis=1)) for side in (x, y))
    return {
        "kendall": _tau(x.counts, agreed, x, y),
        "weighted_kendall": np.where(x.is_constant | y.is_constant, np.nan, weighted),  # rounding could order it
        "kendall_top_third": _tau(x_top.counts, _times(x_top.counts, signs[np.ix_(best, best)]), x_top, y_top),
    }


def _tau(weights: np.ndarray, agreed: np.ndarray, x: Side, y: Side) -> np.ndarray:
    """Tau-b in which a pair weighs the sum of its two weights.

    Args:
        weights: (resamples, n), summed over the draws of each architecture.
        agreed: (resamples, n), concordant minus discordant pairs of each architecture.
    """
    x_untied, y_untied = (weights.sum(axis=1) * side.drawn[:, 0] - _dot(weights, side.tied) for side in (x, y))
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(weights, agreed) / np.sqrt(x_untied) / np.sqrt(y_untied), -1, 1)


def _times(counts: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(resamples, n) counts times (n, n) signs, exact: float32 holds whole numbers up to n."""
    return (counts.astype(np.float32) @ signs.astype(np.float32)).astype(np.float64)


def _correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of (resamples, n) deviations from the means."""
    x_counted = counts * x
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(x_counted, y) / np.sqrt(_dot(x_counted, x)) / np.sqrt(_dot(counts * y, y)), -1, 1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("rn,rn->r", a, b)


def kendalls_of_all(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """As ``kendalls``, of (n,) architectures drawn once each; by SciPy, for any number of them."""
    n = len(truth)
    weights = Side.of(truth, np.ones((1, n))).place_weights[0]
    best = truth >= np.sort(truth)[-math.ceil(n / 3)]
    results = {
        "kendall": stats.kendalltau(scores, truth),
        "weighted_kendall": stats.weightedtau(scores, truth, rank=np.arange(n), weigher=weights.__getitem__),
        "kendall_top_third": stats.kendalltau(scores[best], truth[best]),
    }
    return {name: float(result.statistic) for name, result in results.items()}
