"""Small problems for tests of the search: no network, a made-up loss."""

from collections.abc import Sequence

import numpy as np

from nas_lightning.scoring.table import Score
from nas_lightning.search.problem import Budget, Problem
from nas_lightning.space import Architecture, ResidualStructure, SearchSpace

SPACE = SearchSpace("tiny", blocks=(1, 1, 1), max_widths=(8, 12, 16), width_step=2, resolution=8)
STRUCTURE = ResidualStructure(SPACE, classes=10)


def problem(*budgets: Budget, **more: object) -> Problem:
    cost_of = {"multiply_adds": lambda rows: STRUCTURE.cost(rows).multiply_adds, "parameters": lambda rows: STRUCTURE.cost(rows).parameters}
    return Problem(SPACE, cost_of, budgets or ({},), **more)  # type: ignore[arg-type]


def evaluate(_: int, architectures: Sequence[Architecture]) -> list[Score]:
    """Wider is better, in some layers far more than in others, with noise that is a candidate's own."""
    weights = np.array([3, 0.1, 2, 0.1, 0.1, 2, 1])
    scores = []
    for architecture in architectures:
        noise = np.random.default_rng(list(architecture.widths)).normal(0, 0.02)
        loss = float(2.5 - (np.log(architecture.widths) * weights).sum() / weights.sum() / 2 + noise)
        scores.append(Score(min(1.0, 0.9 - loss / 4), 1.0, loss))
    return scores
