"""Predictors: fits of widths to a supernet's own scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau
from sklearn.linear_model import Ridge

from nas_lightning.agreement import kendall_tau
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.prediction import Prediction, read_prediction
from nas_lightning.scoring.predictors import Monotone, extra_candidates, predict
from nas_lightning.scoring.table import Score
from nas_lightning.space import Candidates, Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("resnet20", (3, 3, 3), (16, 32, 64), 4, 32)
STRUCTURE = ResidualStructure(SPACE, 100)


def widths(count: int, seed: int = 0) -> np.ndarray:
    return np.array([one.widths for one in SPACE.sample_distinct(count, generator(seed, "test"))])


def truth(rows: np.ndarray) -> np.ndarray:
    """Cross entropies that fall with every width, ever slower."""
    return 3 - np.log(rows) @ np.linspace(0.2, 1.0, rows.shape[1]) / 10


def noisy(rows: np.ndarray, spread: float, seed: int = 1) -> np.ndarray:
    return truth(rows) + generator(seed, "test").normal(0, spread, len(rows))


def standardised(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    columns, reference = (np.concatenate([np.log(at), -1 / at, at], axis=1) for at in (rows, like))
    return (columns - reference.mean(axis=0)) / reference.std(axis=0)


def ridge(rows: np.ndarray, losses: np.ndarray, at: np.ndarray, positive: bool = True) -> np.ndarray:
    """A library's fit of the same columns."""
    solver = Ridge(0.1 * len(rows), positive=positive, tol=1e-12, max_iter=100_000)
    return -solver.fit(standardised(rows, rows), -losses).predict(standardised(at, rows))


def predicted(losses: np.ndarray, rows: np.ndarray, **settings: Any) -> tuple[np.ndarray, Prediction]:
    population = Population.of(SPACE, [SPACE.parse("-".join(map(str, row))) for row in rows.tolist()])
    scores = [Score(0.5, 0.9, float(loss)) for loss in losses]
    return predict(Monotone(**settings), STRUCTURE, population, scores, population, seed=0)


@pytest.mark.parametrize("is_constrained", [True, False])
def test_the_fit_is_a_ridge_with_coefficients_of_one_sign(is_constrained: bool) -> None:
    rows, others = widths(80), widths(50, seed=9)
    losses = noisy(rows, 0.1)
    function = Monotone(is_constrained=is_constrained).fit(STRUCTURE, rows, losses)
    for at in (rows, others):
        np.testing.assert_allclose(function(at), ridge(rows, losses, at, is_constrained), rtol=0, atol=2e-4)
    free = ridge(rows, losses, others, positive=False)
    assert np.abs(free - ridge(rows, losses, others)).max() > 0.01


@pytest.mark.parametrize("capacity", [0.0, 0.3])
def test_a_wider_layer_is_never_predicted_to_be_worse(capacity: float) -> None:
    rows = widths(60)
    losses = generator(3, "test").normal(0, 1, 60)  # says nothing of the widths
    function = Monotone(capacity=capacity).fit(STRUCTURE, rows, losses)
    for layer, legal in enumerate(SPACE.choices):
        at = np.repeat(widths(5, seed=7), len(legal), axis=0)
        at[:, layer] = np.tile(legal, 5)
        assert np.diff(function(at).reshape(5, -1), axis=1).max() <= 1e-12


def test_capacity_adds_so_many_deviations_of_size_and_last_width() -> None:
    rows, others = widths(80), widths(50, seed=9)
    losses = noisy(rows, 0.1)
    function = Monotone(capacity=0.3).fit(STRUCTURE, rows, losses)

    def mixed(at: np.ndarray) -> np.ndarray:
        fitted, found = -ridge(rows, losses, rows), -ridge(rows, losses, at)
        size, sizes = np.log(STRUCTURE.cost(rows).parameters), np.log(STRUCTURE.cost(at).parameters)
        last, lasts = -1 / rows[:, -1], -1 / at[:, -1]
        untrained, of_these = (
            (values - size.mean()) / size.std() + (narrow - last.mean()) / last.std() for values, narrow in ((size, last), (sizes, lasts))
        )
        return (found - fitted.mean()) / fitted.std() + 0.3 * of_these / untrained.std()

    slope, intercept = np.polyfit(mixed(rows), losses, 1)  # in nats, as near to the scores as it may be
    for at in (rows, others):
        np.testing.assert_allclose(function(at), intercept + slope * mixed(at), rtol=0, atol=1e-3)


