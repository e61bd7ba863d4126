"""What is no truth: a training that diverges, or is cut short, never becomes an accuracy."""

import csv
import json
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from nas_lightning.commands.prepare import check_recipe
from nas_lightning.data import Augmentation, Digits
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace, ShortcutRule
from nas_lightning.standalone import truth
from nas_lightning.standalone.summary import write_summary
from nas_lightning.standalone.train_alone import Diverged, Recipe, train_alone
from nas_lightning.standalone.truth import Failure, GroundTruth, describe_failures, train_ground_truth
from nas_lightning.supernet import ResidualFamily
from nas_lightning.training.schedules import Cosine

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)
FAMILY = ResidualFamily(SPACE, 10, 1, ShortcutRule.WHERE_NEEDED)
CPU = {"accelerator": "cpu", "devices": 1}
SMALL = ["space=resnet_tiny", "data=digits", "data.train_images=64", "population.count=4", "standalone.epochs=1"]
POPULATION = Population.draw(SPACE, 4, 0)
MODULE = sys.modules[train_alone.__module__]


def recipe(lr: float = 0.05, **changed: Any) -> Recipe:
    make = partial(torch.optim.SGD, lr=lr, momentum=0.9)
    parts = {
        "epochs": 2,
        "batch_size": 50,
        "optimizer": make,
        "schedule": Cosine(),
        "augmentation": Augmentation({}),
        "family": FAMILY,
    }
    return Recipe(**{**parts, **changed})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class SpoilsTheLastStep(torch.optim.SGD):
    """Lets the loss be finite in every step, and a weight infinite after the fourth."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.05)
        self.steps = 0

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Like SGD's."""
        loss = super().step(closure)
        self.steps += 1
        if self.steps == 4:
            self.param_groups[0]["params"][0].data.view(-1)[0] = math.inf
        return loss


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(resolution=8, train_images=100)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"lr": 1e30}, r"the loss is nan or infinite in epoch 1 of 2"),
        ({"lr": 1e30, "norm": "batch"}, r"the loss is nan or infinite in epoch 1 of 2"),
        ({"lr": 1e30, "batch_size": 100, "epochs": 1}, r"a weight is nan|a logit of the test is nan"),
        ({"optimizer": SpoilsTheLastStep}, r"a weight is nan or infinite after the last step"),
    ],
    ids=["loss", "loss by batch statistics", "one step", "last step"],
)
def test_a_training_that_diverges_has_no_accuracy(changed: dict[str, Any], reason: str, digits: Digits):
    with pytest.raises(Diverged, match=reason):
        train_alone(SPACE.largest, digits, recipe(**changed), 0, CPU)


def test_a_poor_accuracy_of_finite_weights_is_one(digits: Digits):
    assert 0 <= train_alone(SPACE.largest, digits, recipe(lr=1e-9), 0, CPU) < 0.3


class Stops(pl.Callback):
    """Asks the Trainer to stop after its first step."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Asks."""
        trainer.should_stop = True


def test_a_training_that_is_cut_short_is_not_recorded_and_trained_again(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made = MODULE.make_trainer
    with monkeypatch.context() as patched:
        patched.setattr(MODULE, "make_trainer", lambda *given, **owned: made(*given, callbacks=[Stops()], **owned))
        with pytest.raises(InputError, match=r"^standalone: .* with seed 0 was stopped after [12] of 4 steps.*trains it again$"):
            train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    assert not list(tmp_path.iterdir())
    train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    assert len(rows(tmp_path / "accuracies.csv")) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        {"callbacks": [Stops()]},
        {"callbacks": [pl.callbacks.LearningRateMonitor()]},
        {"callbacks": [pl.callbacks.ModelCheckpoint()]},
        {"callbacks": [pl.callbacks.EarlyStopping("nothing that is logged")]},
        {"max_time": "00:00:00:00"},
        {"limit_train_batches": 0},
        {"overfit_batches": 1},
        {"val_check_interval": 50},
        {"profiler": "simple", "logger": True, "detect_anomaly": True},
    ],
    ids=lambda arguments: ",".join(arguments),
)
def test_what_belongs_to_a_stage_does_not_reach_a_training_alone(arguments: dict[str, Any], digits: Digits):
    plain = train_alone(SPACE.smallest, digits, recipe(), 0, CPU)
    assert train_alone(SPACE.smallest, digits, recipe(), 0, {**CPU, **arguments}) == plain


