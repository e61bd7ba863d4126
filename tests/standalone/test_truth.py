"""Candidates trained alone: which, how, and what is kept."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.data import Augmentation, Digits
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace, ShortcutRule, read_accuracies
from nas_lightning.standalone import truth
from nas_lightning.standalone.choice import spread_by_cost
from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.standalone.truth import GroundTruth, train_ground_truth
from nas_lightning.supernet import ResidualFamily
from nas_lightning.training.schedules import Cosine

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)
FAMILY = ResidualFamily(SPACE, 10, 1, ShortcutRule.WHERE_NEEDED)
CPU = {"accelerator": "cpu", "devices": 1}


def recipe(**changed: Any) -> Recipe:
    def sgd(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)

    parts = {"epochs": 2, "batch_size": 32, "optimizer": sgd, "schedule": Cosine(), "augmentation": Augmentation({}), "family": FAMILY}
    return Recipe(**{**parts, **changed})


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(resolution=8, train_images=100)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Architecture, int]]:
    """What is trained, each with an accuracy of its own, in no time."""
    calls: list[tuple[Architecture, int]] = []

    def instead(architecture: Architecture, _: Any, __: Any, seed: int, *___: Any) -> float:
        calls.append((architecture, seed))
        return (sum(architecture.widths) + seed / 7) / 100

    monkeypatch.setattr(truth, "train_alone", instead)
    return calls


@pytest.mark.parametrize("count", [1, 2, 3, 7, 24, 25])
def test_candidates_are_spread_evenly_by_cost_in_the_lists_order(count: int):
    population = Population.draw(SPACE, 25, 1)
    chosen = spread_by_cost(population, count, FAMILY)
    macs = FAMILY.cost(population.widths).multiply_adds.tolist()
    by_cost = sorted(range(25), key=lambda row: (macs[row], row))
    places = [0] if count == 1 else [round(24 * step / (count - 1)) for step in range(count)]
    assert [one.name for one in chosen] == [population[row].name for row in sorted(by_cost[place] for place in places)]
    assert len(set(chosen.architectures)) == count


def test_never_is_a_candidate_chosen_twice():
    population = Population.draw(SPACE, 60, 0)
    for count in range(1, 61):
        assert len({one.name for one in spread_by_cost(population, count, FAMILY)}) == count


@pytest.mark.parametrize("count", [0, 26])
def test_more_candidates_than_the_list_has_are_refused(count: int):
    with pytest.raises(InputError, match=rf"^standalone\.count: {count} .* 25"):
        spread_by_cost(Population.draw(SPACE, 25, 1), count, FAMILY)


def test_spread_and_seed_noise_are_those_of_a_hand_calculation():
    accuracies = [[0.50, 0.54], [0.60, 0.62], [0.80, 0.74]]
    measured = GroundTruth(Population.draw(SPACE, 3, 0), np.array(accuracies))
    means = [statistics.mean(row) for row in accuracies]
    assert measured.mean == pytest.approx(means)
    assert measured.spread == pytest.approx(statistics.stdev(means))
    pooled = statistics.mean(statistics.variance(row) for row in accuracies)
    assert measured.seed_noise == pytest.approx(pooled**0.5)
    one_seed = GroundTruth(Population.draw(SPACE, 3, 0), np.array(accuracies)[:, :1])
    assert one_seed.seed_noise is None
    assert GroundTruth(Population.draw(SPACE, 1, 0), np.array([[0.5, 0.7]])).spread == 0


def test_a_training_alone_depends_on_its_seed_not_on_global_state(digits: Digits):
    accuracies = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(accuracies))
        np.random.seed(len(accuracies))
        accuracies.append(train_alone(SPACE.largest, digits, recipe(), seed, CPU))
    assert accuracies[0] == accuracies[1]
    assert accuracies[0] != accuracies[2]
    assert 0.12 < accuracies[0] <= 1  # ten classes: better than chance after two epochs


def test_the_rate_of_a_training_alone_follows_the_schedule(digits: Digits):
    asked: list[tuple[float, float, float]] = []

    class Spy:
        def rate(self, peak: float, elapsed: float, epochs: float) -> float:
            asked.append((peak, elapsed, epochs))
            return peak

    train_alone(SPACE.smallest, digits, recipe(schedule=Spy(), batch_size=50), 0, CPU)
    assert asked == [(0.05, elapsed, 2) for elapsed in (0, 0.5, 1, 1.5)]


def test_truth_is_written_in_the_challenges_format_as_the_mean_over_seeds(digits: Digits, trained: list, tmp_path: Path):
    population = Population.draw(SPACE, 5, 2)
    measured = train_ground_truth(population, digits, recipe(), [0, 3], tmp_path, CPU)
    assert len(trained) == 10
    written = json.loads((tmp_path / "known_accuracies.json").read_text())
    assert [(name, one["arch"]) for name, one in written.items()] == [(one.name, one.text) for one in population]
    expected = {one: sum(one.widths) / 100 + 1.5 / 700 for one in population.architectures}
    assert read_accuracies(tmp_path / "known_accuracies.json", SPACE) == pytest.approx(expected, abs=1e-6)
    assert measured.mean == pytest.approx(list(expected.values()))


def test_what_a_folder_holds_is_not_trained_again(digits: Digits, trained: list, tmp_path: Path):
    population = Population.draw(SPACE, 5, 2)
    whole = train_ground_truth(population, digits, recipe(), [0, 1], tmp_path, CPU)
    content = (tmp_path / "accuracies.csv").read_text()
    lines = content.splitlines(keepends=True)
    (tmp_path / "accuracies.csv").write_text("".join(line for number, line in enumerate(lines) if number not in (3, 6)))
    trained.clear()
    again = train_ground_truth(population, digits, recipe(), [0, 1], tmp_path, CPU)
    lost = {(SPACE.parse(line.split(",")[1]), int(line.split(",")[2])) for line in (lines[3], lines[6])}
    assert set(trained) == lost
    assert len(trained) == 2
    assert (again.accuracies == whole.accuracies).all()
    assert (tmp_path / "accuracies.csv").read_text() == content


def test_a_stop_loses_only_the_training_that_was_running(digits: Digits, trained: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    population = Population.draw(SPACE, 4, 2)
    train = truth.train_alone

    def stops(*arguments: Any) -> float:
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(truth, "train_alone", stops)
        with pytest.raises(KeyboardInterrupt):
            train_ground_truth(population, digits, recipe(), [0], tmp_path, CPU)
    assert not (tmp_path / "known_accuracies.json").exists()
    trained.clear()
    train_ground_truth(population, digits, recipe(), [0], tmp_path, CPU)
    assert trained == [(population[3].architecture, 0)]


def test_a_further_seed_is_added_and_none_is_lost(digits: Digits, trained: list, tmp_path: Path):
    population = Population.draw(SPACE, 4, 2)
    train_ground_truth(population, digits, recipe(), [0], tmp_path, CPU)
    train_ground_truth(Population(SPACE, population.candidates[:2]), digits, recipe(), [1], tmp_path, CPU)
    trained.clear()
    train_ground_truth(population, digits, recipe(), [0, 1], tmp_path, CPU)
    assert trained == [(one.architecture, 1) for one in population.candidates[2:]]


@pytest.mark.parametrize(
    "content", ["name,architecture,seed,accuracy\na,2-2-2-2-2,0\n", "x\n1\n", "name,architecture,seed,accuracy\na,9-9,0,1\n"]
)
def test_a_table_of_accuracies_that_is_none_is_refused(content: str, digits: Digits, tmp_path: Path):
    (tmp_path / "accuracies.csv").write_text(content)
    with pytest.raises(InputError, match=r"accuracies\.csv: is not a table of accuracies"):
        train_ground_truth(Population.draw(SPACE, 2, 0), digits, recipe(), [0], tmp_path, CPU)


SMALL = ["space=resnet_tiny", "data=digits", "data.train_images=64", "population.count=6", "standalone.epochs=1", "standalone.count=3"]


@pytest.mark.parametrize(
    "argument",
    [
        "trainer.callbacks=[{_target_: pytorch_lightning.callbacks.Timer}]",
        "trainer.max_time=00:00:00:02",
        "trainer.limit_train_batches=0",
        "trainer.overfit_batches=0.5",
        "trainer.val_check_interval=50",
        "trainer.max_epochs=3",
        "trainer.logger=true",
    ],
)
def test_what_belongs_to_a_stage_is_refused_by_the_command(argument: str, tmp_path: Path, command: Callable):
    done = command("standalone", *SMALL, argument, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith(f"error: {argument.split('=')[0]}: ")
    assert "stages of nas-train" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("argument", ["trainer.callbacks=[]", "trainer.logger=false", "trainer.log_every_n_steps=1"])
def test_what_asks_for_nothing_is_taken(argument: str, tmp_path: Path, command: Callable, trained: list):
    assert command("standalone", *SMALL, argument, f"run_dir={tmp_path}/run").code == 0
    assert len(trained) == 3


BY_NAME = ["~standalone.optimizer.momentum", "~standalone.optimizer.weight_decay", "~standalone.optimizer.nesterov"]


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam"])
@pytest.mark.parametrize("which", ["train", "standalone"])
def test_an_optimizer_that_cannot_train_is_refused_before_work(which: str, name: str, tmp_path: Path, command: Callable):
    arguments = {"train": ["experiment=micro"], "standalone": SMALL}[which]
    done = command(which, *arguments, f"standalone.optimizer._target_=torch.optim.{name}", *BY_NAME, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith(f"error: standalone.optimizer: {name} cannot take a step from the summed gradients of paths (")
    assert not (tmp_path / "run").exists()


SEEDS = {
    "[0,0]": "standalone.seeds[1]: 0 is there already",
    "[3,1,2,1]": "standalone.seeds[3]: 1 is there already",
    "[0,-1]": "standalone.seeds: -1 must be at least 0",
    "[]": "standalone.seeds: must name at least one seed",
    "[true,false]": "standalone.seeds[0]: True must be an integer",
    "[0,1.5]": "standalone.seeds[1]: 1.5 must be an integer",
    "[18446744073709551616]": "standalone.seeds[0]: 18446744073709551616 must lie within 2^53",
}


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("which", ["train", "standalone"])
def test_seeds_that_are_none_are_refused_in_one_line(which: str, seeds: str, tmp_path: Path, command: Callable):
    arguments = {"train": ["experiment=micro"], "standalone": SMALL}[which]
    done = command(which, *arguments, f"standalone.seeds={seeds}", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert SEEDS[seeds] in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("seeds", [[], [0, 0], [-1], [True], [0.0]])
def test_seeds_that_are_none_are_refused_from_python_too(seeds: list, digits: Digits, tmp_path: Path):
    with pytest.raises(InputError, match=r"^standalone\.seeds"):
        train_ground_truth(Population.draw(SPACE, 2, 0), digits, recipe(), seeds, tmp_path, CPU)
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_trains(digits: Digits):
    assert 0 <= train_alone(SPACE.smallest, digits, recipe(epochs=1), 2**64 - 1, CPU) <= 1


def test_the_command_trains_what_it_is_asked_and_goes_on_where_it_was(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    arguments = [*SMALL, f"run_dir={tmp_path}"]
    done = command("standalone", *arguments)
    assert done.code == 0, done.err
    content = (tmp_path / "standalone/known_accuracies.json").read_bytes()
    assert len(json.loads(content)) == 3
    monkeypatch.setattr(truth, "train_alone", None)
    assert command("standalone", *arguments).code == 0
    assert (tmp_path / "standalone/known_accuracies.json").read_bytes() == content
    other = command("standalone", *arguments, "standalone.epochs=2")
    assert other.code == 2, "accuracies of 1 epoch were taken for those of 2"
