"""Two rankings beside known accuracies, and what is said of a score that beats a baseline or does not."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nas_lightning.agreement import measure
from nas_lightning.agreement.compare import compare_scores, compare_with_known, other_protocol
from nas_lightning.agreement.measure import agreement_with
from nas_lightning.agreement.resampling import resample_counts
from nas_lightning.agreement.summary import against_baselines, baselines_by_outcome
from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.table import NOT_SCORED, Score, ScoreTable
from nas_lightning.space import Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8, trailing_entries=1)
RNG = np.random.default_rng(0)
POPULATION = Population.draw(SPACE, 40, 0)
TRUTH = RNG.uniform(0.3, 0.7, 40).round(3)


def table(noise: float, seed: int) -> ScoreTable:
    rng = np.random.default_rng(seed)
    values = TRUTH + noise * rng.normal(size=40)
    scores = [Score(float(round(value, 2)), 0.9, float(2 - value)) for value in values]
    return ScoreTable.of(POPULATION, scores, ResidualStructure(SPACE, 5, 1))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A good ranking's scores, a poor one's, and known accuracies of the first thirty."""
    for name, noise in (("good", 0.02), ("poor", 0.2)):
        (tmp_path / name).mkdir()
        table(noise, seed=1).write(tmp_path / name / "scores.csv")
    Population(SPACE, POPULATION.candidates[:30]).write(tmp_path / "known.json", TRUTH[:30].tolist())
    return tmp_path / "good/scores.csv", tmp_path / "poor/scores.csv", tmp_path / "known.json"


def test_a_share_of_wins_is_that_over_resamples_written_out(files: tuple[Path, Path, Path]):
    found = compare_with_known(*files, SPACE, 40)
    assert found.agreement.n == 30
    content = found.to_json()
    for score, quality in (("top-1", "top1"), ("negative cross entropy", "cross_entropy")):
        good, poor = (table(noise, seed=1).quality(quality)[:30] for noise in (0.02, 0.2))
        wins = []
        for times in np.concatenate(list(resample_counts(30, 40, 0))):
            one, other, known = (np.repeat(values, times) for values in (good, poor, TRUTH[:30]))
            wins.append(np.heaviside(stats.kendalltau(one, known).statistic - stats.kendalltau(other, known).statistic, 0.5))
        assert content["better"][score]["kendall"] == pytest.approx({"first": np.mean(wins), "second": 1 - np.mean(wins)})
        assert content["better"][score]["regret_10"]["first"] >= 0.5
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert list(content["scores"]) == [f"{side} {score}" for side in ("first", "second") for score in ("top-1", "negative cross entropy")]
    wins = 100 * content["better"]["top-1"]["kendall"]["second"]
    (row,) = [line for line in found.table().splitlines() if re.match("top-1 +second ", line)]
    assert row.endswith(f" {wins:.1f} %")
    assert max(map(len, found.table().splitlines())) <= 80


def test_swapping_two_tables_swaps_their_shares(files: tuple[Path, Path, Path]):
    good, poor, known = files
    one, other = (compare_with_known(*tables, known, SPACE, 30).to_json()["better"] for tables in ((good, poor), (poor, good)))
    for score, statistics in one.items():
        for name, better in statistics.items():
            assert other[score][name] == {"first": better["second"], "second": better["first"]}


def test_predicted_scores_are_compared_where_both_rankings_have_them(files: tuple[Path, Path, Path]):
    good, poor, _ = files
    assert "predicted" not in compare_scores(poor, good, SPACE, 20).by_name
    replace(table(0.02, seed=1), predicted=1 - TRUTH).write(good)
    assert "predicted" not in compare_scores(poor, good, SPACE, 20).by_name
    assert "predicted" not in compare_with_known(*files, SPACE, 20).to_json()["better"]
    replace(table(0.2, seed=1), predicted=TRUTH).write(poor)
    assert compare_scores(poor, good, SPACE, 20).by_name["predicted"].estimates["kendall"].value == pytest.approx(-1)
    found = compare_with_known(*files, SPACE, 20)
    assert found.to_json()["better"]["predicted"]["kendall"] == {"first": 1.0, "second": 0.0}
    assert found.verdict() == "By predicted the first is better: the first wins 100.0 % of the resamples."


def test_five_known_accuracies_show_no_winner(files: tuple[Path, Path, Path]):
    good, poor, known = files
    best, worst = (sorted(range(30), key=lambda row: sign * TRUTH[row])[:3] for sign in (-1, 1))
    for count, says in ((5, "none is shown to be better: 5 known accuracies tell nothing of an order."), (6, "the first is better")):
        rows = [*best, *worst][:count]
        Population(SPACE, tuple(POPULATION.candidates[row] for row in rows)).write(known, TRUTH[rows].tolist())
        replace(table(0.02, seed=1), predicted=1 - TRUTH).write(good)
        replace(table(0.2, seed=1), predicted=TRUTH).write(poor)
        assert says in compare_with_known(good, poor, known, SPACE, 20).verdict()


