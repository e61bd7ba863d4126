"""Stages run in order, and a run that was stopped anywhere ends as one that was not: bit by bit."""

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.commands.run import run_experiment
from nas_lightning.config.read import read
from nas_lightning.devices.signals import SIGNALS, Interrupted
from nas_lightning.errors import InputError
from nas_lightning.supernet import Supernet
from nas_lightning.training.checkpoints import StageCheckpoints
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.stage import Stage
from tests.composing import composed

STAGES = ("pretrain", "finetune", "distill_1")


class Stopped(Exception):
    pass


def train(folder: Path, *overrides: str) -> None:
    """The stages of micro alone, as the command wires them."""
    config = read(TrainConfig, composed("config", "experiment=micro", f"run_dir={folder}", *overrides))
    parts = {name: dataclasses.replace(getattr(config, name), enabled=False) for name in ("standalone", "ranking")}
    config = dataclasses.replace(config, **parts)
    run_experiment(config, folder, prepare(config))


def stop_at(monkeypatch: pytest.MonkeyPatch, kind: type, method: str, call: int, *, after: bool = False) -> Callable[[], None]:
    """Raises at the call of that number, counted from 1; returns what undoes it."""
    whole, calls = getattr(kind, method), []

    def counted(self: Any, *arguments: Any, **more: Any) -> Any:
        calls.append(method)
        if len(calls) == call and not after:
            raise Stopped
        result = whole(self, *arguments, **more)
        if len(calls) == call:
            raise Stopped
        return result

    monkeypatch.setattr(kind, method, counted)
    return monkeypatch.undo


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Receives the number of each step that is trained."""
    steps: list[int] = []
    step = SupernetTraining.training_step

    def counted(self: SupernetTraining, *arguments: Any) -> None:
        steps.append(self.global_step)
        step(self, *arguments)

    monkeypatch.setattr(SupernetTraining, "training_step", counted)
    return steps


def assert_same_run(one: Path, other: Path) -> None:
    for stage in STAGES:
        first, second = (torch.load(run / "stages" / stage / "last.ckpt", weights_only=True) for run in (one, other))
        assert_same(first["state_dict"], second["state_dict"], stage)
        assert_same(first["optimizer_states"], second["optimizer_states"], stage)
        assert (first["global_step"], first["epoch"]) == (second["global_step"], second["epoch"])
        tables = [(run / "stages" / stage / "metrics.csv").read_text() for run in (one, other)]
        assert tables[0] == tables[1], stage
    assert (one / "supernet.safetensors").read_bytes() == (other / "supernet.safetensors").read_bytes()


def assert_same(one: Any, other: Any, place: str) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{place}[{index}]")
    else:
        assert one == other, place


POINTS = {  # where a run stops -> the class, its method, which call (pretrain: 2 epochs of 3 steps, finetune and distill: 1)
    "before the first checkpoint": (SupernetTraining, "training_step", 2, False, 0),
    "between two epochs": (SupernetTraining, "on_train_epoch_start", 2, False, 3),
    "within the second epoch": (SupernetTraining, "training_step", 5, False, 3),
    "after the last epoch, before the stage is marked as finished": (SupernetTraining, "on_train_end", 1, True, 6),
    "right after a checkpoint, before the epoch's accuracies are logged": (StageCheckpoints, "on_train_epoch_end", 1, True, 3),
    "within the last stage": (SupernetTraining, "training_step", 11, False, 9),
}


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("stop", [pytest.param(stop, marks=() if stop in (3, 5, 12) else pytest.mark.slow) for stop in range(1, 13)])
def test_with_checkpoints_every_few_steps_a_run_goes_on_within_an_epoch(
    stop: int, every: int, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    undo = stop_at(monkeypatch, SupernetTraining, "training_step", stop)
    with pytest.raises(Stopped):
        train(tmp_path, f"save_every_steps={every}")
    undo()
    steps = count_steps(monkeypatch)
    train(tmp_path)
    assert_same_run(tmp_path, micro)
    kept = {1: stop - 1, 2: max(step for step in (0, 2, 3, 4, 6, 8, 9, 11) if step < stop)}[every]  # an epoch has 3 steps
    assert len(steps) == 12 - kept


@pytest.mark.parametrize("signum", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
@pytest.mark.parametrize("step", [0, 1, 2, 4, 5])
def test_a_run_that_is_asked_to_end_leaves_a_checkpoint_of_its_last_step(
    step: int, signum: signal.Signals, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = SupernetTraining.training_step

    def signalled(self: SupernetTraining, *arguments: Any) -> None:
        if self.global_step == step:
            os.kill(os.getpid(), signum)
        whole(self, *arguments)

    monkeypatch.setattr(SupernetTraining, "training_step", signalled)
    before = {one: signal.getsignal(one) for one in SIGNALS}
    with pytest.raises(Interrupted, match=str(128 + signum)) as stopped:
        train(tmp_path)
    assert {one: signal.getsignal(one) for one in SIGNALS} == before
    assert signum.name in stopped.value.message
    monkeypatch.undo()
    assert torch.load(tmp_path / "stages/pretrain/last.ckpt", weights_only=True)["global_step"] == step + 1
    steps = count_steps(monkeypatch)
    train(tmp_path)
    assert_same_run(tmp_path, micro)
    assert len(steps) == 12 - step - 1


@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")
@pytest.mark.parametrize("signum", [pytest.param(signum, marks=() if signum == signal.SIGTERM else pytest.mark.slow) for signum in SIGNALS])
def test_a_run_asked_to_end_before_its_first_logged_row_resumes(signum: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rarely = "trainer.log_every_n_steps=50"
    train(tmp_path / "whole", rarely)
    whole = SupernetTraining.training_step

    def signalled(self: SupernetTraining, *arguments: Any) -> None:
        os.kill(os.getpid(), signum)
        whole(self, *arguments)

    monkeypatch.setattr(SupernetTraining, "training_step", signalled)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", rarely)
    monkeypatch.undo()
    train(tmp_path / "stopped", rarely)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("signum", [pytest.param(signum, marks=() if signum == signal.SIGTERM else pytest.mark.slow) for signum in SIGNALS])
@pytest.mark.parametrize(("method", "steps_kept"), [("configure_optimizers", 1), ("on_train_start", 1), ("on_train_end", 6)])
def test_a_stop_before_the_first_or_after_the_last_step_is_heeded(
    method: str, steps_kept: int, signum: signal.Signals, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = getattr(SupernetTraining, method)

    def signalled(self: SupernetTraining) -> Any:
        os.kill(os.getpid(), signum)
        return whole(self)

    monkeypatch.setattr(SupernetTraining, method, signalled)
    with pytest.raises(Interrupted, match=str(128 + signum)) as stopped:
        train(tmp_path)
    assert f"{signum.name} after step {steps_kept}: " in stopped.value.message
    monkeypatch.undo()
    assert torch.load(tmp_path / "stages/pretrain/last.ckpt", weights_only=True)["global_step"] == steps_kept
    steps = count_steps(monkeypatch)
    train(tmp_path)
    assert_same_run(tmp_path, micro)
    assert len(steps) == 12 - steps_kept


@pytest.mark.slow
def test_a_stage_that_ends_within_an_epoch_goes_on_within_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shorter = ("++stages.pretrain.max_steps=5", "save_every_steps=1")
    train(tmp_path / "straight", *shorter)
    for stop in (2, 5):
        undo = stop_at(monkeypatch, SupernetTraining, "training_step", stop)
        with pytest.raises(Stopped):
            train(tmp_path / f"stopped_{stop}", *shorter)
        undo()
        train(tmp_path / f"stopped_{stop}", *shorter)
        assert_same_run(tmp_path / f"stopped_{stop}", tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_stopped_goes_on_and_ends_with_the_same_bits(
    point: str, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kind, method, call, after, steps_kept = POINTS[point]
    undo = stop_at(monkeypatch, kind, method, call, after=after)
    with pytest.raises(Stopped):
        train(tmp_path)
    undo()
    steps = count_steps(monkeypatch)
    train(tmp_path)
    assert_same_run(tmp_path, micro)
    assert len(steps) == 12 - steps_kept  # what a checkpoint holds is not repeated


@pytest.mark.slow
def test_each_stage_starts_from_the_weights_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    starts: list[tuple[str, dict[str, torch.Tensor]]] = []

    def look(self: SupernetTraining) -> None:
        weights = {name: tensor.clone() for name, tensor in self.supernet.state_dict().items()}
        starts.append((self.header["stage"], weights))
        begin(self)

    begin = SupernetTraining.on_train_start
    monkeypatch.setattr(SupernetTraining, "on_train_start", look)
    train(tmp_path, "stages.pretrain.epochs=1")
    assert [name for name, _ in starts] == list(STAGES)
    for (_, weights), before in zip(starts[1:], STAGES, strict=False):
        saved = torch.load(tmp_path / "stages" / before / "last.ckpt", weights_only=True)["state_dict"]
        assert all(torch.equal(weights[name], saved[f"supernet.{name}"]) for name in weights)


def test_a_new_optimizer_starts_each_stage(micro: Path):
    for stage, steps in zip(STAGES, (6, 3, 3), strict=True):
        assert torch.load(micro / "stages" / stage / "last.ckpt", weights_only=True)["global_step"] == steps


def test_a_stage_ends_after_max_steps_and_its_schedule_with_it(tmp_path: Path):
    train(
        tmp_path,
        "++stages.pretrain.max_steps=1",
        "++stages.finetune.max_steps=1",
        "++stages.distill_1.max_steps=2",
        "stages.distill_1.epochs=5",
    )
    saved = torch.load(tmp_path / "stages/distill_1/last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    rates = [float(line.split(",")[2]) for line in (tmp_path / "stages/distill_1/metrics.csv").read_text().splitlines()[1:]]
    assert rates == pytest.approx([0.02, 0.01])  # half way down the cosine at the second of two steps


def test_a_half_finished_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    undo = stop_at(monkeypatch, SupernetTraining, "training_step", 5)
    with pytest.raises(Stopped):
        train(tmp_path)
    undo()
    path = tmp_path / "stages/pretrain/last.ckpt"
    saved = torch.load(path, weights_only=True)
    del saved["state_dict"]["skipped"]
    torch.save(saved, path)
    with pytest.raises(InputError, match=r"last\.ckpt: is of another supernet or another version .* such as skipped"):
        train(tmp_path)
    assert torch.load(path, weights_only=True)["global_step"] == 3


def test_a_finished_checkpoint_of_another_supernet_is_refused(micro: Path, tmp_path: Path):
    (tmp_path / "stages" / "pretrain").mkdir(parents=True)
    (tmp_path / "stages/pretrain/last.ckpt").write_bytes((micro / "stages/pretrain/last.ckpt").read_bytes())
    with pytest.raises(InputError, match=r"pretrain/last\.ckpt: does not fit the configured supernet"):
        train(tmp_path, "space.max_widths=[8,12,18]")


def test_a_checkpoint_loads_without_running_code_and_says_what_it_holds(micro: Path):
    header = torch.load(micro / "stages/finetune/last.ckpt", weights_only=True)["nas_lightning"]
    assert (header["stage"], header["finished"], header["data"]["name"]) == ("finetune", True, "digits")
    assert isinstance(Supernet.from_header(header["supernet"]), Supernet)


def make_stage(name: str, epochs: int = 1) -> Stage:
    nothing = dict.fromkeys(("sampler", "objective", "optimizer", "schedule"))
    return Stage(name=name, epochs=epochs, **nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b", "a.", "x" * 101, "x" * 300, "straße", "a\\b", "a:b", "a\n"])
def test_a_stage_whose_name_is_no_folders_is_refused(name: str):
    with pytest.raises(InputError, match=r"a stage's name is letters") as refused:
        make_stage(name)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("name", ["a", "x" * 100, "pre-train_2.b"])
def test_a_stage_may_have_any_name_of_a_folder(name: str):
    assert make_stage(name).name == name


def test_a_stages_steps_are_its_epochs_or_max_steps():
    stage = make_stage("a", 3)
    assert stage.steps(7) == 21
    assert dataclasses.replace(stage, max_steps=5).steps(7) == 5
    assert dataclasses.replace(stage, max_steps=50).steps(7) == 21


@pytest.mark.slow
def test_a_finished_last_stage_resumes_with_more_epochs(tmp_path: Path):
    constant = "stages.distill_1.schedule.final_lr=0.02"  # so that the rate does not depend on how many epochs there are
    train(tmp_path / "whole", constant, "stages.distill_1.epochs=3")
    train(tmp_path / "grown", constant, "stages.distill_1.epochs=1")
    first = torch.load(tmp_path / "grown" / "stages" / "distill_1" / "last.ckpt", weights_only=True)
    train(tmp_path / "grown", constant, "stages.distill_1.epochs=3")
    assert_same_run(tmp_path / "whole", tmp_path / "grown")
    last = torch.load(tmp_path / "grown" / "stages" / "distill_1" / "last.ckpt", weights_only=True)
    assert (first["epoch"], last["epoch"], last["global_step"]) == (1, 3, 3 * first["global_step"])
