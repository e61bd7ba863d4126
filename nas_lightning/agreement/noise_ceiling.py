"""The agreement of a perfect predictor with a truth that is itself measured with noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from nas_lightning.agreement.correlations import kendalls
from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES, Estimate
from nas_lightning.agreement.resampling import Side, resample_counts

RESAMPLES = 1000
"""Bootstrap resamples of the architectures behind an interval."""


@dataclass(frozen=True, slots=True)
class NoiseCeiling:
    """Agreement of expected accuracies with measured means, estimated from the agreement of the seeds with each other."""

    seeds: int
    estimates: Mapping[str, Estimate]
    """Kendall and Pearson."""

    @classmethod
    def of(cls, accuracies: np.ndarray, seed: int = 0) -> "NoiseCeiling | None":
        """Estimates it; assumes that the noise of a training is independent of that of every other.

        Pearson is the square root of the mean's reliability, the share of its variance over architectures that is not
        noise. Kendall takes the mean tau-b of all pairs of seeds to a correlation (Greiner's relation), that to the
        reliability of a mean over all seeds (Spearman and Brown), and its root back. It so stays near the truth where
        small networks are noisier than large ones, as they are. Both are 0 where noise explains the whole spread.

        Args:
            accuracies: (n, s) fractions, one column per seed.
            seed: of the resamples, at least 0.

        Returns:
            None with one seed or fewer than three architectures, or if all means are equal.
        """
        n, seeds = accuracies.shape
        means = accuracies.mean(axis=1)
        if seeds < 2 or n < FEWEST_ARCHITECTURES or means.min() == means.max():
            return None
        values = _ceilings(accuracies, np.ones((1, n)))
        resampled = [_ceilings(accuracies, counts.astype(np.float64)) for counts in resample_counts(n, RESAMPLES, seed)]
        return cls(seeds, {name: Estimate.of(value[0], np.concatenate([one[name] for one in resampled])) for name, value in values.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"seeds": self.seeds, **{statistic: estimate.to_json() for statistic, estimate in self.estimates.items()}}


def _ceilings(accuracies: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """(resamples,) each, nan where a resample has no order.

    Args:
        accuracies: (n, s) fractions.
        counts: (resamples, n) draws of each architecture.
    """
    n, seeds = accuracies.shape
    means = accuracies.mean(axis=1) - accuracies.mean()
    noise = counts @ accuracies.var(axis=1, ddof=1) / n / seeds  # variance of a mean over its seeds
    spread = (counts @ means**2 - (counts @ means) ** 2 / n) / (n - 1)
    sides = [Side.of(column, counts) for column in accuracies.T]
    pairs = np.ma.masked_invalid([kendalls(x, y)["kendall"] for x, y in combinations(sides, 2)])  # a seed may have no order
    tau = pairs.mean(axis=0).filled(np.nan)
    correlation = np.sin(np.pi / 2 * np.clip(tau, 0, None))
    of_mean = seeds * correlation / (1 + (seeds - 1) * correlation)
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = np.where(spread > 0, np.sqrt(np.clip(1 - noise / spread, 0, None)), np.nan)
    return {"kendall": 2 / np.pi * np.arcsin(np.sqrt(of_mean)), "pearson": pearson}
