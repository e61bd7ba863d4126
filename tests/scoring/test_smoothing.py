"""Smoothing: a ridge on what the widths say, fitted on the supernet's own scores."""

import numpy as np
import pytest

from nas_lightning.agreement import kendall_tau
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.scoring.smoothing import STRENGTHS, Smoothing, extra_candidates, smoothed_cross_entropies
from nas_lightning.scoring.table import Score
from nas_lightning.space import Population, SearchSpace

SPACE = SearchSpace("resnet20", (3, 3, 3), (16, 32, 64), 4, 32)


def widths(count: int, seed: int = 0) -> np.ndarray:
    return np.array([one.widths for one in SPACE.sample_distinct(count, generator(seed, "test"))])


def truth(rows: np.ndarray) -> np.ndarray:
    """A quality that grows with every width, ever slower."""
    return np.log(rows) @ np.linspace(0.2, 1.0, rows.shape[1]) / 10


def test_the_ridge_is_the_strongest_within_one_standard_error() -> None:
    rows = widths(80)
    scores = truth(rows) + generator(1, "test").normal(0, 0.1, len(rows))
    fitted = Smoothing.fit(rows, scores)

    columns = np.concatenate([np.log(rows), 1 / rows, rows], axis=1)
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)

    def ridge(at: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        centre, mean = columns[at].mean(axis=0), scores[at].mean()
        x = columns[at] - centre
        weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ (scores[at] - mean))
        return weights, (columns - centre) @ weights + mean

    def left_out(strength: float) -> np.ndarray:
        """(m,) squared errors."""
        errors = []
        for one in range(len(rows)):
            others = np.arange(len(rows)) != one
            errors.append(ridge(others, strength)[1][one] - scores[one])
        return np.square(errors)

    squared = {strength: left_out(strength) for strength in STRENGTHS}
    least = min(squared.values(), key=np.mean)
    allowed = np.mean(least) + np.std(least, ddof=1) / len(rows) ** 0.5
    strongest = max(strength for strength, errors in squared.items() if np.mean(errors) <= allowed)
    assert fitted.strength == pytest.approx(strongest)
    assert strongest > min(squared, key=lambda one: np.mean(squared[one]))
    # The library leaves out the row, not its share of the mean.
    assert fitted.error == pytest.approx(np.sqrt(np.mean(squared[strongest])), rel=0.03)
    assert fitted.predict(rows) == pytest.approx(ridge(np.full(len(rows), True), fitted.strength)[1])


def test_it_takes_noise_out_of_scores_and_ranks_candidates_never_scored() -> None:
    rows, others = widths(400), widths(200, seed=9)
    noisy = truth(rows) + generator(2, "test").normal(0, 0.15, len(rows))
    fitted = Smoothing.fit(rows, noisy)
    assert kendall_tau(fitted.predict(rows), truth(rows)) > kendall_tau(noisy, truth(rows)) + 0.1
    assert kendall_tau(fitted.predict(others), truth(others)) > kendall_tau(noisy, truth(rows))


def test_too_few_candidates_are_refused() -> None:
    with pytest.raises(InputError, match=r"29 candidates .* at least 30"):
        Smoothing.fit(widths(29), np.zeros(29))


def test_a_short_list_gets_further_candidates_and_a_long_one_none() -> None:
    listed = Population.draw(SPACE, 50, 0)
    further = extra_candidates(listed, 120, seed=1)
    assert len(further) == 70
    assert not set(further.architectures) & set(listed.architectures)
    assert further.architectures == extra_candidates(listed, 120, seed=1).architectures
    assert further.architectures != extra_candidates(listed, 120, seed=2).architectures
    assert len(extra_candidates(listed, 50, seed=1)) == 0
    small = SearchSpace("small", (1,), (4,), 1, 8)  # 64 candidates
    assert len(extra_candidates(Population.draw(small, 60, 0), 400, seed=0)) == 4


def test_a_candidate_listed_twice_counts_once_and_has_one_smoothed_score() -> None:
    once = Population.draw(SPACE, 60, 0)
    losses = truth(once.widths) + generator(3, "test").normal(0, 0.1, 60)
    scores = [Score(0.5, 0.9, float(loss)) for loss in losses]
    twice = Population(SPACE, (*once, once[0], once[7]))
    found = smoothed_cross_entropies(twice, [*scores, scores[0], scores[7]], 62)
    assert found[:60] == pytest.approx(smoothed_cross_entropies(once, scores, 60))
    assert (found[60], found[61]) == (found[0], found[7])
    assert smoothed_cross_entropies(once, scores, 20) == pytest.approx(found[:20])
