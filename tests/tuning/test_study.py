"""A study by ``nas-tune``: proposes, keeps, goes on, and is shared."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.storages.journal import JournalFileBackend

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.errors import InputError
from nas_lightning.tuning import FOLDER, STORAGE, Prune, choice

ROOT = Path(__file__).parents[2]
OVERRIDES = ["experiment=micro", "standalone=none", "ranking.count=4", "ranking.images=100", "returns=panel_cross_entropy"]
SHORT = ["stages.finetune.max_steps=1"]
SEARCH = "search={stages.pretrain.optimizer.lr: {low: 0.01, high: 0.3, log: true}, stages.pretrain.sampler.paths: [1, 2]}"


def given(folder: Path, *more: str) -> list[str]:
    listed = ",".join(json.dumps(one) for one in (*OVERRIDES, *SHORT))
    own = {one.split("=", 1)[0]: one for one in (f"overrides=[{listed}]", SEARCH, f"run_dir={folder}", "seed=0", *more)}
    return list(own.values())


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / STORAGE)))
    return optuna.load_study(study_name="study", storage=storage).trials


@pytest.fixture(scope="module")
def study(command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "study"
    done = command("tune", *given(folder, "trials=3", "pruning=none"))
    assert done.code == 0, done.err
    return folder


def test_each_trial_is_a_run_with_the_studys_values(study: Path):
    found = trials(study)
    assert [one.state.name for one in found] == ["COMPLETE"] * 3
    for one in found:
        folder = study / "trials" / f"{one.number:04d}"
        config = (folder / "config.yaml").read_text()
        assert f"lr: {one.params['stages.pretrain.optimizer.lr']}" in config
        assert f"paths: {one.params['stages.pretrain.sampler.paths']}" in config
        assert json.loads((folder / "finished.json").read_text())["value"] == one.value
    assert len({one.params["stages.pretrain.optimizer.lr"] for one in found}) == 3


def test_the_best_is_the_one_with_the_lowest_loss(study: Path):
    best = json.loads((study / "best.json").read_text())
    expected = min(trials(study), key=lambda one: one.value)
    assert (best["trial"], best["value"], best["values"]) == (expected.number, expected.value, expected.params)


@pytest.mark.slow
def test_the_same_command_goes_on_and_proposes_anew(study: Path, command: Callable, tmp_path: Path):
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    done = command("tune", *given(folder, "trials=5", "pruning=none"))
    assert done.code == 0, done.err
    found = trials(folder)
    assert [one.number for one in found] == [0, 1, 2, 3, 4]
    assert len({one.params["stages.pretrain.optimizer.lr"] for one in found}) == 5
    assert "trial 2:" not in done.err
    done = command("tune", *given(folder, "trials=5", "pruning=none"))
    assert done.code == 0
    assert "trial 5:" not in done.err


@pytest.mark.slow
def test_a_trial_whose_process_died_is_gone_on_with_in_its_folder(command: Callable, tmp_path: Path):
    folder = tmp_path / "study"
    folder.mkdir()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / STORAGE)))
    dead = optuna.create_study(storage=storage, study_name="study", direction="minimize").ask()
    dead.suggest_float("stages.pretrain.optimizer.lr", 0.01, 0.3, log=True)
    dead.suggest_categorical("stages.pretrain.sampler.paths", [1, 2])
    values = dict(dead.params)
    done = command("tune", *given(folder, "trials=1"))
    assert done.code == 0, done.err
    first, second = trials(folder)
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
    assert second.params == values
    assert second.user_attrs[FOLDER] == "trials/0000"
    assert (folder / "trials" / "0000" / "finished.json").exists()
    assert not (folder / "trials" / "0001").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search={stages.pretrain.sampler.paths: [1, 2, 4]}"], "study: study has search"),
        (["overrides=['experiment=micro','returns=panel_cross_entropy']"], "study: study has overrides"),
    ],
)
def test_a_study_of_other_trials_is_not_joined(arguments: list[str], says: str, study: Path, command: Callable):
    before = len(trials(study))
    done = command("tune", *given(study, "trials=9", *arguments))
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert says in done.err
    assert len(trials(study)) == before


@pytest.mark.slow
def test_a_database_is_not_shared_by_two_folders(command: Callable, tmp_path: Path):
    storage = f"storage=sqlite:///{tmp_path}/study.db"
    assert command("tune", *given(tmp_path / "one", storage, "trials=1")).code == 0
    done = command("tune", *given(tmp_path / "other", storage, "trials=2"))
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "study: study has run_dir" in done.err


@pytest.mark.slow
def test_an_illegal_value_fails_its_trial_and_the_study_goes_on(command: Callable, tmp_path: Path):
    arguments = ["search={loader.batch_size: [64, 0]}", "trials=3", "seed=0"]
    done = command("tune", *given(tmp_path / "study", *arguments))
    states = [trial.state.name for trial in trials(tmp_path / "study")]
    assert (done.code, states.count("COMPLETE"), states.count("RUNNING")) == (0, 3, 0), done.err
    assert states.count("FAIL") == done.err.count("failed: loader.batch_size: 0 must be at least 2") > 0


@pytest.mark.slow
def test_a_trial_without_memory_fails_and_the_study_goes_on(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    threads: list[int | None] = []
    monkeypatch.setattr("nas_lightning.commands.study.run_experiment", run)
    monkeypatch.setattr("nas_lightning.commands.study.limit_threads", threads.append)
    overrides = f"overrides={json.dumps([*OVERRIDES, *SHORT, 'threads=1'])}"
    done = command("tune", *given(tmp_path / "study", "search={loader.batch_size: [64, 32]}", overrides, "trials=9"))
    assert done.err.count("failed: CUDA out of memory") == 3
    assert {trial.state.name for trial in trials(tmp_path / "study")} == {"FAIL"}
    assert threads[-3:] == [1, 1, 1]


def test_a_study_composes_a_network_as_nas_train_does(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def prepared(config: TrainConfig) -> None:
        stages.append([*config.stages])
        raise InputError("seen")

    stages: list[list[str]] = []
    monkeypatch.setattr("nas_lightning.commands.study.prepare", prepared)
    words = "overrides=['network=resnet18','data=digits','data.resolution=32']"
    assert command("tune", f"run_dir={tmp_path}/study", words, "search={stages.pretrain.optimizer.lr: [0.1]}").err == "error: seen\n"
    assert stages == [["pretrain"]]


@pytest.mark.slow
def test_diverging_values_fail_their_trial_and_three_end_the_study(command: Callable, tmp_path: Path):
    done = command("tune", *given(tmp_path / "study", "search={stages.pretrain.optimizer.lr: [1e30]}", "trials=9"))
    assert done.code == 2
    assert done.err.count("failed: stages.pretrain: the loss is") == 3
    assert done.err.splitlines()[-1].endswith("3 trials in a row failed; their lines stand above")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search={}"], "search: must name at least one key"),
        (["search={stages.pretrain.optimizer.lr: {low: 1}}"], "search.stages.pretrain.optimizer.lr: {'low': 1} must be a list"),
        (["search={stages.pretrain.optimizer.rate: [1]}"], "overrides, search: cannot be composed"),
        (["search={stages.pretrain.optimizer.lr: [-1.0]}"], "stages.pretrain.optimizer"),
        (["search={ranking.cheap_first_keep: [0.1, 0.2]}"], "ranking.cheap_first_keep: does nothing without ranking.cheap_first; "),
        (["overrides=['experiment=none']"], "overrides, search: cannot be composed"),
        (["overrides=['experiment=micro','trainer=ddp','trainer.accelerator=cpu']"], "a trial trains on one device"),
        (["overrides=['experiment=micro','standalone=none']"], "returns=agreement needs ranking.known_accuracies"),
        (["proposals=best"], "proposals: 'best' is not one of tpe, random"),
        (["storage=nonsense://x"], "storage: nonsense://x cannot be opened"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_written(arguments: list[str], says: str, command: Callable, tmp_path: Path):
    done = command("tune", *given(tmp_path / "study", *arguments))
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert says in done.err
    assert not (tmp_path / "study" / "trials").exists()


@pytest.mark.parametrize(
    "said",
    [
        [],
        [[1]],
        3,
        None,
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"low": "a", "high": 1},
        {"low": True, "high": 2},
        {"low": 1, "high": 2, "step": 0},
        {"low": 1, "high": 2, "step": 2, "log": True},
        {"low": 1, "high": 2, "among": 1},
        {"low": 1.0, "high": float("inf")},
        {"low": float("nan"), "high": 1.0},
        {"low": 1, "high": 9, "step": 3},
        {"low": 0.1, "high": 1.0, "step": 0.4},
    ],
    ids=str,
)
def test_what_is_no_choice_is_refused(said: Any):
    with pytest.raises(InputError, match=r"search\.key: "):
        choice("key", said)


@pytest.mark.parametrize(
    ("said", "legal"),
    [
        (["a", None, True], ["a", None, True]),
        ({"low": 1, "high": 3}, [1, 2, 3]),
        ({"low": 2, "high": 6, "step": 2}, [2, 4, 6]),
        ({"low": 0.5, "high": 1, "step": 0.25}, [0.5, 0.75, 1.0]),
        ({"low": 0.1, "high": 0.4, "step": 0.1}, [0.1, 0.2, pytest.approx(0.3), 0.4]),
    ],
    ids=str,
)
def test_a_choice_suggests_its_values(said: Any, legal: list[Any]):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {study.ask({"key": choice("key", said)}).params["key"] for _ in range(40)}
    assert len(found) == len(legal)
    assert all(one in legal for one in found)


def test_the_panel_is_reported_by_epochs_of_the_whole_run_and_prunes():
    told, answers = [], iter([False, True])
    trial = SimpleNamespace(report=lambda value, step: told.append((value, step)), should_prune=lambda: next(answers))
    prune = Prune(trial, before={0: 0, 1: 5}, by_agreement=False)
    metrics = {"largest/cross_entropy": 2.0, "smallest/cross_entropy": 4.0, "largest/top1": 0.3, "panel/kendall": 0.6}
    trainer = SimpleNamespace(callback_metrics=metrics, sanity_checking=False, current_epoch=2)
    prune.on_validation_end(trainer, SimpleNamespace(stage=SimpleNamespace(index=0)))
    prune.by_agreement = True
    with pytest.raises(optuna.TrialPruned):
        prune.on_validation_end(trainer, SimpleNamespace(stage=SimpleNamespace(index=1)))
    assert told == [(3.0, 3), (0.6, 8)]
    prune.on_validation_end(SimpleNamespace(**{**vars(trainer), "callback_metrics": {}}), SimpleNamespace(stage=SimpleNamespace(index=1)))
    assert len(told) == 2


STRIKING = [*SHORT, "plugins=[tests]", "trainer.callbacks=[{_target_: tests.strike.Strike, step: 2}]"]


def start(folder: Path, *more: str, strike: int = 0) -> subprocess.Popen[str]:
    """Runs a study in a process of its own, which may strike itself in its first trial."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "STRIKE": str(strike)}
    listed = ",".join(json.dumps(one) for one in (*OVERRIDES, *STRIKING))
    command = [sys.executable, "-m", "nas_lightning.commands.tune", *given(folder, f"overrides=[{listed}]", "pruning=none", *more)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(process: subprocess.Popen[str], code: int = 0) -> None:
    said = process.communicate(timeout=1200)[0]
    assert process.returncode == code, said[-3000:]


@pytest.mark.slow
def test_two_processes_share_a_study_and_one_that_is_killed_loses_nothing(tmp_path: Path):
    folder = tmp_path / "study"
    end(start(folder, "trials=1"))
    end(start(folder, "trials=6", strike=signal.SIGKILL), -signal.SIGKILL)
    for one in [start(folder, "trials=6") for _ in range(2)]:
        end(one)
    found = trials(folder)
    ended = [one for one in found if one.state.name == "COMPLETE"]
    assert 6 <= len(ended) <= 7  # the other may have had one in hand when the sixth ended
    assert [one.number for one in found if one.state.name == "FAIL"] == [1]
    assert [one for one in ended if one.user_attrs.get(FOLDER) == "trials/0001"]
    assert len({one.params["stages.pretrain.optimizer.lr"] for one in ended}) == len(ended)
