"""Smooths a supernet's scores over the widths, by a ridge regression on its own scores of many candidates.

The score of one slice is noisy, as its shared weights fit it by chance; the effect of a width over hundreds of slices
is much less so. The regression sees only the supernet's scores, never a known accuracy.

Its strength is the largest with a cross-validated error within one standard error of the smallest (Breiman et al.,
"Classification and Regression Trees", 1984, section 3.4.3). The strength of smallest error keeps the supernet's own
faults: in each of eight supernets the larger one agreed better with the truth (records/2026-11-24_hour_ablations).
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
"""Candidate strengths of the ridge, ascending; leave-one-out cross-validation on the supernet's scores chooses."""
FEWEST = 30
"""Minimum number of candidates to fit on."""


@dataclass(frozen=True)
class Smoothing:
    """A fitted regression of scores on widths."""

    model: Pipeline
    strength: float
    """The chosen strength of the ridge."""
    error: float
    """Root of the mean squared leave-one-out error, in units of the score."""

    @classmethod
    def fit(cls, widths: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> "Smoothing":
        """Regresses scores on the logarithm, the inverse and the value of every layer's width.

        Args:
            widths: (m, layers).
            scores: (m,) of a supernet.

        Raises:
            InputError: with fewer than 30 candidates.
        """
        if len(scores) < FEWEST:
            raise InputError(f"ranking.smoothing: {len(scores)} candidates are too few to smooth over; at least {FEWEST} are needed")
        features = _features(widths)
        tried = RidgeCV(STRENGTHS, store_cv_results=True)  # leave-one-out by default
        make_pipeline(StandardScaler(), tried).fit(features, scores)
        squared: npt.NDArray[np.float64] = tried.cv_results_  # (m, strengths)
        errors = squared.mean(axis=0)
        least = int(errors.argmin())
        allowed = errors[least] + squared[:, least].std(ddof=1) / np.sqrt(len(scores))
        chosen = int(np.flatnonzero(errors <= allowed)[-1])
        model = make_pipeline(StandardScaler(), Ridge(STRENGTHS[chosen])).fit(features, scores)
        return cls(model, float(STRENGTHS[chosen]), float(np.sqrt(errors[chosen])))

    def predict(self, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(n, layers) -> (n,) scores, also of candidates never evaluated."""
        return self.model.predict(_features(widths))


def extra_candidates(population: Population, count: int, seed: int) -> Population:
    """Other candidates of the space that extend a list to ``count``, or to the whole space if that is smaller."""
    listed = set(population.architectures)
    space = population.space
    wanted = min(count, space.size) - len(listed)
    if wanted <= 0:
        return Population(space, ())
    drawn = space.sample_distinct(min(count + len(listed), space.size), generator(seed, "smoothing"))
    fresh = [architecture for architecture in drawn if architecture not in listed][:wanted]
    return Population(space, tuple(Candidate(f"further{number}", space.text(extra), extra) for number, extra in enumerate(fresh, start=1)))


def smoothed_cross_entropies(population: CandidateRows, scores: Sequence[Score], listed: int) -> npt.NDArray[np.float64]:
    """(listed,) predictions for the first ``listed`` candidates, fitted on the cross entropies of all."""
    losses = np.array([score.cross_entropy for score in scores])
    distinct = list(population.distinct_rows)  # duplicates count once
    widths = population.widths[distinct]
    predicted = Smoothing.fit(widths, losses[distinct]).predict(widths)
    by_architecture = dict(zip((population[row].architecture for row in distinct), predicted, strict=True))
    return np.array([by_architecture[architecture] for architecture in population.architectures[:listed]])


def _features(widths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    values = widths.astype(np.float64)
    return np.concatenate([np.log(values), 1 / values, values], axis=1)
