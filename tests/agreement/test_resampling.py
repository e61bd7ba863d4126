"""The correlations on resamples that are held as counts, against SciPy and plain loops on the resamples written out."""

import math
from importlib import import_module

import numpy as np
import pytest
from scipy import stats

from nas_lightning.agreement import measure, resampling
from nas_lightning.agreement.correlations import kendalls, kendalls_of_all, of_values_and_ranks
from nas_lightning.agreement.resampling import Side, bootstrap, resample_counts
from nas_lightning.agreement.top import top_statistics


def related(n: int, seed: int = 0, decimals: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth; few decimals make ties on both sides."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    return np.round(truth + rng.normal(size=n), decimals), np.round(truth, decimals)


def correlations(scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """On each resample, as counts."""
    return bootstrap({"score": scores}, truth, resamples, seed, lambda x, y: of_values_and_ranks(x, y) | kendalls(x, y))["score"]


def written_out(scores: np.ndarray, truth: np.ndarray, resamples: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    counts = np.concatenate(list(resample_counts(len(truth), resamples, seed))).astype(int)
    return [(np.repeat(scores, times), np.repeat(truth, times)) for times in counts]


def weighted_kendall_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    weights = 1 / stats.rankdata(-y, method="ordinal")
    shared = {value: weights[y == value].mean() for value in y.tolist()}
    return stats.weightedtau(x, y, rank=np.arange(len(y)), weigher=lambda place: shared[y[place]]).statistic


def weighted_kendall_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    places = stats.rankdata(-y, method="ordinal")
    weights = [np.mean(1 / places[y == value]) for value in y]
    pairs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j]), weights[i] + weights[j]) for i in range(len(x)) for j in range(i)]
    agreed = sum(one * other * weight for one, other, weight in pairs)
    return agreed / math.sqrt(math.prod(sum(weight for *signs, weight in pairs if signs[side] != 0) for side in (0, 1)))


def kendall_top_third_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    third = y >= np.sort(y)[-math.ceil(len(y) / 3)]
    return stats.kendalltau(x[third], y[third]).statistic


INDEPENDENT = {
    "pearson": lambda x, y: stats.pearsonr(x, y).statistic,
    "kendall": lambda x, y: stats.kendalltau(x, y).statistic,
    "spearman": lambda x, y: stats.spearmanr(x, y).statistic,
    "weighted_kendall": weighted_kendall_by_hand,
    "kendall_top_third": kendall_top_third_by_scipy,
}


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("rows", [7, 256])
@pytest.mark.parametrize("n", [12, 21])
def test_resamples_equal_scipy_and_plain_loops_on_them_written_out(monkeypatch, n: int, decimals: int, rows: int):
    monkeypatch.setattr(resampling, "CHUNK_ROWS", rows)
    scores, truth = related(n, decimals=decimals)
    found = correlations(scores, truth, 30, 3)
    assert found.keys() == INDEPENDENT.keys()
    for row, (x, y) in enumerate(written_out(scores, truth, 30, 3)):
        for statistic, independent in INDEPENDENT.items():
            assert found[statistic][row] == pytest.approx(independent(x, y), abs=1e-12, nan_ok=True), statistic


