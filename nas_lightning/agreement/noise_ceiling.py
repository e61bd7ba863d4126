"""The agreement of a perfect predictor with a truth that is itself measured with noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES, Estimate
from nas_lightning.rng import generator

SIMULATIONS = 1000
"""Number of simulations of the noise."""


@dataclass(frozen=True, slots=True)
class NoiseCeiling:
    """Agreement of expected accuracies with measured means; intervals hold 95 % of the simulated values."""

    seeds: int
    estimates: Mapping[str, Estimate]
    """Kendall and Pearson."""

    @classmethod
    def of(cls, accuracies: np.ndarray, seed: int = 0) -> "NoiseCeiling | None":
        """Estimates it from the spread of accuracies over seeds and over architectures (one-way variance components).

        Assumes that the noise of a training is independent of the expected accuracy, and equal for all architectures.
        Pearson is the square root of the mean's reliability, the share of its variance that is not noise. Kendall and
        both intervals are simulated: means shrunk to the spread of the expected accuracies, against the same with
        normal noise. If noise explains the whole spread over architectures both are 0; without noise both are 1.

        Args:
            accuracies: (n, s) fractions, one column per seed.
            seed: of the simulated noise, at least 0.

        Returns:
            None with one seed or fewer than three architectures, or if all means are equal.
        """
        n, seeds = accuracies.shape
        means = accuracies.mean(axis=1)
        if seeds < 2 or n < FEWEST_ARCHITECTURES or means.min() == means.max():
            return None
        noise = accuracies.var(axis=1, ddof=1).mean() / seeds  # variance of a mean over its seeds
        reliability = max(0.0, 1 - noise / means.var(ddof=1))
        if reliability in (0.0, 1.0):
            return cls(seeds, {"kendall": Estimate(reliability), "pearson": Estimate(reliability)})
        expected = np.sqrt(reliability) * (means - means.mean())
        measured = expected + np.sqrt(noise) * generator(seed, "ceiling").standard_normal((SIMULATIONS, n))
        pearson = np.array([np.corrcoef(expected, simulated)[0, 1] for simulated in measured])
        kendall = _kendall(expected, measured)
        return cls(seeds, {"kendall": Estimate.of(kendall.mean(), kendall), "pearson": Estimate.of(np.sqrt(reliability), pearson)})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"seeds": self.seeds, **{statistic: estimate.to_json() for statistic, estimate in self.estimates.items()}}


def _kendall(expected: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """tau-b of (n,) with each of (simulations, n), assumed to have no ties."""
    n = len(expected)
    agreed = sum(np.sign(measured[:, row, None] - measured[:, :row]) @ np.sign(expected[row] - expected[:row]) for row in range(1, n))
    sizes = np.unique(expected, return_counts=True)[1]
    return agreed / np.sqrt(n * (n - 1) / 2) / np.sqrt((n**2 - (sizes**2).sum()) / 2)
