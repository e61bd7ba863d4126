"""Whether a ranking finds the best architectures: the overlap of its k best with the truth's, and their best."""

from collections.abc import Sequence

import numpy as np

from nas_lightning.agreement.agreement import OF_THE_TOP
from nas_lightning.agreement.resampling import Side


def of_top(x: Side, y: Side, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """``top_statistics`` by name and k, such as ``regret_10``; best rank and regret also for k = 1."""
    by_k = {k: top_statistics(x, y, k) for k in sorted({1, *ks})}
    return {f"{name}_{k}": by_k[k][name] for name in OF_THE_TOP for k in (ks if name == "top_k_overlap" else by_k)}


def top_statistics(x: Side, y: Side, k: int) -> dict[str, np.ndarray]:
    """Quality of the k best by score in each resample; an architecture drawn several times counts as several.

    Architectures tied at the k-th place share the remaining places evenly: the result is the mean over random tie
    breaks. Breaking ties by position would let a list sorted by accuracy flatter a constant score. So a constant score
    overlaps by exactly k / n, and a column with ties at the k-th place does not reach 1 with itself.

    Args:
        x: the scores.
        y: the truth.
        k: from 1 to n.

    Returns:
        (resamples,) each. "top_k_overlap": the share of the k best by score among the k best by truth, k / n by chance.
        "best_rank": the best true rank among the k best by score, from 1. "regret": the gap between the truly best of
        the k best by score and the best of all: at least 0, in the unit of the truth.
    """
    # Few architectures are in the top of a resample, unless many tie; sorted by truth, best first.
    few = np.flatnonzero(((x.above < k) & (x.counts > 0)).any(axis=0))
    few = few[np.argsort(-y.values[few], kind="stable")]
    counts, above, tied, truth_above, truth_tied = (np.take(part, few, axis=1) for part in (x.counts, x.above, x.tied, y.above, y.tied))
    in_both = counts * _share_in_top(above, tied, k) * _share_in_top(truth_above, truth_tied, k)
    sure = counts * (above + tied < k)
    at_the_edge = counts * ((above < k) & (above + tied >= k))
    number_tied, places = at_the_edge.sum(axis=1, keepdims=True), k - sure.sum(axis=1, keepdims=True)
    none_so_far = np.where(np.cumsum(sure, axis=1) > 0, 0.0, _chance_of_none(np.cumsum(at_the_edge, axis=1), number_tied, places))
    # Probability that this candidate is the truly best of the top k, clipped at 0 against rounding.
    chance = np.maximum(0.0 - np.diff(none_so_far, axis=1, prepend=1.0), 0.0)
    return {
        "top_k_overlap": in_both.sum(axis=1) / k,
        "best_rank": (chance * (1 + truth_above)).sum(axis=1),
        "regret": (chance * np.maximum(y.highest - y.values[few], 0.0)).sum(axis=1),
    }


def _share_in_top(above: np.ndarray, tied: np.ndarray, k: int) -> np.ndarray:
    """The probability to be among the k best, with ties at the k-th place broken at random."""
    return np.clip((k - above) / np.maximum(tied, 1), 0.0, 1.0)


def _chance_of_none(drawn: np.ndarray, tied: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Probability that no drawn one is in the top, whose remaining places are filled from the tied at random.

    Args:
        drawn: (resamples, m), number of drawn ones among the tied.
        tied: (resamples, 1), number of tied ones.
        places: (resamples, 1), from 1 to ``tied``.
    """
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, tied.max() + 1)))])  # as logarithms
    left, tied, places = ((tied - drawn).astype(np.intp), tied.astype(np.intp), places.astype(np.intp))
    # Ways to fill the places from the remaining ones, divided by ways to fill them from all.
    from_left = factorials[left] - factorials[np.maximum(left - places, 0)]
    return np.where(left < places, 0.0, np.exp(from_left - factorials[tied] + factorials[tied - places]))
