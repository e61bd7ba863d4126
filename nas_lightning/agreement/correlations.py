"""Correlations of scores with known accuracies."""

import numpy as np
from scipy import stats


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
