"""Agreement with known accuracies, against SciPy, hand-computed values and plain loops."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from nas_lightning.agreement import Agreement, kendall_tau, measure
from nas_lightning.agreement.correlations import kendalls, of_values_and_ranks
from nas_lightning.agreement.resampling import Side, bootstrap, resample_counts
from nas_lightning.agreement.top import top_statistics
from nas_lightning.errors import InputError

BY_SCIPY = {
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y).statistic,
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
}


def related(n: int, seed: int = 0, decimals: int = 8, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth; few decimals make ties on both sides."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return np.round(truth + noise * rng.normal(size=n), decimals), np.round(truth, decimals)


def example(resamples: int = 100, **settings) -> Agreement:
    good, truth = related(40, seed=1, noise=0.1)
    weak, _ = related(40, seed=1, noise=3.0)
    scores = {"top-1": good, "parameters": weak, "last width": np.full(40, 64.0)}
    return measure(scores, truth, baselines=["parameters", "last width"], resamples=resamples, **settings)


def values(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    found = measure({"score": scores}, truth, resamples=0).scores["score"].estimates
    return {statistic: found[statistic].value for statistic in BY_SCIPY}


@pytest.mark.parametrize("decimals", [0, 8])
def test_a_statistic_equals_scipy(decimals: int):
    scores, truth = related(30, decimals=decimals)
    expected = {statistic: by_scipy(scores, truth) for statistic, by_scipy in BY_SCIPY.items()}
    assert values(scores, truth) == pytest.approx(expected, abs=1e-14)
    assert kendall_tau(scores, truth) == pytest.approx(expected["kendall"], abs=1e-14)


def test_statistics_equal_hand_computed_values():
    scores, truth = np.array([1, 2, 3, 4]), np.array([10, 30, 20, 40])  # one of six pairs is reversed
    assert values(scores, truth) == pytest.approx({"pearson": 0.8, "kendall": 4 / 6, "spearman": 0.8})
    tied = np.array([1, 1, 2, 3])  # five untied pairs, of which one is reversed
    assert values(tied, truth)["kendall"] == pytest.approx((4 - 1) / np.sqrt(5 * 6))


def test_two_architectures_in_order_agree_fully():
    assert kendall_tau(np.array([1.0, 2.0]), np.array([0.3, 0.4])) == pytest.approx(1)
    assert kendall_tau(np.array([2.0, 1.0]), np.array([0.3, 0.4])) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("scores", "truth", "rule"),
    [
        ([1, 2, 3], [1, 2], "one length"),
        ([[1, 2]], [[1, 2]], "one-dimensional"),
        ([1], [1], "at least 2"),
        ([], [], "at least 2"),
        ([5, 5, 5], [1, 2, 3], "scores are constant"),
        ([1, 2, 3], [5, 5, 5], "truth are constant"),
        ([1, np.nan, 3], [1, 2, 3], "finite"),
        ([1, 2, 3], [1, np.inf, 3], "finite"),
    ],
)
def test_what_has_no_order_is_refused(scores, truth, rule: str):
    with pytest.raises(ValueError, match=rule):
        kendall_tau(np.array(scores), np.array(truth))


@pytest.mark.slow
def test_intervals_cover_a_known_correlation_about_95_percent_of_the_time():
    rho, sets = 0.6, 150
    known = {"pearson": rho, "kendall": 2 / np.pi * np.arcsin(rho), "spearman": 6 / np.pi * np.arcsin(rho / 2)}
    rng = np.random.default_rng(0)
    covered = dict.fromkeys(known, 0)
    for seed in range(sets):
        truth, noise = rng.normal(size=(2, 80))
        found = measure({"score": rho * truth + np.sqrt(1 - rho**2) * noise}, truth, resamples=200, seed=seed).by_name["score"]
        for statistic, value in known.items():
            interval = found.estimates[statistic]
            covered[statistic] += interval.low <= value <= interval.high
    for statistic, times in covered.items():
        assert 0.88 <= times / sets <= 0.99, (statistic, times / sets)


def test_an_estimate_is_on_all_architectures_and_inside_its_percentiles():
    scores, truth = related(50)
    found = measure({"score": scores}, truth, resamples=100).by_name["score"]
    resampled = bootstrap({"score": scores}, truth, 100, 0, lambda x, y: kendalls(x, y) | of_values_and_ranks(x, y))["score"]
    for statistic, by_scipy in BY_SCIPY.items():
        estimate = found.estimates[statistic]
        assert estimate.value == pytest.approx(by_scipy(scores, truth), abs=1e-14)
        assert (estimate.low, estimate.high) == pytest.approx(np.percentile(resampled[statistic], [2.5, 97.5]))
        assert estimate.low < estimate.value < estimate.high


def test_a_constant_score_is_named_and_has_no_estimate():
    found = example().by_name["last width"]
    assert found.constant
    assert found.ties == 1
    assert found.dropped == 100
    assert (found.estimates["pearson"].value, found.estimates["kendall"].low, found.estimates["spearman"].high) == (None, None, None)
    assert (found.estimates["weighted_kendall"].value, found.estimates["kendall_top_third"].value) == (None, None)
    overlap = found.by_k("top_k_overlap")[10]
    assert (overlap.value, overlap.low, overlap.high) == pytest.approx((10 / 40, 10 / 40, 10 / 40))


def test_a_constant_truth_leaves_every_estimate_undefined():
    agreement = measure({"top-1": np.arange(5.0), "macs": np.arange(5.0)}, np.full(5, 0.5), resamples=10, top=[2])
    found = agreement.by_name["top-1"]
    assert not found.constant
    assert found.estimates["kendall"].value is None
    assert agreement.wins("top-1", "macs") is None
    assert "undefined" in agreement.table()


def test_ties_are_the_share_of_tied_pairs():
    found = measure({"top-1": np.array([1, 1, 1, 2, 3])}, np.arange(5), resamples=5).by_name["top-1"]
    assert found.ties == pytest.approx(3 / 10)


def test_an_architecture_with_a_gap_anywhere_is_left_out_of_all_scores():
    scores, truth = related(20)
    other, _ = related(20, seed=5)
    gaps = {"scores": [3], "other": [4, 5], "truth": [5, 6]}
    holed, other_holed, truth_holed = scores.copy(), other.copy(), truth.copy()
    holed[gaps["scores"]], other_holed[gaps["other"]], truth_holed[gaps["truth"]] = np.nan, [-np.inf, np.nan], np.nan
    kept = np.delete(np.arange(20), [3, 4, 5, 6])
    found = measure({"a": holed, "b": other_holed}, truth_holed, resamples=20)
    assert (found.n, found.missing) == (16, 4)
    assert found.by_name == measure({"a": scores[kept], "b": other[kept]}, truth[kept], resamples=20).by_name


def test_too_few_architectures_are_an_input_error_with_both_numbers():
    with pytest.raises(InputError, match=r"found 2 architectures .*\(2 more .*needs at least 3"):
        measure({"top-1": np.array([1, 2, np.nan, 4])}, np.array([1, 2, 3, np.nan]))
    with pytest.raises(InputError, match="found 0 architectures with truth and all scores; agreement needs at least 3"):
        measure({"top-1": np.empty(0)}, np.empty(0))


def test_three_architectures_are_enough():
    found = measure({"top-1": np.array([1, 2, 3])}, np.array([1, 3, 2]), resamples=50).by_name["top-1"]
    assert found.estimates["kendall"].value == pytest.approx(1 / 3)
    assert found.by_k("top_k_overlap") == {}


def test_the_top_is_measured_up_to_half_of_the_list_and_for_the_best():
    scores, truth = related(40)
    found = measure({"top-1": scores}, truth, resamples=20, top=[10, 20, 21]).by_name["top-1"]
    sides = [Side.of(side, np.ones((1, 40))) for side in (scores, truth)]
    for name, ks in (("top_k_overlap", [10, 20]), ("best_rank", [1, 10, 20]), ("regret", [1, 10, 20])):
        assert {k: one.value for k, one in found.by_k(name).items()} == {k: top_statistics(*sides, k)[name][0] for k in ks}
    for one in (*found.by_k("top_k_overlap").values(), *found.by_k("best_rank").values(), *found.by_k("regret").values()):
        assert one.low <= one.high


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"macs .*one length"):
        measure({"macs": np.arange(4)}, np.arange(5))
    with pytest.raises(ValueError, match="baselines"):
        measure({"macs": np.arange(5)}, np.arange(5), baselines=["parameters"])


def test_a_much_better_score_beats_a_weak_one():
    found = example()
    for statistic in BY_SCIPY:
        assert found.wins("top-1", "parameters", statistic) > 0.98
        assert found.wins("parameters", "top-1", statistic) == pytest.approx(1 - found.wins("top-1", "parameters", statistic))
    assert found.wins("top-1", "last width") is None


def test_of_best_rank_and_regret_the_lower_is_the_better():
    truth = related(40)[1]
    found = measure({"truth": truth, "reversed": -truth}, truth, resamples=50)
    assert {"top_k_overlap_10", "best_rank_1", "best_rank_10", "regret_1", "regret_10"} <= set(found.statistics)
    assert {found.wins("truth", "reversed", statistic) for statistic in found.statistics} == {1}
    assert {found.wins("reversed", "truth", statistic) for statistic in found.statistics} == {0}


def test_the_same_ranking_in_another_unit_beats_itself_half_of_the_time():
    scores, truth = related(30)
    found = measure({"fraction": scores, "shifted percent": 100 * scores + 0.7}, truth, resamples=50)
    assert {found.wins("fraction", "shifted percent", statistic) for statistic in found.statistics} == {0.5}


def test_equally_good_scores_beat_each_other_half_of_the_time_on_average():
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(60):
        truth, first, second = rng.normal(size=(3, 30))
        shares.append(measure({"a": truth + first, "b": truth + second}, truth, resamples=50, seed=seed).wins("a", "b"))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.12)


def test_beats_compares_the_scores_on_the_same_resamples():
    scores, truth = related(30)
    other, _ = related(30, seed=7)
    found = measure({"a": scores, "b": other}, truth, resamples=40, seed=2)
    wins = []
    for times in np.concatenate(list(resample_counts(30, 40, 2))):
        first, second, known = (np.repeat(column, times) for column in (scores, other, truth))
        wins.append(np.heaviside(kendall_tau(first, known) - kendall_tau(second, known), 0.5))
    assert found.wins("a", "b") == pytest.approx(np.mean(wins))


def test_json_is_plain_without_nan_and_sorts_scores_from_baselines():
    content = example().to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (content["n"], content["missing"], content["resamples"], content["seed"]) == (40, 0, 100, 0)
    assert list(content["scores"]) == ["top-1"]
    assert list(content["baselines"]) == ["parameters", "last width"]
    assert content["baselines"]["last width"]["kendall"] == {"value": None, "low": None, "high": None}
    assert content["scores"]["top-1"]["top_k_overlap"].keys() == {"10"}  # 50 is more than half of 40
    assert content["beats"]["top-1"]["parameters"]["kendall"] > 0.98
    assert content["beats"]["top-1"]["last width"]["kendall"] is None
    assert content["beats"]["top-1"]["last width"]["regret_10"] > 0.5
    estimate = {"value", "low", "high"}
    for statistic in ("pearson", "kendall", "spearman", "weighted_kendall", "kendall_top_third"):
        assert content["scores"]["top-1"][statistic].keys() == estimate
    for statistic, depths in (("top_k_overlap", {"10"}), ("best_rank", {"1", "10"}), ("regret", {"1", "10"})):
        assert {k: one.keys() for k, one in content["scores"]["top-1"][statistic].items()} == dict.fromkeys(depths, estimate)
    assert (content["fitted"], content["ceiling"]) == ({}, None)


def test_a_seed_repeats_the_result_and_another_does_not():
    assert example(seed=4).to_json() == example(seed=4).to_json()
    assert example(seed=4).by_name["top-1"].estimates["kendall"] != example(seed=5).by_name["top-1"].estimates["kendall"]


def test_the_tables_show_estimates_and_put_baselines_below_a_line():
    agreement = example()
    *lines, last = agreement.table().split("\n")
    assert re.split("  +", lines[0]) == ["score", "Kendall, 95 % interval", "top-10 overlap"]
    good = agreement.by_name["top-1"].estimates
    assert lines[1] == lines[3]
    assert re.split("  +", lines[2]) == ["top-1", good["kendall"].text(), f"{good['top_k_overlap_10'].value:.2f}"]
    assert lines[5].split()[:3] == ["last", "width", "constant"]
    assert last == "40 architectures; 95 % intervals from 100 resamples, seed 0"


def test_few_architectures_have_no_share_of_the_ten_best():
    table = measure({"top-1": np.array([1.0, 2, 3, 5, 4])}, np.arange(5.0), resamples=20).table()
    assert "best of" not in table


def test_the_table_fits_eighty_columns():
    scores, truth = related(40, noise=0.2)
    table = measure({"negative cross entropy": scores, "a name that is longer than any column": scores}, truth, resamples=20).table()
    assert max(map(len, table.splitlines())) <= 80
    assert "…" in table


def test_no_resamples_leave_the_intervals_out():
    found = example(resamples=0)
    estimate = found.by_name["top-1"].estimates["kendall"]
    assert estimate.value is not None
    assert (estimate.low, estimate.high) == (None, None)
    assert found.wins("top-1", "parameters") is None
    assert "[" not in found.table()
    json.dumps(found.to_json(), allow_nan=False)
