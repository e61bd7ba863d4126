"""Counts, for every architecture of a resample, the pairs with others that scores and truth order alike and those they order oppositely.

The pairs are the same in every resample and only their counts differ: a merge sort is laid out once and run on many resamples at a time.
"""

from dataclasses import dataclass

import numpy as np

BLOCK = 128  # architectures whose pairs are taken by one matrix product; longer stretches are merged two by two


@dataclass(frozen=True, slots=True)
class _Merge:
    """Two neighbouring stretches of architectures, each time: those on the right are compared with those on the left."""

    left: np.ndarray  # architectures on the left, by stretch and score
    right: np.ndarray  # architectures on the right
    lower: np.ndarray  # for each on the right: how many of `left` stand before the first of its neighbours that its score ties with,
    upper: np.ndarray  # before the first that is above its score,
    start: np.ndarray  # before the first of its neighbours,
    end: np.ndarray  # and up to the last of them


@dataclass(frozen=True, slots=True)
class PairOrder:
    """The pairs of n architectures in ascending order of truth and then of score."""

    blocks: np.ndarray  # (blocks, BLOCK, BLOCK): sign of the second's score less the first's, 0 unless the first stands before
    merges: tuple[_Merge, ...]
    ties: tuple[np.ndarray, ...] | None  # (n,) each; None if no two have the same truth

    @classmethod
    def of(cls, scores: np.ndarray, truth: np.ndarray) -> "PairOrder":
        """From (n,) places among the distinct values, in that order."""
        return cls(_signs(scores), tuple(_merges(scores)), _ties(scores, truth) if len(np.unique(truth)) < len(truth) else None)

    def concordance(self, counts: np.ndarray, scores_above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For every architecture, the others that scores and truth order alike with it less those they order oppositely.

        Args:
            counts: (resamples, n), how often each was drawn.
            scores_above: (resamples, n), how many drawn have a lower score than this one less how many have a higher one.

        Returns:
            (resamples, n) over the others of lower truth, and over all others.
        """
        before = self._before(counts)
        if self.ties is None:
            return before, 2 * before - scores_above
        first, pair_first, pair_end, end = self.ties
        drawn = _cumulated(counts)
        tied_below = np.take(drawn, pair_first, axis=1) - np.take(drawn, first, axis=1)
        tied_above = np.take(drawn, end, axis=1) - np.take(drawn, pair_end, axis=1)
        return before - tied_below, 2 * before - tied_below - tied_above - scores_above

    def _before(self, counts: np.ndarray) -> np.ndarray:
        """Over those that stand before: (resamples, n) lower scores less higher ones."""
        rows, n = counts.shape
        padded = np.zeros((rows, len(self.blocks) * BLOCK), np.float32)  # whole numbers up to n, which it holds exactly
        padded[:, :n] = counts
        by_block = padded.reshape(rows, -1, BLOCK).transpose(1, 0, 2) @ self.blocks
        found = np.ascontiguousarray(by_block.transpose(1, 0, 2).reshape(rows, -1)[:, :n])
        for merge in self.merges:
            drawn = _cumulated(np.take(padded, merge.left, axis=1))
            found[:, merge.right] += (
                np.take(drawn, merge.lower, axis=1)
                + np.take(drawn, merge.upper, axis=1)
                - np.take(drawn, merge.start, axis=1)
                - np.take(drawn, merge.end, axis=1)
            )
        return found.astype(np.float64)


def _cumulated(counts: np.ndarray) -> np.ndarray:
    """(resamples, m) -> (resamples, m + 1): how many stand before each place, and all."""
    total = np.zeros((len(counts), counts.shape[1] + 1), counts.dtype)
    np.cumsum(counts, axis=1, out=total[:, 1:])
    return total


def _signs(scores: np.ndarray) -> np.ndarray:
    padded = np.zeros(-(-len(scores) // BLOCK) * BLOCK, np.float32)
    padded[: len(scores)] = scores
    by_block = padded.reshape(-1, BLOCK)
    return np.triu(np.sign(by_block[:, None, :] - by_block[:, :, None]), 1)


def _merges(scores: np.ndarray) -> list[_Merge]:
    n, places, found, length = len(scores), np.arange(len(scores)), [], BLOCK
    while length < n:
        stretch, is_right = places // (2 * length), places // length % 2 == 1
        keys = stretch * n + scores  # scores are places below n
        left, right = places[~is_right], places[is_right]
        left = left[np.argsort(keys[left], kind="stable")]
        ordered = keys[left]
        lower, upper = (np.searchsorted(ordered, keys[right], side) for side in ("left", "right"))
        start, end = (np.searchsorted(ordered, edge * n) for edge in (stretch[right], stretch[right] + 1))
        found.append(_Merge(left, right, lower, upper, start, end))
        length *= 2
    return found


def _ties(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where each one's truth begins, where its score within it begins and ends, and where its truth ends."""
    keys = truth * len(truth) + scores  # ascending, as the architectures stand
    edges = ((truth, "left"), (keys, "left"), (keys, "right"), (truth, "right"))
    return tuple(np.searchsorted(values, values, side) for values, side in edges)  # type: ignore[call-overload]