def test_rankings_without_a_common_score_are_refused(files: tuple[Path, Path, Path]):
    good, poor, known = files
    only = table(0.02, seed=1)
    replace(only, predicted=1 - TRUTH, scores=(NOT_SCORED,) * len(TRUTH)).write(good)
    says = r"share no score: the first has predicted of all candidates, the second top-1, negative cross entropy"
    with pytest.raises(InputError, match=says):
        compare_scores(good, poor, SPACE, 20)
    with pytest.raises(InputError, match=says):
        compare_with_known(good, poor, known, SPACE, 20)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"predictor": "monotone"}, {"predictor": "monotone_with_capacity"}, "predictor is 'monotone' and 'monotone_with_capacity'"),
        ({"predictor": "monotone"}, {"ordered_by": "smoothed"}, "predictor is 'monotone' and 'smoothed'"),
        ({"predictor": "monotone"}, {"predictor": "monotone", "ordered_by": "top1"}, None),
        ({"ordered_by": "smoothed"}, {"ordered_by": "top1"}, None),
        ({"predictor": "monotone"}, {"predictor": None, "ordered_by": "top1"}, None),
    ],
)
def test_scores_of_different_predictors_are_not_compared_without_a_word(
    first: dict[str, str], second: dict[str, str], says: str | None, files: tuple[Path, Path, Path]
):
    for path, more in zip(files, (first, second), strict=False):
        write_json(path.parent / "protocol.json", {"images": 30, **more})
    assert other_protocol(*files[:2]) == says


def test_too_few_known_accuracies_are_an_input_error_with_their_file(files: tuple[Path, Path, Path]):
    good, poor, known = files
    Population(SPACE, POPULATION.candidates[:2]).write(known, TRUTH[:2].tolist())
    with pytest.raises(InputError, match=r"known\.json: has accuracies of 2 of the candidates in both tables; at least 3"):
        compare_with_known(good, poor, known, SPACE, 30)


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({"images": 5, "checkpoint_sha256": "a"}, {"images": 5, "checkpoint_sha256": "b"}, None),
        ({"images": 5, "norm": "batch"}, {"images": 6, "norm": "batch"}, "images is 5 and 6"),
        ({"images": 5}, {"images": 6, "dtype": "64-true"}, "images is 5 and 6, dtype is None and '64-true'"),
        ({"images": 5}, {"images": 5, "statistics": "batch"}, None),  # the default
        ({"images": 5}, None, None),
    ],
)
def test_protocols_differ_by_any_key_but_the_checkpoint(one, other, says, files: tuple[Path, Path, Path]):
    for path, content in zip(files, (one, other), strict=False):
        if content is not None:
            (path.parent / "protocol.json").write_text(json.dumps(content))
    assert other_protocol(*files[:2]) == says


