"""Whether a ranking finds the best architectures: what its k best share with the truth's, and how good the best of them is."""

import numpy as np

from nas_lightning.agreement.correlations import same_architectures
from nas_lightning.agreement.resampling import Drawn, Sides


def top_k_overlap(scores: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The share of the k best by score that are among the k best by truth (precision at k), in [0, 1]; about k / n by chance.

    Architectures tied at the k-th place share the places left among them evenly: the result is what breaking ties at random gives on
    average. Breaking them by place in the list would let a list sorted by accuracy flatter a score that cannot tell its
    architectures apart. So a constant score gets exactly k / n, and a column with ties at the k-th place does not reach 1 with itself.

    Args:
        scores: (n,) finite, higher is better.
        truth: (n,) accuracy of the same architectures, in the same order.
        k: from 1 to n.

    Raises:
        ValueError: if the lengths differ, a value is not finite, or k is not in 1..n.
    """
    return _on_all(scores, truth, k)["top_k_overlap"]


def best_rank(scores: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The best true rank among the k best by score, from 1, the truly best; the mean over random tie breaks at the k-th place.

    The rank is one more than the number of truly better ones. Arguments and errors as in `top_k_overlap`.
    """
    return _on_all(scores, truth, k)["best_rank"]


def regret(scores: np.ndarray, truth: np.ndarray, k: int) -> float:
    """What choosing the truly best of the k best by score costs, against the best of all: at least 0, in the unit of the truth.

    Ties at the k-th place as in `best_rank`; arguments and errors as in `top_k_overlap`.
    """
    return _on_all(scores, truth, k)["regret"]


def top_statistics(drawn: Drawn, k: int) -> dict[str, np.ndarray]:
    """The three statistics on resamples, each exact over random tie breaks; copies of one architecture tie with each other.

    Args:
        drawn: resamples of n architectures.
        k: from 1 to n.

    Returns:
        "top_k_overlap", "best_rank" and "regret", (resamples,) each.
    """
    x, y = drawn.sides.scores, drawn.sides.truth
    last_in, above = _last_value_in_top(drawn.x_up_to, k)
    places = k - above  # left for those tied at the k-th place
    # Few architectures are in the top of a resample, unless many tie; the truly best of them first.
    few = np.flatnonzero(x.codes >= last_in.min())[::-1]
    counts, codes = drawn.counts[:, few], x.codes[few]
    sure, tied = counts * (codes > last_in), counts * (codes == last_in)
    number_tied = tied.sum(axis=1, keepdims=True)
    truth_above = drawn.counts.shape[1] - np.take(drawn.y_up_to, y.codes[few], axis=1)
    truth_sizes = np.take(drawn.y_sizes, y.codes[few], axis=1)
    in_both = (sure + tied * (places / number_tied)) * np.clip((k - truth_above) / np.maximum(truth_sizes, 1), 0.0, 1.0)
    none_so_far = np.where(np.cumsum(sure, axis=1) > 0, 0.0, _chance_of_none(np.cumsum(tied, axis=1), number_tied, places))
    # That this one is the truly best of the top; rounding must not leave less than nothing.
    chance = np.maximum(0.0 - np.diff(none_so_far, axis=1, prepend=1.0), 0.0)
    best = y.centred[len(y.codes) - 1 - np.argmax(drawn.counts[:, ::-1] > 0, axis=1)]
    return {
        "top_k_overlap": in_both.sum(axis=1) / k,
        "best_rank": (chance * (1 + truth_above)).sum(axis=1),
        "regret": (chance * np.maximum(best[:, None] - y.centred[few], 0.0)).sum(axis=1),
    }


def _last_value_in_top(up_to: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the distinct values stands at the k-th place, and how many drawn are above it: (resamples, 1) each."""
    above = up_to[:, -1:] - up_to
    last = above.shape[1] - np.count_nonzero(above < k, axis=1)[:, None]
    return last, np.take_along_axis(above, last, axis=1)


def _chance_of_none(drawn: np.ndarray, tied: np.ndarray, places: np.ndarray) -> np.ndarray:
    """That none of some of those tied is in the top, where the places left are filled by drawing without replacement.

    Args:
        drawn: (resamples, m), how many these some are.
        tied: (resamples, 1), how many tie.
        places: (resamples, 1), from 1 to `tied`.
    """
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, tied.max() + 1)))])  # of the factorials

    def factorial(number: np.ndarray) -> np.ndarray:
        return logarithms[np.maximum(number, 0).astype(np.intp)]

    left = tied - drawn
    # Ways to fill the places from those left over ways to fill them from all.
    chance = np.exp(factorial(left) - factorial(left - places) - factorial(tied) + factorial(tied - places))
    return np.where(left < places, 0.0, chance)


def _on_all(scores: np.ndarray, truth: np.ndarray, k: int) -> dict[str, float]:
    scores, truth = same_architectures(scores, truth)
    if not 1 <= k <= len(scores):
        raise ValueError(f"top {k} of {len(scores)} architectures: k must be from 1 to their number")
    found = top_statistics(Drawn.all_once(Sides.of(scores, truth)), k)
    return {name: float(values[0]) for name, values in found.items()}