@pytest.mark.parametrize(("n", "decimals"), [(250, 1), (250, 8), (3_000, 2), (3_000, 8)])
def test_forms_of_many_architectures_are_exact(n: int, decimals: int):
    scores, truth = related(n, decimals=decimals)
    found = correlations(scores, truth, 2, 0)
    for row, (x, y) in enumerate(written_out(scores, truth, 2, 0)):
        assert found["kendall"][row] == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
        assert found["weighted_kendall"][row] == pytest.approx(weighted_kendall_by_scipy(x, y), abs=1e-12)
        assert found["kendall_top_third"][row] == pytest.approx(kendall_top_third_by_scipy(x, y), abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_on_all_architectures_scipy_and_the_forms_agree(decimals: int):
    scores, truth = related(60, decimals=decimals)
    by_forms = kendalls(*(Side.of(values, np.ones((1, 60))) for values in (scores, truth)))
    assert kendalls_of_all(scores, truth) == pytest.approx({name: value[0] for name, value in by_forms.items()}, abs=1e-12)


def test_of_many_architectures_kendall_is_resampled_on_some(monkeypatch):
    scores, truth = related(600)
    columns = {"score": scores, "truth": truth, "constant": np.zeros(600)}
    on_all = measure(columns, truth, resamples=300)
    assert on_all.kendall_subset is None
    assert "kendall_subset" not in on_all.to_json()
    monkeypatch.setattr(import_module("nas_lightning.agreement.measure"), "MOST_PAIRED", 200)
    on_some = measure(columns, truth, resamples=300)
    assert on_some.to_json()["kendall_subset"] == 200
    assert on_some.table().endswith("300 resamples, seed 0; Kendall's from 200 of the architectures at random")
    for name, expected in on_all.scores["score"].estimates.items():
        estimate = on_some.scores["score"].estimates[name]
        assert estimate.value == pytest.approx(expected.value, abs=1e-12)
        if name == "weighted_kendall":  # its spread does not shrink with the square root of the size
            assert (estimate.low, estimate.high) == (None, None)
        elif "kendall" in name:
            assert estimate.high - estimate.low == pytest.approx(expected.high - expected.low, rel=0.35)
            assert estimate.low < estimate.value < estimate.high
        else:
            assert estimate == expected
    assert on_some.scores["truth"].estimates["kendall"].low == pytest.approx(1)
    assert on_some.scores["constant"] == on_all.scores["constant"]
    assert on_some.wins("truth", "score", "weighted_kendall") is None
    assert on_some.wins("truth", "score") == 1
    assert on_some.wins("score", "constant") is None


def test_without_ties_weighted_kendall_is_scipys():
    scores, truth = related(500)
    expected = stats.weightedtau(scores, truth, rank=stats.rankdata(-truth).astype(int) - 1).statistic
    assert measure({"score": scores}, truth, resamples=0).by_name["score"].estimates["weighted_kendall"].value == pytest.approx(
        expected, abs=1e-12
    )


def test_a_mistake_among_the_best_weighs_more_than_one_among_the_worst():
    truth = np.arange(20.0)
    worst_swapped, best_swapped = truth.copy(), truth.copy()
    worst_swapped[[0, 1]], best_swapped[[18, 19]] = [1, 0], [19, 18]
    found = measure({"worst": worst_swapped, "best": best_swapped}, truth, resamples=0).by_name
    assert found["worst"].estimates["kendall"] == found["best"].estimates["kendall"]
    assert found["worst"].estimates["weighted_kendall"].value > found["best"].estimates["weighted_kendall"].value
    assert found["worst"].estimates["kendall_top_third"].value == pytest.approx(1)
    assert found["best"].estimates["kendall_top_third"].value == pytest.approx(1 - 2 / 21)  # seven architectures, 21 pairs, one reversed


def test_a_resample_draws_n_whatever_the_chunks(monkeypatch):
    whole = np.concatenate(list(resample_counts(10, 25, seed=0)))
    assert whole.shape == (25, 10)
    assert (whole.sum(axis=1) == 10).all()
    monkeypatch.setattr(resampling, "CHUNK_ELEMENTS", 40)
    chunks = list(resample_counts(10, 25, seed=0))
    assert [len(chunk) for chunk in chunks] == [4, 4, 4, 4, 4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    assert not np.array_equal(np.concatenate(list(resample_counts(10, 25, seed=1))), whole)


def test_resamples_with_a_constant_side_are_dropped_and_counted():
    scores, truth = np.array([1.0, 1.0, 2.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])
    counts = np.concatenate(list(resample_counts(4, 200, seed=0)))
    constant = (counts[:, 2] == 0) | (counts.max(axis=1) == 4)
    found = measure({"top-1": scores}, truth, resamples=200).by_name["top-1"]
    assert 0 < constant.sum() < 200
    assert found.dropped == constant.sum()
    resampled = correlations(scores, truth, 200, 0)
    for statistic in ("pearson", "kendall", "spearman", "weighted_kendall"):
        np.testing.assert_array_equal(np.isnan(resampled[statistic]), constant)
    assert np.isnan(resampled["kendall_top_third"])[constant].all()  # and where the third alone is constant
    of_the_top = bootstrap({"top-1": scores}, truth, 200, 0, lambda x, y: top_statistics(x, y, 1))["top-1"]
    assert not np.isnan(of_the_top["regret"]).any()


def test_a_large_offset_costs_no_digits():
    scores, truth = related(30)
    scores = np.round(scores * 64) / 64  # so that the sum below is exact
    plain, shifted = (correlations(values, truth, 20, 0) for values in (scores, scores + 2.0**40))
    np.testing.assert_allclose(shifted["pearson"], plain["pearson"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(shifted["spearman"], plain["spearman"])