@pytest.mark.parametrize(
    ("content", "says"), [("{", r"is not JSON"), ("[1]", r"must be a JSON object, not a list"), ("\xff", r"is not UTF-8 text \(byte 0\)")]
)
def test_a_protocol_that_is_none_is_an_input_error(content: str, says: str, files: tuple[Path, Path, Path]):
    (files[0].parent / "protocol.json").write_text("{}")
    (files[1].parent / "protocol.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=rf"poor/protocol\.json: {says}"):
        other_protocol(*files[:2])


def test_the_verdict_sorts_baselines_by_the_share_of_resamples():
    truth = np.arange(40.0)
    rng = np.random.default_rng(0)
    scores = {"score": truth + 8 * rng.normal(size=40), "poor": rng.normal(size=40), "much alike": truth + 8 * rng.normal(size=40)}
    scores |= {"perfect": truth, "constant": np.zeros(40)}
    agreement = measure(scores, truth, baselines=["poor", "much alike", "perfect", "constant"], resamples=60)
    alike = agreement.wins("score", "much alike")
    assert 0.05 < alike < 0.95
    assert baselines_by_outcome(agreement, "score") == {
        "beats": ["poor"],
        "may or may not beat": ["much alike"],
        "is beaten by": ["perfect"],
    }
    assert (
        against_baselines(agreement, "score") == "score is beaten by the best baseline, perfect, in Kendall: it wins 0.0 % of the resamples"
    )
    without = measure({name: scores[name] for name in ("score", "poor")}, truth, baselines=["poor"], resamples=60)
    assert against_baselines(without, "score") == "score beats the best baseline, poor, in Kendall: it wins 100.0 % of the resamples"


def test_a_score_without_order_is_compared_with_no_baseline():
    agreement = measure({"score": np.zeros(9), "parameters": np.arange(9)}, np.arange(9), baselines=["parameters"], resamples=9)
    assert against_baselines(agreement, "score") == "score cannot be compared with a baseline: one side has no order"


def test_accuracies_of_several_seeds_have_a_ceiling():
    known = dict(zip(POPULATION.architectures, TRUTH.tolist(), strict=True))
    assert agreement_with(table(0.02, 1), known, 50).noise_ceiling is None
    by_seed = TRUTH[:, None] + 0.03 * np.array([1, -1]) * RNG.normal(size=(40, 1))
    agreement = agreement_with(table(0.02, 1), known, 50, by_seed=by_seed)
    assert agreement.noise_ceiling.seeds == 2
    assert agreement.to_json()["ceiling"]["kendall"]["value"] == agreement.noise_ceiling.estimates["kendall"].value


def test_enough_known_accuracies_are_also_fitted():
    population = Population.draw(SPACE, 90, 0)
    scores = [Score(0.5, 0.9, float(value)) for value in RNG.random(90)]
    ranked = ScoreTable.of(population, scores, ResidualStructure(SPACE, 5, 1))
    accuracies = 0.4 + np.log(population.widths) @ np.geomspace(0.01, 0.1, SPACE.layers)
    agreement = agreement_with(ranked, dict(zip(population.architectures, accuracies.tolist(), strict=True)), 20)
    assert agreement.to_json()["fitted"].keys() == {"50"}
    assert agreement.fitted[50].estimates["kendall"].value == pytest.approx(1)
    accuracies[::10] = np.nan
    unknown = agreement_with(ranked, dict(zip(population.architectures, accuracies.tolist(), strict=True)), 20)
    assert (unknown.n, unknown.missing) == (81, 9)
    assert unknown.fitted[50].estimates["kendall"].value == pytest.approx(1)


def write_list(path: Path, values: np.ndarray) -> Path:
    Population(SPACE, POPULATION.candidates[::-1]).write(path, values[::-1].tolist())
    return path


@pytest.mark.parametrize("percent", [False, True])
def test_a_list_of_accuracies_is_compared_with_another(percent: bool, files: tuple[Path, Path, Path], tmp_path: Path):
    other = np.random.default_rng(3).uniform(0.2, 0.6, 40).round(4)
    first, second = write_list(tmp_path / "a.json", TRUTH), write_list(tmp_path / "b.JSON", 100 * other if percent else other)
    found = compare_scores(first, second, SPACE, 20)
    assert list(found.scores) == ["acc"]
    assert found.scores["acc"].estimates["kendall"].value == pytest.approx(stats.kendalltau(TRUTH, other).statistic)
    known = compare_with_known(first, second, files[2], SPACE, 20).to_json()
    assert known["better"]["acc"]["kendall"] == {"first": 1.0, "second": 0.0}
    assert known["scores"]["second acc"]["kendall"]["value"] == pytest.approx(stats.kendalltau(other[:30], TRUTH[:30]).statistic)


@pytest.mark.parametrize(("score", "key"), [(None, "cross_entropy"), ("top1", "top1")])
def test_a_list_is_compared_with_the_score_that_orders_a_table(score: str | None, key: str, files: tuple[Path, Path, Path], tmp_path: Path):
    listed = write_list(tmp_path / "a.json", -np.random.default_rng(3).uniform(0.2, 6, 40))  # losses, as a submission of ours has
    if score is not None:
        write_json(files[1].with_name("protocol.json"), {"ordered_by": score})
    found = compare_scores(files[1], listed, SPACE, 20)
    values = [row["acc"] for row in list(json.loads(listed.read_text()).values())[::-1]]
    assert found.scores["acc"].estimates["kendall"].value == pytest.approx(
        stats.kendalltau(table(0.2, seed=1).quality(key), values).statistic
    )


def test_an_acc_of_0_is_unknown_and_mixed_lists_are_refused(files: tuple[Path, Path, Path], tmp_path: Path):
    zeros = write_list(tmp_path / "a.json", np.where(np.arange(40) < 10, 0, TRUTH))
    assert compare_scores(files[0], zeros, SPACE, 20).n == 30
    mixed = write_list(tmp_path / "b.json", np.where(np.arange(40) < 10, 100 * TRUTH, TRUTH))
    with pytest.raises(InputError, match=r"b\.json: mixes fractions and percents: arch40 has 0\.\d+, but arch10 has "):
        compare_scores(files[0], mixed, SPACE, 20)
