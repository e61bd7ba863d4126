"""Correlations of scores with known accuracies, on many resamples at a time, as exact as on each one written out.

Kendall's tau-b of a resample is a ratio of quadratic forms in its counts; all resamples share the matrices of signs.
"""

import math

import numpy as np
from scipy import stats

from nas_lightning.agreement.resampling import Side

MOST_PAIRED = 4000
"""Architectures of which a matrix of all pairs is held, of 64 MB."""


def kendall_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Agreement of the order of pairs in [-1, 1]; ties share credit (tau-b).

    Args:
        scores: (n,) finite, higher is better.
        truth: (n,) accuracy of the same architectures, in the same order.

    Raises:
        ValueError: if the lengths differ, n < 2, a value is not finite, or one side is constant so that no order exists.
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
    found = {
        "pearson": _correlation(x.counts, x.deviations, y.deviations),
        "spearman": _correlation(x.counts, x.centred_ranks, y.centred_ranks),
    }
    return {name: np.where(x.is_constant | y.is_constant, np.nan, values) for name, values in found.items()}


def kendalls(x: Side, y: Side) -> dict[str, np.ndarray]:
    """Three kinds of Kendall's tau-b: (resamples,) each in [-1, 1], nan where a side is constant.

    Returns:
        "kendall". "weighted_kendall", in which a pair weighs the sum of 1 / place of its two, places by the truth from 1:
        the order among the truly best, and of them against the others, weighs most. "kendall_top_third", among the third
        that is best by truth, rounded up, and those tied with its last.
    """
    signs = x.signs * y.signs
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
        weights: (resamples, n), for each architecture the sum over its draws.
        agreed: (resamples, n), for each architecture the concordant pairs less the discordant ones.
    """
    x_untied, y_untied = (weights.sum(axis=1) * side.drawn[:, 0] - _dot(weights, side.tied) for side in (x, y))
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(weights, agreed) / np.sqrt(x_untied) / np.sqrt(y_untied), -1, 1)


def _times(counts: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(resamples, n) counts times (n, n) signs, exact: float32 holds whole numbers up to n."""
    return (counts.astype(np.float32) @ signs.astype(np.float32)).astype(np.float64)


def _correlation(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's of (resamples, n) deviations from the means."""
    x_counted = counts * x
    with np.errstate(invalid="ignore"):
        return np.clip(_dot(x_counted, y) / np.sqrt(_dot(x_counted, x)) / np.sqrt(_dot(counts * y, y)), -1, 1)


def _dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("rn,rn->r", one, other)


def kendalls_of_all(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """As `kendalls`, of (n,) architectures that were drawn once each, by SciPy, which takes any number of them."""
    n = len(truth)
    weights = Side.of(truth, np.ones((1, n))).place_weights[0]
    best = truth >= np.sort(truth)[-math.ceil(n / 3)]
    found = {
        "kendall": stats.kendalltau(scores, truth),
        "weighted_kendall": stats.weightedtau(scores, truth, rank=np.arange(n), weigher=weights.__getitem__),
        "kendall_top_third": stats.kendalltau(scores[best], truth[best]),
    }
    return {name: float(result.statistic) for name, result in found.items()}
