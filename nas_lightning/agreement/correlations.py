"""Correlations of scores with known accuracies."""

import math

import numpy as np
from scipy import stats

from nas_lightning.agreement.resampling import Side


def pearson(scores: np.ndarray, truth: np.ndarray) -> float:
    """Linear agreement in [-1, 1].

    Args:
        scores: (n,) finite, higher is better.
        truth: (n,) accuracy of the same architectures, in the same order.

    Raises:
        ValueError: if the lengths differ, n < 2, a value is not finite, or one side is constant so that no order exists.
    """
    return float(stats.pearsonr(*_two_sides(scores, truth)).statistic)


def kendall_tau(scores: np.ndarray, truth: np.ndarray) -> float:
    """Agreement of the order of pairs in [-1, 1]; ties share credit (tau-b). Arguments and errors as in `pearson`."""
    return float(stats.kendalltau(*_two_sides(scores, truth)).statistic)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
    """Linear agreement of the ranks in [-1, 1]; ties take their mean rank. Arguments and errors as in `pearson`."""
    return float(stats.pearsonr(*(stats.rankdata(side) for side in _two_sides(scores, truth))).statistic)


def kendalls_of_all(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """As `resampling.kendalls` of (n,) architectures, each drawn once, of which there may be any number."""
    n = len(truth)
    weights = Side.of(truth, np.ones((1, n))).place_weights[0]
    best = truth >= np.sort(truth)[-math.ceil(n / 3)]
    found = {
        "kendall": stats.kendalltau(scores, truth),
        "weighted_kendall": stats.weightedtau(scores, truth, rank=np.arange(n), weigher=weights.__getitem__),
        "kendall_top_third": stats.kendalltau(scores[best], truth[best]),
    }
    return {name: float(result.statistic) for name, result in found.items()}


def _two_sides(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, truth = same_architectures(scores, truth)
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} architectures: agreement needs at least 2")
    for name, side in (("scores", scores), ("truth", truth)):
        if side.min() == side.max():
            raise ValueError(f"the {name} are constant ({side[0]}), so that no order exists")
    return scores, truth


def same_architectures(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64; raises ValueError unless they are one-dimensional, of one length and finite."""
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape:
        raise ValueError(f"scores {scores.shape} and truth {truth.shape} must be one-dimensional and of one length")
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise ValueError("scores and truth must be finite")
    return scores, truth
