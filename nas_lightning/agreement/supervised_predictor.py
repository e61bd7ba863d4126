"""What known accuracies are worth without a supernet: least squares on the widths, fitted on a few, judged on the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from nas_lightning.agreement.estimate import Estimate
from nas_lightning.rng import generator

SIZES = (50, 100, 200)
"""Known accuracies to fit on."""
REPEATS = 100
FEWEST_LEFT = 20
"""Candidates to judge on."""
PER_COEFFICIENT = 2
"""Known accuracies for each coefficient (a layer's, and the intercept): with fewer the fit follows their noise."""
STATISTICS = {"kendall": stats.kendalltau, "pearson": stats.pearsonr, "spearman": stats.spearmanr}


@dataclass(frozen=True, slots=True)
class SupervisedPredictor:
    """How a regression agrees with accuracies that it was not fitted on: mean, 2.5 and 97.5 percentiles over the repeats."""

    estimates: Mapping[str, Estimate]
    """Kendall, Pearson and Spearman."""
    repeats: int = 0
    """In which the accuracies to judge on and the predictions both have an order."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**{statistic: estimate.to_json() for statistic, estimate in self.estimates.items()}, "repeats": self.repeats}


def supervised_predictors(widths: np.ndarray, truth: np.ndarray, seed: int = 0) -> dict[int, SupervisedPredictor]:
    """Fits on m known accuracies at random and judges on the others, 100 times, for m = 50, 100 and 200.

    The features are the logarithms of the layers' widths and an intercept. Each repeat fits on other candidates: the
    percentiles say how much the result depends on which.

    Args:
        widths: (n, layers).
        truth: (n,) known accuracies, fractions, finite.
        seed: of the choice, at least 0.

    Returns:
        By m, without those that leave fewer than 20 candidates to judge on, or that have fewer than 2 (layers + 1).
    """
    n, layers = widths.shape
    features = np.concatenate([np.ones((n, 1)), np.log(widths)], axis=1)
    fitting = (m for m in SIZES if n - m >= FEWEST_LEFT and m >= PER_COEFFICIENT * (layers + 1))
    return {m: _repeated(features, truth, m, seed) for m in fitting}


def _repeated(features: np.ndarray, truth: np.ndarray, m: int, seed: int) -> SupervisedPredictor:
    found: dict[str, list[float]] = {statistic: [] for statistic in STATISTICS}
    for repeat in range(REPEATS):
        shuffled = generator(seed, "fitted baseline", m, repeat).permutation(len(truth))
        fit, judge = shuffled[:m], shuffled[m:]
        coefficients = np.linalg.lstsq(features[fit], truth[fit], rcond=None)[0]
        predicted, known = features[judge] @ coefficients, truth[judge]
        if np.ptp(predicted) > 0 and np.ptp(known) > 0:
            for statistic, on in STATISTICS.items():
                found[statistic].append(on(predicted, known).statistic)
    by_repeat = {statistic: np.array(values) for statistic, values in found.items()}
    repeats = len(by_repeat["kendall"])
    estimates = {statistic: Estimate.of(values.mean() if repeats else None, values) for statistic, values in by_repeat.items()}
    return SupervisedPredictor(estimates, repeats)