def test_capacity_never_turns_an_order_round() -> None:
    rows = widths(200)
    losses = 2 - 0.004 * np.log(rows[:, 0]) + 0.02 * np.log(rows[:, 1:]).sum(axis=1)  # all but the stem seem better narrower
    function = Monotone(capacity=0.25).fit(STRUCTURE, rows, losses)
    middle = np.array([[legal[len(legal) // 2] for legal in SPACE.choices]] * 2)
    middle[:, 0] = 4, 16
    assert np.diff(function(middle))[0] < 0


def test_equal_scores_have_no_order_and_no_gains(tmp_path: Path) -> None:
    values, found = predicted(np.full(40, 2.0), widths(40))
    assert values == pytest.approx(np.full(40, 2.0))
    assert (found.kendall, found.shares()) == (None, {})
    assert found.tau == "undefined"
    write_json(tmp_path / "predictor.json", found.to_json())
    assert read_prediction(tmp_path / "predictor.json") == found


def test_a_fit_without_an_assumption_has_another_name_and_no_doubt(tmp_path: Path) -> None:
    found = predicted(noisy(widths(60), 0.1), widths(60), is_constrained=False, capacity=0.1)[1]
    assert (found.predictor, found.explained_without_assumption, found.doubtful) == ("additive_with_capacity", None, False)
    write_json(tmp_path / "predictor.json", found.to_json())
    assert read_prediction(tmp_path / "predictor.json") == found


def test_noise_and_a_layer_that_seems_better_narrower_are_taken_out() -> None:
    rows, others = widths(400), widths(200, seed=9)
    losses = noisy(rows, 0.15)
    assert kendall_tau(predicted(losses, rows)[0], truth(rows)) > kendall_tau(losses, truth(rows)) + 0.1
    function = Monotone().fit(STRUCTURE, rows, losses)
    assert kendall_tau(function(others), truth(others)) > kendall_tau(losses, truth(rows)) + 0.1

    biased = truth(rows) + 0.15 * np.log(rows[:, 9])
    assert kendall_tau(predicted(biased, rows)[0], truth(rows)) > kendall_tau(biased, truth(rows)) + 0.05


def test_its_trust_is_measured_on_scores_left_out() -> None:
    rows = widths(73)
    losses = noisy(rows, 0.1)
    found = predicted(losses, rows)[1]
    left_out, free = np.empty(73), np.empty(73)
    for fold in np.array_split(generator(0, "left out").permutation(73), 10):
        kept = np.array([row for row in range(73) if row not in fold])
        left_out[fold] = ridge(rows[kept], losses[kept], rows[fold])
        free[fold] = ridge(rows[kept], losses[kept], rows[fold], positive=False)
    assert found.scored == 73
    assert found.error == pytest.approx(np.sqrt(np.mean((left_out - losses) ** 2)), abs=1e-3)
    assert found.explained == pytest.approx(1 - np.sum((left_out - losses) ** 2) / np.sum((losses - losses.mean()) ** 2), abs=5e-3)
    assert found.explained_without_assumption == pytest.approx(
        1 - np.sum((free - losses) ** 2) / np.sum((losses - losses.mean()) ** 2), abs=5e-3
    )
    assert found.kendall == pytest.approx(kendalltau(left_out, losses).statistic, abs=0.01)


def test_a_clearly_wrong_assumption_is_reported_and_only_that() -> None:
    rows = widths(200)
    fine = predicted(noisy(rows, 0.05), rows)[1]
    assert not fine.doubtful
    wrong = predicted(noisy(rows, 0.05) + 0.5 * np.log(rows[:, 9]), rows)[1]
    assert wrong.doubtful
    assert "of the variance of scores left out of it, with it only " in wrong.doubt
    assert wrong.to_json()["doubtful"] is True


def test_effects_are_changes_of_the_middle_candidate() -> None:
    rows = widths(300)
    losses = truth(rows) + 0.15 * np.log(rows[:, 9])
    effects = predicted(losses, rows)[1].effects
    assert [effect.layer for effect in effects] == list(SPACE.names)
    assert [effect.stage for effect in effects] == ["32"] * 7 + ["16"] * 6 + ["8"] * 6
    assert effects[9].predicted == 0 < effects[9].without_assumption
    for layer, effect in enumerate(effects):
        middle = np.array([legal[len(legal) // 2] for legal in SPACE.choices])
        ends = np.stack([middle, middle])
        ends[:, layer] = SPACE.choices[layer][0], SPACE.choices[layer][-1]
        narrow, wide = Monotone().fit(STRUCTURE, rows, losses)(ends)
        assert effect.predicted == pytest.approx(wide - narrow)


def test_a_layer_of_one_width_says_nothing() -> None:
    space = SearchSpace("narrow", (1, 1), (2, 8), 2, 8)
    rows = np.array([one.widths for one in space.sample_distinct(16, generator(0, "test"))] * 3)
    found = Monotone(capacity=0.2).fit(ResidualStructure(space, 10), rows, truth(rows))(rows)
    assert np.isfinite(found).all()
    constant = Monotone(capacity=0.2).fit(ResidualStructure(space, 10), rows, np.ones(len(rows)))(rows)
    assert constant == pytest.approx(np.ones(len(rows)))


def test_too_few_candidates_are_refused() -> None:
    with pytest.raises(InputError, match=r"29 scored candidates .* at least 30"):
        predicted(np.zeros(29), widths(29))


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


def test_a_candidate_listed_twice_counts_once_and_has_one_predicted_score() -> None:
    once = Population.draw(SPACE, 60, 0)
    scores = [Score(0.5, 0.9, float(loss)) for loss in noisy(once.widths, 0.1)]
    twice = Candidates((*once, once[0], once[7]))
    found, prediction = predict(Monotone(), STRUCTURE, twice, [*scores, scores[0], scores[7]], twice, 0)
    assert prediction.scored == 60
    assert found[:60] == pytest.approx(predict(Monotone(), STRUCTURE, once, scores, once, 0)[0])
    assert (found[60], found[61]) == (found[0], found[7])


def test_what_is_known_of_a_prediction_is_read_as_it_was_written(tmp_path: Path) -> None:
    prediction = predicted(noisy(widths(60), 0.1), widths(60))[1]
    path = tmp_path / "predictor.json"
    write_json(path, prediction.to_json())
    assert read_prediction(path) == prediction
    shares = prediction.shares()
    assert list(shares) == ["32", "16", "8"]
    assert sum(shares.values()) == pytest.approx(1)
    for key, value in (("effects", [{}]), ("effects", 3), ("kendall", "high"), ("error", None), ("scored", True)):
        write_json(path, {**prediction.to_json(), key: value})
        with pytest.raises(InputError, match=r"predictor\.json: does not hold what a ranking writes"):
            read_prediction(path)


@pytest.mark.parametrize(("key", "value"), [("capacity", -0.1), ("ridge", 0), ("ridge", float("nan")), ("capacity", "much")])
def test_a_constant_out_of_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^ranking\.predictor\.{key}: "):
        Monotone(**{key: value})
