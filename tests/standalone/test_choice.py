"""Which candidates of a list are trained alone: spread by known accuracy."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands.configs import StandaloneCommandConfig, TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from nas_lightning.space import Population, SearchSpace
from nas_lightning.standalone import truth
from nas_lightning.standalone.choice import spread_by_accuracy
from nas_lightning.standalone.truth import train_ground_truth
from tests.composing import composed

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)
ACCURACIES = [0.50, 0.90, 0.10, 0.70, 0.30, 0.80, 0.20, 0.60, 0.40]  # of arch1 .. arch9
QUANTILES = {  # count -> names in the list's order, by hand: the lowest is arch3, the highest arch2, the median arch1
    1: ["arch3"],
    2: ["arch2", "arch3"],
    3: ["arch1", "arch2", "arch3"],
    5: ["arch1", "arch2", "arch3", "arch4", "arch5"],
    9: [f"arch{number}" for number in range(1, 10)],
}


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Nine candidates of the space of the experiment micro with the accuracies above."""
    path = tmp_path / "known.json"
    Population.draw(SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8), 9, 0).write(path, ACCURACIES)
    return path


@pytest.mark.parametrize("count", QUANTILES)
def test_candidates_are_taken_at_even_quantiles_of_known_accuracy(count: int):
    population = Population.draw(SPACE, 9, 0)
    known = dict(zip(population.architectures, ACCURACIES, strict=True))
    assert [one.name for one in spread_by_accuracy(population, known, count)] == QUANTILES[count]


def test_equal_accuracies_are_taken_in_the_lists_order_and_none_twice():
    population = Population.draw(SPACE, 6, 0)
    known = dict.fromkeys(population.architectures, 0.5)
    assert [one.name for one in spread_by_accuracy(population, known, 3)] == ["arch1", "arch3", "arch6"]  # places 0, 2.5 -> 2, 5
    for count in range(1, 7):
        assert len(spread_by_accuracy(population, known, count)) == count


def test_more_candidates_than_have_an_accuracy_are_refused():
    population = Population.draw(SPACE, 3, 0)
    with pytest.raises(InputError, match=r"^standalone\.count: 4 .* 3"):
        spread_by_accuracy(population, dict.fromkeys(population.architectures, 0.5), 4)


TINY = ["space=resnet_tiny", "data=digits", "data.train_images=64", "standalone.epochs=1", "standalone.choose=accuracy"]


def test_the_command_trains_those_at_the_quantiles(listed: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(truth, "train_alone", lambda *_: 0.5)
    done = command("standalone", *TINY, f"population.file={listed}", "standalone.count=3", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert list(json.loads((tmp_path / "run/standalone/known_accuracies.json").read_text())) == QUANTILES[3]


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda rows: {name: {**row, "acc": 0} for name, row in rows.items()}, "standalone.choose: accuracy needs known accuracies, and"),
        (lambda rows: {name: {"arch": row["arch"]} for name, row in rows.items()}, "acc None is not a fraction"),
        (lambda rows: {name: {**row, "acc": 1000 * row["acc"]} for name, row in rows.items()}, "is not a fraction from 0 to 1, nor in per"),
    ],
    ids=["all zero", "missing", "per mille"],
)
def test_a_list_without_known_accuracies_is_refused_in_one_line(
    change: Callable, holds: str, listed: Path, tmp_path: Path, command: Callable
):
    listed.write_text(json.dumps(change(json.loads(listed.read_text()))))
    done = command("standalone", *TINY, f"population.file={listed}", "standalone.count=3", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert holds in done.err
    assert str(listed) in done.err
    assert not (tmp_path / "run").exists()


def test_a_list_that_is_drawn_has_no_known_accuracies(tmp_path: Path, command: Callable):
    done = command("standalone", *TINY, "population.count=9", "standalone.count=3", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "standalone.choose" in done.err


def run_config(*overrides: str) -> TrainConfig:
    return read(TrainConfig, composed("config", "experiment=micro", "run_dir=out", *overrides))


@pytest.mark.parametrize("key", ["population.file", "ranking.list"])
def test_a_whole_run_takes_the_accuracies_of_the_list_that_it_ranks(key: str, listed: Path):
    fits = ["stages.finetune.sampler.choose.count=4", f"{key}={listed}", "ranking.images=100"]
    run = prepare(run_config(*fits, "standalone.choose=accuracy", "standalone.count=5"))
    assert run.truth is not None
    assert [one.name for one in run.truth[0]] == QUANTILES[5]


def test_a_run_on_several_devices_cannot_train_its_truth_side_by_side():
    with pytest.raises(InputError, match=r"^standalone\.processes: 2 .*trainer\.devices.*nas-standalone"):
        prepare(run_config("standalone.processes=2", "trainer.devices=2", "trainer.strategy=ddp"))


def test_a_whole_run_hands_the_number_of_processes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable):
    asked: list[int] = []

    def instead(*arguments: Any) -> None:
        asked.append(arguments[-1])
        raise InputError("far enough")

    assert train_ground_truth is truth.train_ground_truth
    monkeypatch.setattr("nas_lightning.commands.run.train_ground_truth", instead)
    monkeypatch.setattr("nas_lightning.commands.run.train_stages", lambda *_, **__: None)
    assert command("train", "experiment=micro", "standalone.processes=2", f"run_dir={tmp_path}/run").code == 2
    assert asked == [2]


def test_the_command_in_docs_is_legal():
    page = (Path(__file__).parents[2] / "docs/spaces_and_data.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^nas-standalone .*$", page, re.MULTILINE)
    config = read(StandaloneCommandConfig, composed("standalone", *shlex.split(line)[1:]))
    alone = config.standalone
    assert (alone.count, alone.choose, alone.recipe.node["epochs"], alone.seeds) == (12, "accuracy", 5, [0])
