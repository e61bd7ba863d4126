"""Predicts scores from widths, by a fit on a supernet's own scores of many candidates; known accuracies play no part.

A supernet's cross entropies are nearly additive over the layers, but not without faults: some layers seem to be better
narrower, and networks with many parameters, which gain most from a training of their own, are undervalued. A predictor
keeps what the scores say layer by layer and corrects these two. Its constants were chosen on 250 known accuracies of
the challenge's space (records/2026-11-26_predictors).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.stats import kendalltau

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.scoring.prediction import LayerEffect, Prediction
from nas_lightning.scoring.table import Score
from nas_lightning.space import Candidate, CandidateRows, Population, Structure, size_and_last_width

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Function = Callable[[Integers], Floats]
"""(n, layers) widths -> (n,) cross entropies."""

FEWEST = 30
"""Minimum number of candidates to fit on."""
FOLDS = 10
CLEARLY = 0.02
"""Difference of two shares of explained variance from which on it counts, if it exceeds two standard errors."""


class Predictor(Protocol):
    """Fits a function of the widths to scores."""

    @property
    def name(self) -> str:
        """In files and tables."""
        ...

    def fit(self, structure: Structure, widths: Integers, cross_entropies: Floats) -> Function:
        """The fitted function.

        Args:
            structure: gives the costs of candidates.
            widths: (m, layers) of the scored candidates.
            cross_entropies: (m,), in nats.
        """
        ...

    def without_assumption(self) -> "Predictor | None":
        """The same fit without the assumption that it makes of every network; None if it makes none."""
        ...


@dataclass(frozen=True)
class Monotone(Checked, place="ranking.predictor"):
    """Assumes that a wider layer is never worse: a sum over the layers of functions that never increase the cross entropy.

    Each layer's function is a non-negative mixture of log(width), -1 / width and width, by ridge regression.
    """

    capacity: float = number(0.0, least=0)
    """Standard deviations of ``size_and_last_width``, a score without training, that are added to one of the fitted quality."""
    ridge: float = number(0.1, above=0)
    """Penalty of the squared coefficients of standardised columns, per candidate."""
    is_constrained: bool = True
    """False makes no assumption."""

    @property
    def name(self) -> str:
        """See Predictor."""
        return ("monotone" if self.is_constrained else "additive") + ("_with_capacity" if self.capacity else "")

    def without_assumption(self) -> "Monotone | None":
        """See Predictor."""
        return Monotone(self.capacity, self.ridge, is_constrained=False) if self.is_constrained else None

    def fit(self, structure: Structure, widths: Integers, cross_entropies: Floats) -> Function:
        """See Predictor."""
        columns, target = columns_of(widths), -cross_entropies
        centre, spread = columns.mean(axis=0), columns.std(axis=0)
        spread[spread < 1e-9] = np.inf  # a layer of one width says nothing
        penalty = np.sqrt(self.ridge * len(target)) * np.eye(columns.shape[1])
        system = np.concatenate([(columns - centre) / spread, penalty])
        right = np.concatenate([target - target.mean(), np.zeros(len(penalty))])
        solution = nnls(system, right, maxiter=100 * len(penalty)) if self.is_constrained else np.linalg.lstsq(system, right)
        slopes = solution[0] / spread

        def additive(rows: Integers) -> Floats:
            return (columns_of(rows) - centre) @ slopes

        sizes = structure.cost(widths).parameters, structure.last_widths(widths)
        untrained = size_and_last_width(*sizes)
        of_untrained = untrained(*sizes).std()
        per_size = self.capacity * additive(widths).std() / (of_untrained or np.inf)

        def quality(rows: Integers) -> Floats:
            return additive(rows) + per_size * untrained(structure.cost(rows).parameters, structure.last_widths(rows))

        fitted = quality(widths)
        # In nats, as near to the scores as it may be; never turned round, if they contradict the capacity.
        slope = float(fitted @ (target - target.mean()) / max(float(fitted @ fitted), 1e-30))
        scale = slope if self.capacity and slope > 0 else 1.0
        return lambda rows: -(target.mean() + scale * quality(rows))


PREDICTORS: dict[str, Predictor | None] = {"none": None, "monotone": Monotone(), "monotone_with_capacity": Monotone(capacity=0.5)}
"""By ``ranking.predictor``."""


def predict(
    predictor: Predictor, structure: Structure, scored: CandidateRows, scores: Sequence[Score], listed: CandidateRows, seed: int
) -> tuple[Floats, Prediction]:
    """Fits on scored candidates, duplicates once, and predicts the listed ones.

    Args:
        scores: one a scored candidate.
        seed: of the folds.

    Returns:
        (n,) cross entropies of the listed candidates, in nats, and what is known of them.

    Raises:
        InputError: with fewer than 30 scored candidates.
    """
    distinct = list(scored.distinct_rows)
    if len(distinct) < FEWEST:
        raise InputError(f"ranking.predictor: {len(distinct)} scored candidates are too few to fit on; at least {FEWEST} are needed")
    widths, losses = scored.widths[distinct], np.array([scores[row].cross_entropy for row in distinct])
    function = predictor.fit(structure, widths, losses)
    rows, place = np.unique(listed.widths, axis=0, return_inverse=True)  # copies have one score, to the last bit
    left_out = _left_out(predictor, structure, widths, losses, seed)
    free, tau = predictor.without_assumption(), float(kendalltau(left_out, losses).statistic)
    free_function, free_left_out = (
        (function, left_out) if free is None else (free.fit(structure, widths, losses), _left_out(free, structure, widths, losses, seed))
    )
    squared, free_squared = (left_out - losses) ** 2, (free_left_out - losses) ** 2
    gain, variance = squared - free_squared, max(float(losses.var()), 1e-30)
    prediction = Prediction(
        predictor=predictor.name,
        scored=len(distinct),
        explained=1 - float(squared.mean()) / variance,
        error=float(np.sqrt(squared.mean())),
        kendall=tau if np.isfinite(tau) else None,
        explained_without_assumption=None if free is None else 1 - float(free_squared.mean()) / variance,
        doubtful=bool(gain.mean() > max(CLEARLY * variance, 2 * gain.std(ddof=1) / np.sqrt(len(gain)))),
        effects=_effects(structure, function, free_function),
    )
    return function(rows)[place.ravel()], prediction


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


def columns_of(widths: Integers) -> Floats:
    """(n, 3 * layers) the logarithm, -1 / width and the width of each layer: what a smooth loss is nearly a sum of."""
    values = widths.astype(np.float64)
    return np.concatenate([np.log(values), -1 / values, values], axis=1)


def _left_out(predictor: Predictor, structure: Structure, widths: Integers, losses: Floats, seed: int) -> Floats:
    """(m,) predictions, each by a fit on the other nine tenths."""
    predicted = np.empty(len(losses))
    for fold in np.array_split(generator(seed, "left out").permutation(len(losses)), FOLDS):
        kept = np.setdiff1d(np.arange(len(losses)), fold)
        predicted[fold] = predictor.fit(structure, widths[kept], losses[kept])(widths[fold])
    return predicted


def _effects(structure: Structure, predicted: Function, unconstrained: Function) -> tuple[LayerEffect, ...]:
    choices = structure.space.choices
    middle = np.array([legal[len(legal) // 2] for legal in choices])
    rows = np.stack([middle] * 2 * len(choices)).reshape(len(choices), 2, -1)
    for layer, legal in enumerate(choices):
        rows[layer, :, layer] = legal[0], legal[-1]
    changes = [np.diff(function(rows.reshape(-1, len(choices))).reshape(-1, 2))[:, 0] for function in (predicted, unconstrained)]
    columns = zip(structure.space.names, structure.sides, *changes, strict=True)
    return tuple(LayerEffect(name, str(side), float(change), float(free)) for name, side, change, free in columns)
