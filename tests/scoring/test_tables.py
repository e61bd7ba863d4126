"""The score table as files, what it is chosen by, and the protocol beside it."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from nas_lightning.agreement.compare import compare_scores
from nas_lightning.agreement.measure import agreement_with
from nas_lightning.data.image_dataset import LabelledImages, fingerprint
from nas_lightning.errors import InputError
from nas_lightning.scoring.protocol import claim, make_protocol
from nas_lightning.scoring.table import NOT_SCORED, Score, ScoreTable, read_scores, read_table
from nas_lightning.search.budgets import best_under_budgets
from nas_lightning.space import AnyWidths, Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8, trailing_entries=1)


def make_table(count: int = 40, seed: int = 0) -> ScoreTable:
    rng = np.random.default_rng(seed)
    scores = [Score(float(rng.integers(1, 6)) / 7, 0.9, float(rng.random()) + 1) for _ in range(count)]  # many ties in top-1
    return ScoreTable.of(Population.draw(SPACE, count, seed), scores, ResidualStructure(SPACE, 5, 1))


def test_the_file_has_the_contracts_columns_and_the_lists_order(tmp_path: Path):
    table = make_table()
    table.write(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "architecture", "top1", "top5", "cross_entropy", "macs", "parameters"]
    for row, candidate, one in zip(rows[1:], table.population, table.scores, strict=True):
        (parameters,), (macs,) = ResidualStructure(SPACE, 5, 1).cost([candidate.architecture.widths])
        assert row == [candidate.name, candidate.text, repr(one.top1), repr(one.top5), repr(one.cross_entropy), str(macs), str(parameters)]


def test_scores_that_are_written_are_read_again_bit_by_bit(tmp_path: Path):
    table = make_table()
    table.write(tmp_path / "scores.csv")
    expected = dict(zip(table.population.architectures, table.scores, strict=True))
    assert read_scores(tmp_path / "scores.csv", SPACE) == expected


@pytest.mark.parametrize("kind", ["scored", "predicted", "some only predicted"])
def test_a_table_is_read_as_it_was_written(kind: str, tmp_path: Path):
    table = make_table()
    if kind != "scored":
        rows = {architecture: row for row, architecture in enumerate(table.population.architectures)}  # copies have one score
        predicted = np.random.default_rng(0).random(len(table.scores))[[rows[one] for one in table.population.architectures]]
        table = replace(table, predicted=predicted)
    if kind == "some only predicted":
        table = replace(table, scores=(table.scores[0], *[NOT_SCORED] * (len(table.scores) - 1)))
        assert list(table.qualities()) == ["predicted"]
    table.write(tmp_path / "scores.csv")
    found = read_table(tmp_path / "scores.csv", SPACE)
    assert [(one.name, one.text) for one in found.population] == [(one.name, one.text) for one in table.population]
    assert found.scores == table.scores
    np.testing.assert_array_equal(found.multiply_adds, table.multiply_adds)
    np.testing.assert_array_equal(found.parameters, table.parameters)
    np.testing.assert_equal(found.predicted, table.predicted)
    if kind == "some only predicted":
        assert read_scores(tmp_path / "scores.csv", SPACE) == {table.population[0].architecture: table.scores[0]}


def test_an_older_tables_smoothed_scores_are_read_as_predicted(tmp_path: Path):
    table = replace(make_table(), predicted=np.array([score.top1 for score in make_table().scores]))
    (tmp_path / "scores.csv").write_text(table.as_csv().replace(",predicted\n", ",smoothed\n", 1))
    np.testing.assert_equal(read_table(tmp_path / "scores.csv", SPACE).predicted, table.predicted)


NAMES = ("=1+1", "+49", "-5", "@SUM(A1)", "'=quoted", "'quoted", 'a, "b"', "plain")


def test_names_that_are_formulas_are_written_as_texts_and_read_back(tmp_path: Path):
    table = make_table(len(NAMES))
    renamed = tuple(replace(one, name=name) for one, name in zip(table.population, NAMES, strict=True))
    replace(table, population=Population(SPACE, renamed)).write(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert not [row[0] for row in csv.reader(file) if row[0].startswith(("=", "+", "-", "@"))]
    assert tuple(one.name for one in read_table(tmp_path / "scores.csv", SPACE).population) == NAMES


def test_a_table_is_read_without_its_space(tmp_path: Path):
    table = make_table(5)
    table.write(tmp_path / "scores.csv")
    read, whole = (read_table(tmp_path / "scores.csv", AnyWidths(layers)) for layers in (SPACE.layers, None))
    assert read.population.candidates == table.population.candidates
    assert read.scores == table.scores
    assert read.multiply_adds.tolist() == table.multiply_adds.tolist()
    assert whole.population.widths.shape == (5, SPACE.layers + 1)  # the entry that no layer reads is taken for one
    with pytest.raises(InputError, match=r"line 2: .* has 6 entries; the space has 7 layers"):
        read_table(tmp_path / "scores.csv", AnyWidths(7))


@pytest.mark.parametrize(("code", "says"), [("8-x-4-12-6", "is not a code of integers"), ("8-2-4", "has 3 entries, the first row 6")])
def test_a_code_that_cannot_be_of_the_table_is_named_with_its_line(code: str, says: str, tmp_path: Path):
    make_table(2).write(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open("a") as file:
        file.write(f"a,{code},0.5,0.9,1.5,100,70\n")
    with pytest.raises(InputError, match=f"line 4: .*{code}.*{says}"):
        read_table(tmp_path / "scores.csv", AnyWidths())


def test_a_table_with_a_byte_order_mark_is_read_as_without(tmp_path: Path):
    make_table(5).write(tmp_path / "scores.csv")
    expected = read_scores(tmp_path / "scores.csv", SPACE)
    (tmp_path / "scores.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "scores.csv").read_bytes())
    assert read_scores(tmp_path / "scores.csv", SPACE) == expected


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) - 30], "line 4"),
        (lambda text: text.replace("top5", "top_5"), "has no column top5"),
        (lambda text: text.splitlines()[0], "holds no scores"),
        (lambda text: text.replace("0.9,", "nan,", 1), "line 2: a score is not a finite number"),
        (lambda text: text.replace("0.9,", "much,", 1), "line 2: is not a row"),
        (lambda _: "", "has no column architecture, top1, top5, cross_entropy"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(damage, says: str, tmp_path: Path):
    path = tmp_path / "scores.csv"
    make_table(3).write(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=f"scores.csv: {says}"):
        read_scores(path, SPACE)


@pytest.mark.parametrize(("key", "expected"), [("top1", lambda one: one.top1), ("cross_entropy", lambda one: -one.cross_entropy)])
def test_the_submission_is_the_list_again_with_its_scores(key: str, expected, tmp_path: Path):
    given = {f"net {number}": {"acc": 0, "arch": one.text} for number, one in enumerate(Population.draw(SPACE, 9, 1))}
    given = dict(reversed(given.items()))
    (tmp_path / "list.json").write_text(json.dumps(given))
    population = Population.read(tmp_path / "list.json", SPACE)
    table = ScoreTable.of(population, make_table(9).scores, ResidualStructure(SPACE, 5, 1))
    table.write_submission(tmp_path / "submission.json", key)
    written = json.loads((tmp_path / "submission.json").read_text())
    assert list(written) == list(given)
    assert [row["arch"] for row in written.values()] == [row["arch"] for row in given.values()]
    assert [row["acc"] for row in written.values()] == [expected(one) for one in table.scores]
    assert Population.read(tmp_path / "submission.json", SPACE) == population


def best_by_hand(table: ScoreTable, key: str, rows: list[int]) -> list[int]:
    quality = {"top1": lambda one: one.top1, "cross_entropy": lambda one: -one.cross_entropy}[key]
    return sorted(rows, key=lambda row: (-quality(table.scores[row]), table.scores[row].cross_entropy, row))


@pytest.mark.parametrize("key", ["top1", "cross_entropy"])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_and_those_under_budgets_are_a_plain_searchs(key: str, seed: int):
    table = make_table(seed=seed)
    rows = list(range(40))
    assert table.best_rows(key)[:10].tolist() == best_by_hand(table, key, rows)[:10]
    budgets = sorted(int(macs) for macs in np.random.default_rng(seed).choice(table.multiply_adds, 3, replace=False))
    for budget, found in zip(budgets, best_under_budgets(table, key, budgets), strict=True):
        affordable = [row for row in rows if table.multiply_adds[row] <= budget]
        assert found == (budget, best_by_hand(table, key, affordable)[0])


def test_without_budgets_the_quartiles_of_the_list_are_taken():
    table = make_table()
    budgets = [one.multiply_adds for one in best_under_budgets(table, "top1")]
    ordered = sorted(table.multiply_adds)
    assert [round(sum(macs <= budget for macs in ordered) / 40, 2) for budget in budgets] == pytest.approx([0.25, 0.5, 0.75], abs=0.03)


def test_a_budget_below_every_candidate_has_no_best():
    table = make_table()
    assert best_under_budgets(table, "top1", [1]) == [(1, None)]
    with pytest.raises(InputError, match=r"^ranking\.budgets: \[5, 0\] must be multiply-adds of at least 1"):
        best_under_budgets(table, "top1", [5, 0])


def test_agreement_is_measured_on_candidates_with_known_accuracy():
    table = make_table()
    known = {table.population[row].architecture: -table.scores[row].cross_entropy / 10 + 0.5 for row in range(0, 40, 3)}
    agreement = agreement_with(table, known, resamples=20)
    assert (agreement.n, agreement.missing) == (14, 0)
    assert agreement.by_name["negative cross entropy"].estimates["kendall"].value == pytest.approx(1)
    assert set(agreement.baselines) == {"parameters", "multiply-adds", "last width", "sum of widths", "size and last width"}
    untrained = stats.zscore(np.log(table.parameters)) + stats.zscore(-1 / table.population.widths[:, -1])
    rows = range(0, 40, 3)
    expected = stats.kendalltau(untrained[rows], [known[table.population[row].architecture] for row in rows]).statistic
    assert agreement.by_name["size and last width"].estimates["kendall"].value == pytest.approx(expected)


# --- protocol


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    return path


BASE = {"data": "abc", "images": 30, "batch_size": None, "norm": "batch", "structure": {"shortcuts": "always"}, "precision": "32-true"}


def test_the_same_protocol_is_accepted_again(checkpoint: Path, tmp_path: Path):
    claim(tmp_path / "ranking", make_protocol(checkpoint, **BASE))
    claim(tmp_path / "ranking", make_protocol(checkpoint, **{**BASE, "batch_size": 30}))


@pytest.mark.parametrize(
    ("changed", "key", "old", "new"),
    [
        ({"batch_size": 10}, "batch_size", "30", "10"),
        ({"images": 20}, "images", "30", "20"),
        ({"norm": "running"}, "norm", "'batch'", "'running'"),
        ({"structure": {"shortcuts": "where_needed"}}, "shortcuts", "'always'", "'where_needed'"),
        ({"precision": "bf16-mixed"}, "dtype", "'32-true'", "'bf16-mixed'"),
        ({"data": "abd"}, "data_sha256", "'abc'", "'abd'"),
    ],
)
def test_another_protocol_is_refused_with_both_values(changed: dict, key: str, old: str, new: str, checkpoint: Path, tmp_path: Path):
    claim(tmp_path / "ranking", make_protocol(checkpoint, **BASE))
    before = (tmp_path / "ranking/protocol.json").read_bytes()
    with pytest.raises(InputError, match=rf"protocol\.json: {key} is {old}, but this ranking has {new}; give another run_dir"):
        claim(tmp_path / "ranking", make_protocol(checkpoint, **{**BASE, **changed}))
    assert (tmp_path / "ranking/protocol.json").read_bytes() == before


def test_batches_that_do_not_divide_the_images_are_another_protocol_than_an_older_versions(checkpoint: Path, tmp_path: Path):
    protocol = make_protocol(checkpoint, **{**BASE, "batch_size": 20})
    claim(tmp_path / "ranking", {key: value for key, value in protocol.items() if key != "batches"})
    with pytest.raises(InputError, match="batches is None, but this ranking has 2; give another run_dir"):
        claim(tmp_path / "ranking", protocol)
    for same in (
        {"batch_size": 40},
        {"batch_size": 20, "norm": "running"},
        {"batch_size": 20, "recalibration": {"statistics": "recalibrated"}},
    ):
        assert "batches" not in make_protocol(checkpoint, **{**BASE, **same})


OTHERS = {
    "statistics": ({"recalibration": {"statistics": "recalibrated", "recalibration_images": 10}}, "'batch'", "'recalibrated'"),
    "cheap_first": ({"cheap_first": {"keep": 0.1, "z": 2.0}}, "False", r"\{'keep': 0.1, 'z': 2.0\}"),
}


@pytest.mark.parametrize("key", OTHERS)
def test_what_the_defaults_do_not_write_is_compared_all_the_same(key: str, checkpoint: Path, tmp_path: Path):
    more, default, other = OTHERS[key]
    first, second = make_protocol(checkpoint, **BASE), make_protocol(checkpoint, **BASE, **more)
    assert list(first) == ["images", "batch_size", "norm", "shortcuts", "dtype", "checkpoint_sha256", "data_sha256"]
    for folder, kept, asked, old, new in (("a", first, second, default, other), ("b", second, first, other, default)):
        claim(tmp_path / folder, kept)
        claim(tmp_path / folder, kept)
        with pytest.raises(InputError, match=rf"protocol\.json: {key} is {old}, but this ranking has {new}; give another run_dir"):
            claim(tmp_path / folder, asked)


def test_other_weights_and_other_images_are_other_protocols(checkpoint: Path, tmp_path: Path):
    claim(tmp_path / "ranking", make_protocol(checkpoint, **BASE))
    checkpoint.write_bytes(b"weightt")
    with pytest.raises(InputError, match="checkpoint_sha256"):
        claim(tmp_path / "ranking", make_protocol(checkpoint, **BASE))
    images, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3)
    other = images.clone()
    other[2, 0, 1, 1] = 1
    prints = {fingerprint(LabelledImages(*one)) for one in ((images, labels), (other, labels), (images, labels.flip(0)))}
    assert len(prints) == 3


def test_a_protocol_that_is_no_json_is_refused(checkpoint: Path, tmp_path: Path):
    (tmp_path / "protocol.json").write_text("{")
    with pytest.raises(InputError, match=r"protocol\.json: is not JSON"):
        claim(tmp_path, make_protocol(checkpoint, **BASE))


# --- two tables


def kendall_by_hand(one: list[float], other: list[float]) -> float:
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    signs = [(np.sign(one[i] - one[j]), np.sign(other[i] - other[j])) for i, j in pairs]
    ties = [sum(sign[side] == 0 for sign in signs) for side in (0, 1)]
    return float(sum(a * b for a, b in signs)) / math.sqrt((len(pairs) - ties[0]) * (len(pairs) - ties[1]))


def test_two_tables_are_compared_on_the_candidates_that_both_have(tmp_path: Path):
    for seed in (0, 1):
        table = make_table(40, seed)
        table.write(tmp_path / f"{seed}.csv")
    third = ScoreTable.of(
        Population(SPACE, make_table(40, 0).population.candidates[10:30]),
        make_table(20, 7).scores,
        ResidualStructure(SPACE, 5, 1),
    )
    third.write(tmp_path / "third.csv")
    agreement = compare_scores(tmp_path / "0.csv", tmp_path / "third.csv", SPACE, 20)
    first = make_table(40, 0).scores[10:30]
    assert agreement.n == 20
    for name, of in (("negative cross entropy", lambda one: -one.cross_entropy), ("top-1", lambda one: one.top1)):
        by_hand = kendall_by_hand([of(one) for one in first], [of(one) for one in third.scores])
        assert agreement.by_name[name].estimates["kendall"].value == pytest.approx(by_hand)


def test_tables_that_share_fewer_than_three_candidates_are_refused(tmp_path: Path):
    table = make_table(40)
    for name, rows in (("a", slice(0, 10)), ("b", slice(8, 20))):
        part = Population(SPACE, table.population.candidates[rows])
        one = ScoreTable.of(part, table.scores[rows], ResidualStructure(SPACE, 5, 1))
        one.write(tmp_path / f"{name}.csv")
    with pytest.raises(InputError, match=r"share 2 candidates; at least 3 are needed"):
        compare_scores(tmp_path / "a.csv", tmp_path / "b.csv", SPACE, 20)
