"""Known accuracies without a supernet: least squares on the widths, fitted on a few, evaluated on the rest."""

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
"""Minimum candidates to evaluate on."""
PER_COEFFICIENT = 2
"""Minimum known accuracies per coefficient (of layers and intercept): with fewer the fit follows their noise."""
STATISTICS = {"kendall": stats.kendalltau, "pearson": stats.pearsonr, "spearman": stats.spearmanr}


@dataclass(frozen=True, slots=True)
class SupervisedPredictor:
    """Agreement of a regression with held-out accuracies: mean, 2.5 and 97.5 percentiles over the repeats."""

    estimates: Mapping[str, Estimate]
    """Kendall, Pearson and Spearman."""
    repeats: int = 0
    """Number of repeats in which both held-out accuracies and predictions have an order."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**{statistic: estimate.to_json() for statistic, estimate in self.estimates.items()}, "repeats": self.repeats}


def supervised_predictors(widths: np.ndarray, truth: np.ndarray, seed: int = 0) -> dict[int, SupervisedPredictor]:
    """Fits on m random known accuracies and evaluates on the others, 100 times, for m = 50, 100 and 200.

    The features are the logarithms of the layers' widths and an intercept. Each repeat fits on other candidates, and
    the percentiles show how much the result depends on their choice.

    Args:
        widths: (n, layers).
        truth: (n,) known accuracies, fractions, finite.
        seed: of the choice, at least 0.

    Returns:
        By m, except those that leave fewer than 20 candidates to evaluate on, or are below 2 (layers + 1).
    """
    n, layers = widths.shape
    features = np.concatenate([np.ones((n, 1)), np.log(widths)], axis=1)
    fitting = (m for m in SIZES if n - m >= FEWEST_LEFT and m >= PER_COEFFICIENT * (layers + 1))
    return {m: _repeated(features, truth, m, seed) for m in fitting}


def _repeated(features: np.ndarray, truth: np.ndarray, m: int, seed: int) -> SupervisedPredictor:
    lists: dict[str, list[float]] = {statistic: [] for statistic in STATISTICS}
    for repeat in range(REPEATS):
        shuffled = generator(seed, "fitted baseline", m, repeat).permutation(len(truth))
        fit, judge = shuffled[:m], shuffled[m:]
        coefficients = np.linalg.lstsq(features[fit], truth[fit], rcond=None)[0]
        predicted, known = features[judge] @ coefficients, truth[judge]
        if np.ptp(predicted) > 0 and np.ptp(known) > 0:
            for statistic, on in STATISTICS.items():
                lists[statistic].append(on(predicted, known).statistic)
    by_repeat = {statistic: np.array(values) for statistic, values in lists.items()}
    repeats = len(by_repeat["kendall"])
    estimates = {statistic: Estimate.of(values.mean() if repeats else None, values) for statistic, values in by_repeat.items()}
    return SupervisedPredictor(estimates, repeats)
