"""What a ranking's k best are worth, against all ways to break ties and against resamples written out."""

from functools import partial
from itertools import combinations, product

import numpy as np
import pytest

from nas_lightning.agreement import measure
from nas_lightning.agreement.resampling import Side, bootstrap, resample_counts
from nas_lightning.agreement.top import top_statistics
from nas_lightning.rng import generator


def tops(values: np.ndarray, k: int) -> list[set[int]]:
    """The k best, in every way to choose among those tied at the k-th place."""
    kth = np.sort(values)[-k]
    sure, tied = np.flatnonzero(values > kth), np.flatnonzero(values == kth)
    return [{*sure.tolist(), *chosen} for chosen in combinations(tied.tolist(), k - len(sure))]


def by_enumeration(scores: np.ndarray, truth: np.ndarray, k: int) -> dict[str, float]:
    chosen = tops(scores, k)
    best = [max(truth[row] for row in top) for top in chosen]
    return {
        "top_k_overlap": np.mean([len(one & other) / k for one, other in product(chosen, tops(truth, k))]),
        "best_rank": np.mean([1 + (truth > value).sum() for value in best]),
        "regret": np.mean([truth.max() - value for value in best]),
    }


def on_all(statistic: str, scores: np.ndarray, truth: np.ndarray, k: int) -> float:
    """A statistic of all architectures, each once."""
    once = np.ones((1, len(scores)))
    return top_statistics(*(Side.of(np.asarray(side, dtype=float), once) for side in (scores, truth)), k)[statistic][0]


STATISTICS = {name: partial(on_all, name) for name in ("top_k_overlap", "best_rank", "regret")}
top_k_overlap, best_rank, regret = STATISTICS.values()


@pytest.mark.parametrize("k", range(1, 9))
@pytest.mark.parametrize("levels", [1, 2, 3, 50])
def test_ties_count_as_the_mean_over_all_ways_to_break_them(levels: int, k: int):
    rng = np.random.default_rng(levels)
    for _ in range(5):
        scores, truth = rng.integers(levels, size=8), rng.integers(2 * levels, size=8) / 10
        expected = by_enumeration(scores, truth, k)
        for name, statistic in STATISTICS.items():
            assert statistic(scores, truth, k) == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("decimals", [0, 8])
@pytest.mark.parametrize("k", [1, 3, 9])
def test_each_resample_equals_the_enumeration_on_it_written_out(k: int, decimals: int):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=9)
    scores, truth = np.round(truth + rng.normal(size=9), decimals), np.round(truth, decimals)
    resampled = bootstrap({"score": scores}, truth, 30, 5, lambda x, y: top_statistics(x, y, k))["score"]
    for row, times in enumerate(np.concatenate(list(resample_counts(9, 30, 5))).astype(int)):
        expected = by_enumeration(np.repeat(scores, times), np.repeat(truth, times), k)
        for name in STATISTICS:
            assert resampled[name][row] == pytest.approx(expected[name], abs=1e-12), name


def test_best_rank_and_regret_are_those_of_the_truly_best_of_the_top():
    truth = np.array([0.50, 0.70, 0.60, 0.65, 0.40])
    scores = np.array([5, 1, 4, 2, 3])  # its best: 0.50 (4th), 0.60 (3rd), 0.40 (5th), 0.65 (2nd), 0.70 (1st)
    assert [best_rank(scores, truth, k) for k in range(1, 6)] == [4, 3, 3, 2, 1]
    assert [regret(scores, truth, k) for k in range(1, 6)] == pytest.approx([0.20, 0.10, 0.10, 0.05, 0])


def test_a_constant_score_finds_what_a_draw_at_random_finds():
    n, k, truth = 30, 4, np.arange(30) / 30
    expected = (n + 1) / (k + 1)  # of the least of k ranks drawn of 1..n
    assert best_rank(np.zeros(n), truth, k) == pytest.approx(expected)
    assert regret(np.zeros(n), truth, k) == pytest.approx((expected - 1) / n)


def test_ties_of_50_000_keep_nine_digits():
    n, k = 50_000, 10
    assert best_rank(np.zeros(n), np.arange(n), k) == pytest.approx((n + 1) / (k + 1), rel=1e-9)


def test_the_truth_itself_has_rank_1_and_no_regret():
    truth = np.random.default_rng(0).random(60)
    found = measure({"truth": truth}, truth, resamples=50).by_name["truth"]
    for k in (1, 10):
        assert (found.by_k("best_rank")[k].value, found.by_k("best_rank")[k].high) == (1, 1)
        assert (found.by_k("regret")[k].value, found.by_k("regret")[k].high) == (0, 0)


@pytest.mark.parametrize("statistic", STATISTICS.values())
def test_no_order_of_the_list_flatters(statistic):
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(4, size=25), rng.random(25).round(1)
    expected = statistic(scores, truth, 5)
    for _ in range(5):
        order = rng.permutation(25)
        assert statistic(scores[order], truth[order], 5) == pytest.approx(expected)


def test_top_k_overlap_counts_the_shared_best():
    truth = np.arange(10)
    scores = np.array([0, 1, 2, 3, 4, 5, 9, 8, 6, 7])  # its best three are 6, 7 and 9
    assert top_k_overlap(scores, truth, 3) == pytest.approx(2 / 3)
    assert top_k_overlap(truth, truth, 3) == 1
    assert top_k_overlap(-truth, truth, 3) == 0
    assert top_k_overlap(-truth, truth, 10) == 1


def test_overlap_ignores_the_lists_order_and_a_constant_score_gets_chance():
    truth = np.arange(20.0)[::-1]
    assert top_k_overlap(np.zeros(20), truth, 5) == pytest.approx(5 / 20)
    assert top_k_overlap(np.zeros(20), truth[::-1], 5) == pytest.approx(5 / 20)


def test_no_accuracy_can_be_lost_below_nothing():
    """Rounding in the chances of ties once gave -1e-17, which the table showed as -0.000."""
    rng = generator(5, "test")
    truth = rng.random(24)
    for scores in (truth, truth.round(1), rng.random(24).round(1)):
        for k in (1, 10):
            regrets = bootstrap({"score": scores}, truth, 200, 0, lambda x, y, k=k: top_statistics(x, y, k))["score"]["regret"]
            assert regrets.min() >= 0
            assert not np.signbit(regrets).any()
