"""Bootstrap resamples of the architectures, as counts of draws; ranks follow from cumulated counts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas_lightning.rng import generator

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
        """Sorts the values only once for all resamples."""
        order = np.argsort(-values)
        first, end = (np.searchsorted(-values[order], -values, side) for side in ("left", "right"))
        drawn = np.zeros((len(counts), len(values) + 1))
        np.cumsum(np.take(counts, order, axis=1), axis=1, out=drawn[:, 1:])
        above = np.take(drawn, first, axis=1)
        return cls(values, counts, above, np.take(drawn, end, axis=1) - above)

    @cached_property
    def signs(self) -> np.ndarray:
        """(n, n) int8: the sign of the row's value less the column's."""
        return (self.values[:, None] > self.values).view(np.int8) - (self.values[:, None] < self.values).view(np.int8)

    @cached_property
    def drawn(self) -> np.ndarray:
        """(resamples, 1): the number of draws."""
        return self.counts.sum(axis=1, keepdims=True)

    @cached_property
    def deviations(self) -> np.ndarray:
        """(resamples, n): deviations of the values from the resample's mean."""
        centred = self.values - self.values.mean()  # so that a large offset costs no digits
        return centred - (self.counts @ centred)[:, None] / self.drawn

    @cached_property
    def centred_ranks(self) -> np.ndarray:
        """(resamples, n): lower draws minus higher draws, which is twice the distance from the mean rank."""
        return self.drawn - self.tied - 2 * self.above

    @cached_property
    def is_constant(self) -> np.ndarray:
        """(resamples,): whether all draws have one value."""
        return np.einsum("rn,rn->r", self.counts, self.tied) == self.drawn[:, 0] ** 2

    @cached_property
    def place_weights(self) -> np.ndarray:
        """(resamples, n): 1 / place from the highest, counted from 1; ties share the mean."""
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.drawn.max() + 1))])
        above, tied = self.above.astype(np.intp), self.tied.astype(np.intp)
        return (harmonic[above + tied] - harmonic[above]) / np.maximum(tied, 1)

    @cached_property
    def highest(self) -> np.ndarray:
        """(resamples, 1): the highest value drawn."""
        return np.where(self.counts > 0, self.values, -np.inf).max(axis=1, keepdims=True)


Statistics = Callable[[Side, Side], dict[str, np.ndarray]]
"""Statistics of a score and the truth: (resamples,) by name."""


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the draws of each architecture, in chunks of (some, n) int64 with every row summing to n.

    Resample i depends only on the seed, n and i: every score sees the same ones, so that comparisons are paired.
    """
    rows = max(1, min(CHUNK_ROWS, CHUNK_ELEMENTS // n))
    for start in range(0, resamples, rows):
        drawn = (generator(seed, "bootstrap", i).integers(n, size=n) for i in range(start, min(start + rows, resamples)))
        yield np.stack([np.bincount(indices, minlength=n) for indices in drawn])


def bootstrap(
    scores: Mapping[str, np.ndarray], truth: np.ndarray, resamples: int, seed: int, statistics: Statistics
) -> dict[str, dict[str, np.ndarray]]:
    """Every statistic of every score on every resample: (resamples,) each, nan if undefined; empty without resamples.

    Args:
        scores: by name, (n,) each, finite.
        truth: (n,) finite.
        resamples: of n architectures, with replacement.
        seed: at least 0.
        statistics: the function that computes them.
    """
    chunks: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scores}
    for drawn in resample_counts(len(truth), resamples, seed):
        counts = drawn.astype(np.float64)
        y = Side.of(truth, counts)
        for name, values in scores.items():
            chunks[name].append(statistics(Side.of(values, counts), y))
    return {name: {key: np.concatenate([part[key] for part in parts]) for key in (parts or [{}])[0]} for name, parts in chunks.items()}
