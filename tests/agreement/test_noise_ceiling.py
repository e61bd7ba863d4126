"""What a perfect predictor would reach against noisy accuracies, against hand-computed variances and trainings made up anew."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from nas_lightning.agreement.noise_ceiling import NoiseCeiling
from nas_lightning.rng import generator


def trainings(expected: np.ndarray, noise: float, seeds: int, seed: int = 0) -> np.ndarray:
    """(n, seeds) accuracies."""
    return expected[:, None] + noise * np.random.default_rng(seed).normal(size=(len(expected), seeds))


def test_pearson_is_the_root_of_the_reliability_computed_by_hand():
    accuracies = np.array([[0.50, 0.52], [0.60, 0.60], [0.69, 0.71], [0.80, 0.80]])
    noise = (0.0002 + 0 + 0.0002 + 0) / 4 / 2  # of a mean of two
    spread = np.var([0.51, 0.60, 0.70, 0.80], ddof=1)
    found = NoiseCeiling.of(accuracies)
    assert found.seeds == 2
    assert found.estimates["pearson"].value == pytest.approx(np.sqrt((spread - noise) / spread))


def test_reliability_is_that_of_the_one_way_analysis_of_variance():
    accuracies = trainings(np.random.default_rng(1).normal(size=20), 0.7, 3)
    f = stats.f_oneway(*accuracies).statistic  # between over within mean squares
    assert NoiseCeiling.of(accuracies).estimates["pearson"].value == pytest.approx(np.sqrt(1 - 1 / f))


@pytest.mark.slow
def test_kendall_is_scipys_between_seeds_stepped_up_by_hand():
    accuracies = trainings(np.arange(12) // 2 / 10, 0.1, 3)
    accuracies[1] = accuracies[0]  # a tie
    taus = [stats.kendalltau(accuracies[:, i], accuracies[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
    r = math.sin(math.pi / 2 * sum(taus) / 3)
    found = NoiseCeiling.of(accuracies).estimates["kendall"]
    assert found.value == pytest.approx(math.asin(math.sqrt(3 * r / (1 + 2 * r))) * 2 / math.pi)
    drawn = [generator(0, "bootstrap", i).integers(12, size=12) for i in range(1000)]
    resampled = [NoiseCeiling.of(accuracies[rows]).estimates["kendall"].value for rows in drawn[:40]]
    assert np.percentile(resampled, 20) > found.low
    assert np.percentile(resampled, 80) < found.high


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 4])
def test_it_holds_where_small_networks_are_noisier(seeds: int):
    """As trainings of 24 networks on digits were: accuracies crowd together at the top, where they hardly vary."""
    expected = np.concatenate([np.linspace(0.4, 0.75, 6), np.linspace(0.86, 0.94, 18)])
    noise = np.where(expected < 0.8, 0.045, 0.011)
    reached, estimated = [], []
    for seed in range(40):
        accuracies = expected[:, None] + noise[:, None] * np.random.default_rng(seed).normal(size=(24, seeds))
        reached.append(stats.kendalltau(expected, accuracies.mean(axis=1)).statistic)
        estimated.append(NoiseCeiling.of(accuracies).estimates["kendall"].value)
    assert np.mean(estimated) == pytest.approx(np.mean(reached), abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "seeds"), [(0.3, 2), (1.0, 2), (1.0, 4)])
def test_the_ceiling_is_what_the_expected_accuracies_reach_on_average(noise: float, seeds: int):
    expected = np.random.default_rng(2).normal(size=60)
    reached, estimated, covered = [], [], 0
    for seed in range(25):
        accuracies = trainings(expected, noise, seeds, seed)
        mean, found = accuracies.mean(axis=1), NoiseCeiling.of(accuracies)
        reached.append((stats.kendalltau(expected, mean).statistic, stats.pearsonr(expected, mean).statistic))
        estimated.append((found.estimates["kendall"].value, found.estimates["pearson"].value))
        covered += found.estimates["kendall"].low <= reached[-1][0] <= found.estimates["kendall"].high
    assert np.mean(estimated, axis=0) == pytest.approx(np.mean(reached, axis=0), abs=0.03)
    assert covered >= 19


def test_a_seed_without_an_order_costs_no_other():
    accuracies = trainings(np.linspace(0.5, 0.7, 20), 0.03, 3)
    accuracies[:, 2] = 0.1
    r = math.sin(math.pi / 2 * stats.kendalltau(accuracies[:, 0], accuracies[:, 1]).statistic)
    assert NoiseCeiling.of(accuracies).estimates["kendall"].value == pytest.approx(math.asin(math.sqrt(3 * r / (1 + 2 * r))) * 2 / math.pi)


def test_more_seeds_raise_it_and_noise_lowers_it():
    expected = np.linspace(0.5, 0.7, 40)
    few, many, noisy = (NoiseCeiling.of(trainings(expected, noise, seeds)) for noise, seeds in ((0.05, 2), (0.05, 8), (0.2, 2)))
    assert noisy.estimates["kendall"].value < few.estimates["kendall"].value < many.estimates["kendall"].value < 1
    assert noisy.estimates["pearson"].value < few.estimates["pearson"].value < many.estimates["pearson"].value < 1
    assert few.estimates["kendall"].low < few.estimates["kendall"].value < few.estimates["kendall"].high
    assert few.estimates["pearson"].low < few.estimates["pearson"].value < few.estimates["pearson"].high


def test_without_noise_all_can_be_predicted_and_with_nothing_else_nothing():
    no_noise = NoiseCeiling.of(np.repeat(np.array([0.1, 0.2, 0.2, 0.7])[:, None], 3, axis=1))
    assert (no_noise.estimates["kendall"].value, no_noise.estimates["pearson"].value) == (1, 1)
    all_noise = NoiseCeiling.of(np.array([[0.1, 0.9], [0.8, 0.3], [0.2, 0.75]]))
    assert (all_noise.estimates["kendall"].value, all_noise.estimates["pearson"].value) == (0, 0)


@pytest.mark.parametrize("accuracies", [np.arange(5.0)[:, None], np.array([[0.1, 0.2], [0.3, 0.4]]), np.full((5, 2), 0.5)])
def test_one_seed_two_architectures_or_equal_means_have_none(accuracies: np.ndarray):
    assert NoiseCeiling.of(accuracies) is None


def test_a_seed_repeats_it_and_its_json_is_plain():
    accuracies = trainings(np.arange(8.0), 1, 2)
    content = NoiseCeiling.of(accuracies).to_json()
    assert content == NoiseCeiling.of(accuracies).to_json()
    assert content["kendall"] != NoiseCeiling.of(accuracies, seed=1).to_json()["kendall"]
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content.keys() == {"seeds", "kendall", "pearson"}