def test_double_precision_trains_and_tests(digits: Digits):
    assert 0 <= train_alone(SPACE.smallest, digits, recipe(), 0, {**CPU, "precision": "64-true"}) <= 1


@pytest.fixture
def third_diverges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Architecture, int]]:
    """What is trained, in no time; of four candidates the third diverges with seed 1."""
    calls: list[tuple[Architecture, int]] = []

    def instead(architecture: Architecture, _: Any, __: Any, seed: int, *___: Any) -> float:
        calls.append((architecture, seed))
        if (architecture, seed) == (POPULATION[2].architecture, 1):
            raise Diverged("the loss is nan or infinite in epoch 1 of 2")
        return sum(architecture.widths) / 1000

    monkeypatch.setattr(truth, "train_alone", instead)
    return calls


def test_a_candidate_that_diverges_is_left_out_and_not_trained_again(
    third_diverges: list, digits: Digits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    measured = train_ground_truth(POPULATION, digits, recipe(), [0, 1], tmp_path, CPU)
    assert len(third_diverges) == 8  # the others were trained
    kept = [POPULATION[row] for row in (0, 1, 3)]
    assert list(measured.population) == kept
    assert measured.accuracies.tolist() == [[sum(one.architecture.widths) / 1000] * 2 for one in kept]
    assert measured.left_out == (POPULATION[2],)
    assert list(json.loads((tmp_path / "known_accuracies.json").read_text())) == [one.name for one in kept]
    table = rows(tmp_path / "accuracies.csv")
    assert [(row["name"], row["seed"]) for row in table if row["failure"]] == [("arch3", "1")]
    assert [bool(row["accuracy"]) for row in table] == [not row["failure"] for row in table]
    said = capsys.readouterr().err
    assert "diverged: arch3 with seed 1 (the loss is nan" in said
    assert "1 of 4 candidates diverged" in said
    third_diverges.clear()
    again = train_ground_truth(POPULATION, digits, recipe(), [0, 1], tmp_path, CPU)
    assert third_diverges == []
    assert again.failures == measured.failures
    assert "1 of 4 candidates diverged" in capsys.readouterr().err


def test_a_further_seed_is_trained_beside_a_failure(third_diverges: list, digits: Digits, tmp_path: Path):
    train_ground_truth(POPULATION, digits, recipe(), [1], tmp_path, CPU)
    third_diverges.clear()
    measured = train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    assert len(third_diverges) == 4
    assert len(measured.population) == 4  # its failure is with another seed
    assert sum(bool(row["failure"]) for row in rows(tmp_path / "accuracies.csv")) == 1


def test_the_summary_has_an_empty_row_for_a_diverged_candidate(tmp_path: Path):
    population = Population.draw(SPACE, 2, 0)
    failure = Failure(population[1], 3, "the loss is nan")
    part = GroundTruth(Population(SPACE, population.candidates[:1]), np.array([[0.5, 0.7]]), (failure,))
    write_summary(tmp_path / "summary.csv", part)
    first, second = rows(tmp_path / "summary.csv")
    assert (first["mean"], first["seeds"]) == ("0.600000", "2")
    assert second == {**dict.fromkeys(first, ""), "name": "arch2", "architecture": population[1].text, "seeds": "1"}
    assert describe_failures(part).startswith("1 of 2 candidates diverged and are left out, such as arch2 with seed 3 (the loss is nan)")


def test_a_row_with_neither_accuracy_nor_failure_is_refused(digits: Digits, tmp_path: Path):
    (tmp_path / "accuracies.csv").write_text(f"name,architecture,seed,accuracy,failure\na,{POPULATION[0].text},0,,\n")
    with pytest.raises(InputError, match=r"accuracies\.csv: is not a table of accuracies \(line 2"):
        train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)


def test_a_table_of_an_older_version_is_resumed(third_diverges: list, digits: Digits, tmp_path: Path):
    (tmp_path / "accuracies.csv").write_text(f"name,architecture,seed,accuracy\na,{POPULATION[0].text},0,0.25\n")
    (tmp_path / "accuracies.backup.csv").write_text("of the user\n")
    measured = train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    assert len(third_diverges) == 3
    assert measured.accuracies[0, 0] == 0.25
    assert (tmp_path / "accuracies.backup.csv").read_text() == "of the user\n"


