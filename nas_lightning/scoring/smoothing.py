"""Smooths a supernet's own scores over the widths: label-free, a ridge regression on what the supernet said of many candidates.

A score of one slice carries noise of its own (what the weights it shares happen to fit); the effect of a width on hundreds of slices
carries much less. The regression sees the supernet's scores alone, never a known accuracy.

Its strength is the greatest whose cross-validated error lies within one standard error of the least (Breiman et al., "Classification
and Regression Trees", 1984, section 3.4.3). The least error itself follows the supernet so closely that its own faults are kept: in each
of eight supernets the stronger one agreed better with the truth (records/2026-11-24_hour_ablations).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.scoring.table import Score
from nas_lightning.space import Candidate, CandidateRows, Population

STRENGTHS = np.logspace(-1, 4, 26)
"""Of the ridge, ascending; leave-one-out cross-validation against the supernet's scores chooses."""
FEWEST = 30
"""Candidates to fit on: fewer say nothing of the layers' widths."""


@dataclass(frozen=True)
class Smoothing:
    """A fitted regression of scores on widths."""

    model: Pipeline
    strength: float
    """The ridge's, as chosen."""
    error: float
    """Root of the mean squared leave-one-out error, in units of the score."""

    @classmethod
    def fit(cls, widths: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> "Smoothing":
        """Fits scores on the logarithm, the inverse and the value of every layer's width.

        Args:
            widths: (m, layers).
            scores: (m,) of a supernet.

        Raises:
            InputError: with fewer than 30 candidates.
        """
        if len(scores) < FEWEST:
            raise InputError(f"ranking.smoothing: {len(scores)} candidates are too few to smooth over; at least {FEWEST} are needed")
        features = _features(widths)
        tried = RidgeCV(STRENGTHS, store_cv_results=True)  # leave-one-out where no folds are asked for
        make_pipeline(StandardScaler(), tried).fit(features, scores)
        squared: npt.NDArray[np.float64] = tried.cv_results_  # (m, strengths)
        errors = squared.mean(axis=0)
        least = int(errors.argmin())
        allowed = errors[least] + squared[:, least].std(ddof=1) / np.sqrt(len(scores))
        chosen = int(np.flatnonzero(errors <= allowed)[-1])
        model = make_pipeline(StandardScaler(), Ridge(STRENGTHS[chosen])).fit(features, scores)
        return cls(model, float(STRENGTHS[chosen]), float(np.sqrt(errors[chosen])))

    def predict(self, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, layers) -> (n,) scores, also of candidates that were never evaluated."""
        return self.model.predict(_features(widths))


def extra_candidates(population: Population, count: int, seed: int) -> Population:
    """Candidates out of the space that a list lacks, as many as bring it to ``count``; fewer where the space has no more."""
    listed = set(population.architectures)
    space = population.space
    wanted = min(count, space.size) - len(listed)
    if wanted <= 0:
        return Population(space, ())
    drawn = space.sample_distinct(min(count + len(listed), space.size), generator(seed, "smoothing"))
    fresh = [architecture for architecture in drawn if architecture not in listed][:wanted]
    return Population(space, tuple(Candidate(f"further{number}", space.text(one), one) for number, one in enumerate(fresh, start=1)))


def smoothed_cross_entropies(population: CandidateRows, scores: Sequence[Score], listed: int) -> npt.NDArray[np.float64]:
    """Of the first ``listed`` candidates, (listed,), fitted on the cross entropies of all."""
    losses = np.array([one.cross_entropy for one in scores])
    distinct = list(population.distinct_rows)  # a candidate that is listed twice counts once
    widths = population.widths[distinct]
    predicted = Smoothing.fit(widths, losses[distinct]).predict(widths)
    by_architecture = dict(zip((population[row].architecture for row in distinct), predicted, strict=True))
    return np.array([by_architecture[one] for one in population.architectures[:listed]])


def _features(widths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    values = widths.astype(np.float64)
    return np.concatenate([np.log(values), 1 / values, values], axis=1)
