"""``from nas_lightning import rank``: the scores of nas-rank in one call, and a table that chooses, compares and is saved."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas_lightning import Architecture, Digits, Population, SearchSpace, Supernet, load_supernet, rank, read_table
from nas_lightning.data import dataset_from_header
from nas_lightning.errors import InputError
from nas_lightning.python import RankedTable

SPACE = SearchSpace("tiny", blocks=(1, 1), max_widths=(4, 8), width_step=1, resolution=8)


@pytest.fixture(scope="module")
def table() -> RankedTable:
    """Forty candidates of an untrained supernet."""
    candidates = Population.draw(SPACE, 39, seed=0)
    copied = Population(SPACE, (*candidates, candidates[3]))
    return rank(Supernet(SPACE, classes=10, channels=1), copied, Digits(8), images=30, fitted_on=30)


def test_the_scores_are_those_of_a_runs_own_ranking(micro: Path):
    supernet, header = load_supernet(micro / "supernet.safetensors")
    candidates = Population.read(micro / "ranking/submission.json", supernet.space)
    found = rank(supernet, candidates, dataset_from_header(header["data"] | {}, None), images=300, fitted_on=30)
    with (micro / "ranking/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for key, own in (("cross_entropy", -found.quality("cross_entropy")), ("predicted", found.predicted), ("top1", found.quality("top1"))):
        assert own == pytest.approx([float(row[key]) for row in rows], rel=1e-5), key


def test_the_best_are_ordered_and_within_the_budget(table: RankedTable):
    predicted = table.predicted
    assert predicted is not None
    budget = int(np.median(table.multiply_adds))
    rows = [row for row in range(39) if table.multiply_adds[row] <= budget]
    expected = [table.population[row].name for row in sorted(rows, key=lambda row: (predicted[row], table.scores[row].cross_entropy))]
    assert [one.name for one in table.best(5, max_macs=budget)] == expected[:5]
    assert [one.name for one in table.best(40, max_macs=budget)] == expected  # the copy has no place of its own
    by_loss = sorted(range(39), key=lambda row: table.scores[row].cross_entropy)
    assert [one.name for one in table.best(3, by="cross_entropy")] == [table.population[row].name for row in by_loss[:3]]
    assert table.best(max_macs=1) == ()
    wrong = {"count: -1 must be an integer of at least 0": {"count": -1}, "by: 'acc' is not one of top1, ": {"by": "acc"}}
    for line, arguments in wrong.items():
        with pytest.raises(InputError, match=line):
            table.best(**arguments)


def test_a_table_is_not_saved_over_a_run(table: RankedTable, micro: Path):
    before = (micro / "ranking/scores.csv").read_bytes()
    with pytest.raises(InputError, match="is a run's, whose ranking would be lost"):
        table.save(micro)
    assert (micro / "ranking/scores.csv").read_bytes() == before


def test_known_accuracies_are_given_as_values_or_as_a_file(table: RankedTable, tmp_path: Path):
    rng = np.random.default_rng(0)
    known: dict[Architecture, float] = {one: float(rng.uniform(0.2, 0.9)) for one in table.population.architectures[:20]}
    found = table.agreement(known, resamples=10)
    losses = [-table.scores[row].cross_entropy for row in range(20)]
    assert found.scores["negative cross entropy"].estimates["kendall"].value == pytest.approx(
        kendalltau(losses, list(known.values())).statistic
    )
    Population.of(SPACE, known).write(tmp_path / "known.json", (100 * value for value in known.values()))
    assert table.agreement(tmp_path / "known.json", resamples=10).table() == found.table()


@pytest.mark.slow
def test_a_saved_table_is_read_back_reported_and_compared(table: RankedTable, tmp_path: Path, command: Callable):
    known = dict(zip(table.population.architectures, np.linspace(0.2, 0.8, 39).tolist(), strict=False))
    path = table.save(tmp_path, known)
    again = read_table(path, SPACE)
    assert again.scores == table.scores
    assert again.best(5) == table.best(5)
    done = command("report", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert table.best(1)[0].text in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "ranking/agreement.json").read_text())["n"] == 39
    table.save(tmp_path)  # the same scores: what was made from them stays
    assert (tmp_path / "ranking/agreement.json").is_file()


def test_without_a_predictor_the_cross_entropy_orders(tmp_path: Path):
    found = rank(Supernet(SPACE, 10, 1), Population.draw(SPACE, 4, 0), Digits(8), images=20, batch_size=10, predictor="none")
    assert (found.predicted, found.default_score) == (None, "cross_entropy")
    found.save(tmp_path)
    assert json.loads((tmp_path / "ranking/protocol.json").read_text())["ordered_by"] == "cross_entropy"


@pytest.mark.parametrize(
    ("supernet", "arguments", "says"),
    [
        (Supernet(SPACE, 9, 1), {}, "dataset.classes: 10 differs from the supernet's 9"),
        (Supernet(SPACE, 10, 3), {}, "dataset.channels: 1 differs from the supernet's 3"),
        (Supernet(SearchSpace("big", (1,), (4,), 1, 16), 10, 1), {}, "dataset.resolution: 8 differs from the supernet's 16"),
        (Supernet(SPACE, 10, 1), {"predictor": "linear"}, "predictor: 'linear' is not one of none, monotone, monotone_with_capacity"),
        (Supernet(SPACE, 10, 1), {"images": 1298}, "ranking.images: 1298 must be an integer from 1 to 1297"),
    ],
)
def test_what_does_not_fit_is_one_line(supernet: Supernet, arguments: dict, says: str):
    with pytest.raises(InputError) as raised:
        rank(supernet, Population.draw(SPACE, 4, 0), Digits(8), **arguments)
    assert str(raised.value) == says