def test_the_command_ends_with_a_line_and_code_2_where_all_diverge(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    arguments = [*SMALL, "standalone.optimizer.lr=1e30", "standalone.batch_size=16", f"run_dir={tmp_path}"]
    done = command("standalone", *arguments)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(
        "error: standalone: 0 candidates have an accuracy, at least 1 must; 4 of 4 candidates diverged"
    )
    assert not (tmp_path / "standalone/known_accuracies.json").exists()
    assert [row["accuracy"] for row in rows(tmp_path / "standalone/accuracies.csv")] == [""] * 4
    assert [row["mean"] for row in rows(tmp_path / "standalone/summary.csv")] == [""] * 4
    monkeypatch.setattr(truth, "train_alone", None)  # it would be trained again for ever
    again = command("standalone", *arguments)
    assert (again.code, again.err.count("\n")) == (2, 1), again.err


def diverges_for(names: set[str], count: int) -> Callable[..., float]:
    """Trains in no time, but for those of a drawn list of ``count`` candidates."""
    listed = Population.draw(SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8), count, 0)
    architectures = [one.architecture for one in listed if one.name in names]

    def instead(architecture: Architecture, *_: Any) -> float:
        if architecture in architectures:
            raise Diverged("the loss is nan or infinite in epoch 1 of 2")
        return sum(architecture.widths) / 1000

    return instead


def test_the_command_reports_the_others_and_how_many_are_left_out(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(truth, "train_alone", diverges_for({"arch2"}, 4))
    done = command("standalone", *SMALL, f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "1 of 4 candidates diverged" in done.out
    assert "arch2 " not in done.out.split("1 of 4")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trained", "code"), [(slice(1, None), 0), (slice(-2, None), 2), (slice(0, 0), 2)], ids=["one diverges", "two are left", "none is left"]
)
def test_a_whole_run_ranks_and_leaves_out_what_diverged(
    trained: slice, code: int, micro: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    names = list(json.loads((micro / "standalone/known_accuracies.json").read_text()))
    monkeypatch.setattr(truth, "train_alone", diverges_for(set(names) - set(names[trained]), 24))
    run = tmp_path / "run"
    one_stage = ["~stages.finetune", "~stages.distill_1", "stages.pretrain.epochs=1"]
    done = command("train", "experiment=micro", *one_stage, f"run_dir={run}")
    assert done.code == code, done.err
    assert len(rows(run / "ranking/scores.csv")) == 24
    assert (run / "ranking/agreement.json").exists() == (run / "finished.json").exists() == (code == 0)
    if code == 0:
        assert json.loads((run / "ranking/agreement.json").read_text())["n"] == 5
    else:
        assert done.err.splitlines()[-1].startswith(
            f"error: standalone: {len(names[trained])} candidates have an accuracy, at least 3 must"
        )
    assert command("report", f"run_dir={run}").code == 0
    if names[trained]:
        row = f"Trainings that diverged, without an accuracy: {6 - len(names[trained])}."
        assert row in (run / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_callbacks_of_the_stages_do_not_break_the_truth_after_them(tmp_path: Path, command: Callable):
    names = ("LearningRateMonitor", "ModelCheckpoint", "EarlyStopping, monitor: loss, patience: 9", "Timer")
    callbacks = ", ".join(f"{{_target_: pytorch_lightning.callbacks.{name}}}" for name in names)
    changed = ["~stages.finetune", "~stages.distill_1", f"trainer.callbacks=[{callbacks}]", "trainer.limit_train_batches=2"]
    done = command("train", "experiment=micro", *changed, "standalone.count=3", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    plain = command("train", "experiment=micro", *changed[:2], "standalone.count=3", f"run_dir={tmp_path}/plain")
    assert plain.code == 0, plain.err
    assert rows(tmp_path / "run/standalone/accuracies.csv") == rows(tmp_path / "plain/standalone/accuracies.csv")
    assert (tmp_path / "run/ranking/agreement.json").is_file()


def test_what_processes_cannot_receive_is_refused_before_a_stage(digits: Digits):
    nameless = recipe(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    check_recipe(nameless, digits, CPU, 1)
    with pytest.raises(InputError, match=r"^standalone\.processes: .*cannot be handed to other processes"):
        check_recipe(nameless, digits, CPU, 2)
