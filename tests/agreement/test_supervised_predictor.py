"""The regression on known accuracies, against scikit-learn's and against accuracies with and without anything to learn."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

from nas_lightning.agreement import supervised_predictor
from nas_lightning.agreement.supervised_predictor import supervised_predictors
from nas_lightning.rng import generator


def drawn(n: int, layers: int = 4, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Widths, and accuracies that are linear in their logarithms but for noise."""
    rng = np.random.default_rng(0)
    widths = rng.integers(1, 17, size=(n, layers)) * 4
    return widths, 0.3 + np.log(widths) @ np.linspace(0.01, 0.05, layers) + noise * rng.normal(size=n)


def test_it_is_scikit_learns_regression_judged_on_the_others():
    widths, truth = drawn(90, noise=0.03)
    found = {"kendall": [], "pearson": [], "spearman": []}
    for repeat in range(supervised_predictor.REPEATS):
        order = generator(3, "fitted baseline", 50, repeat).permutation(90)
        model = LinearRegression().fit(np.log(widths[order[:50]]), truth[order[:50]])
        predicted, known = model.predict(np.log(widths[order[50:]])), truth[order[50:]]
        for name, statistic in (("kendall", stats.kendalltau), ("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
            found[name].append(statistic(predicted, known).statistic)
    baseline = supervised_predictors(widths, truth, seed=3)[50]
    assert baseline.repeats == 100
    for name, values in found.items():
        estimate = baseline.estimates[name]
        expected = (np.mean(values), *np.percentile(values, [2.5, 97.5]))
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected)


def test_what_is_linear_in_logarithms_is_learnt_and_noise_is_not():
    widths, truth = drawn(300)
    for baseline in supervised_predictors(widths, truth).values():
        assert baseline.estimates["kendall"].low == pytest.approx(1)
    noise = np.random.default_rng(1).random(300)
    for baseline in supervised_predictors(widths, noise).values():
        assert baseline.estimates["kendall"].value == pytest.approx(0, abs=0.06)


def test_more_known_accuracies_fit_better():
    found = supervised_predictors(*drawn(600, layers=15, noise=0.05))
    assert found[50].estimates["kendall"].value < found[100].estimates["kendall"].value < found[200].estimates["kendall"].value


@pytest.mark.parametrize(
    ("n", "layers", "sizes"),
    [(69, 4, []), (70, 4, [50]), (120, 4, [50, 100]), (220, 4, [50, 100, 200]), (300, 24, [50, 100, 200]), (300, 25, [100, 200])],
)
def test_twenty_are_left_to_judge_on_and_a_coefficient_has_two_accuracies(n: int, layers: int, sizes: list[int]):
    assert list(supervised_predictors(*drawn(n, layers, noise=0.1))) == sizes


def test_a_layer_of_one_width_changes_nothing():
    widths, truth = drawn(80, noise=0.03)
    with_constant = np.concatenate([widths, np.full((80, 1), 16)], axis=1)
    assert supervised_predictors(with_constant, truth)[50].estimates["kendall"].value == pytest.approx(
        supervised_predictors(widths, truth)[50].estimates["kendall"].value
    )


def test_equal_accuracies_have_no_estimate():
    baseline = supervised_predictors(drawn(80)[0], np.full(80, 0.5))[50]
    assert (baseline.repeats, baseline.estimates["kendall"].value, baseline.estimates["pearson"].low) == (0, None, None)
    assert json.loads(json.dumps(baseline.to_json(), allow_nan=False)).keys() == {"kendall", "pearson", "spearman", "repeats"}
