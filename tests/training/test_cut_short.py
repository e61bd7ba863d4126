"""A stage that is stopped within an epoch resumes to the same bits; one that EarlyStopping ends is finished."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, timer
from test_going_on import Stopped, assert_same_run, count_steps, stop_at, train

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.prepare import prepare
from nas_lightning.commands.run import run_experiment
from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from nas_lightning.training.checkpoints import StageCheckpoints
from nas_lightning.training.module import SupernetTraining
from tests.composing import composed

QUIET = ("standalone.enabled=false", "ranking.enabled=false")


def train_watched(folder: Path, *watching: pl.Callback, overrides: tuple[str, ...] = ()) -> None:
    """The stages of micro with further callbacks, as a study adds its own."""
    node = composed("config", "experiment=micro", f"run_dir={folder}", *QUIET, *overrides)
    config = read(TrainConfig, node)
    run_experiment(config, folder, prepare(config), watching)


class StopAfter(pl.Callback):
    """Asks for the end after a step of the whole run, counted from 1."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.step -= 1
        trainer.should_stop = trainer.should_stop or self.step == 0


class StopAfterEpoch(pl.Callback):
    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        trainer.should_stop = True


@pytest.mark.parametrize("step", [pytest.param(step, marks=() if step in (2, 3, 9, 10) else pytest.mark.slow) for step in range(1, 13)])
def test_a_callback_that_stops_a_stage_anywhere_costs_no_bit(step: int, micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ends_stage = step in (6, 9, 12)  # pretrain has 2 epochs of 3 steps, finetune and distill_1 have 1
    if ends_stage:
        train_watched(tmp_path, StopAfter(step))
    else:
        with pytest.raises(InputError, match=rf"was stopped after {(step - 1) % 3 + 1 if step > 6 else step} of [36] steps .*max_time"):
            train_watched(tmp_path, StopAfter(step))
    steps = count_steps(monkeypatch)
    train(tmp_path)
    assert len(steps) == (0 if ends_stage else 12 - step)
    assert_same_run(tmp_path, micro)


@pytest.mark.slow
def test_a_callback_that_stops_at_an_epochs_end_costs_no_bit(micro: Path, tmp_path: Path):
    with pytest.raises(InputError, match="was stopped after 3 of 6 steps"):
        train_watched(tmp_path, StopAfterEpoch())
    train(tmp_path)
    assert_same_run(tmp_path, micro)


@pytest.mark.slow
def test_a_callback_that_stops_again_and_again_loses_no_step(micro: Path, tmp_path: Path):
    for steps in (2, 2, 3, 1, 2, 1):
        with pytest.raises(InputError, match="was stopped after"):
            train_watched(tmp_path, StopAfter(steps))
    train(tmp_path)
    assert_same_run(tmp_path, micro)


@pytest.mark.slow
def test_max_time_counts_anew_in_every_call(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(timer, "time", SimpleNamespace(monotonic=lambda: 60 * next(clock)))  # seconds
    calls, steps = 0, count_steps(monkeypatch)
    while not (tmp_path / "supernet.safetensors").exists():
        calls += 1
        before = len(steps)
        with contextlib.suppress(InputError):
            train(tmp_path, "trainer.max_time=00:00:02:00")
        assert len(steps) > before
    assert calls > 2
    assert len(steps) == 12
    assert_same_run(tmp_path, micro)


class StopAtFirstEvaluation(pl.Callback):
    def on_validation_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        trainer.should_stop = not trainer.sanity_checking


@pytest.mark.slow
def test_a_stop_at_an_evaluation_within_an_epoch_costs_no_bit(tmp_path: Path):
    often = ("trainer.val_check_interval=2", "loader.batch_size=32")
    train_watched(tmp_path / "whole", overrides=often)
    with pytest.raises(InputError, match="was stopped after 3 of 10 steps"):  # put off by a step
        train_watched(tmp_path / "cut", StopAtFirstEvaluation(), overrides=often)
    train_watched(tmp_path / "cut", overrides=often)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 4, 5, 7])
def test_a_stop_beside_an_evaluation_loses_no_row_of_the_panel(step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    often = ("trainer.val_check_interval=2", "loader.batch_size=32", "save_every_steps=1")  # 5 steps an epoch
    train_watched(tmp_path / "whole", overrides=often)
    with pytest.raises(InputError, match="was stopped after"):
        train_watched(tmp_path / "cut", StopAfter(step), overrides=often)
    undo = stop_at(monkeypatch, SupernetTraining, "training_step", 3)
    with pytest.raises(Stopped):  # a kill
        train_watched(tmp_path / "cut", overrides=often)
    undo()
    train_watched(tmp_path / "cut", overrides=often)
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


EARLY = {"monitor": "top1", "mode": "max", "min_delta": 1.0, "patience": 1}
"""No accuracy gains a whole 1, so that the second epoch ends a stage."""
LONG = ("stages.pretrain.epochs=4",)


@pytest.mark.slow
def test_a_stage_that_early_stopping_ends_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    train_watched(tmp_path, EarlyStopping(**EARLY), overrides=LONG)
    told = capsys.readouterr().err
    assert "pretrain: ended after 6 of 12 steps, by EarlyStopping: Monitored metric top1 did not improve" in told
    header = torch.load(tmp_path / "stages/pretrain/last.ckpt", weights_only=True)["nas_lightning"]
    assert header["finished"]
    assert "top1 did not improve" in header["ended_early"]
    steps = count_steps(monkeypatch)
    train(tmp_path, *LONG)
    assert steps == []


@pytest.mark.slow
def test_a_kill_before_an_early_end_is_marked_trains_no_epoch_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train_watched(tmp_path / "whole", EarlyStopping(**EARLY), overrides=LONG)
    undo = stop_at(monkeypatch, StageCheckpoints, "on_train_epoch_end", 2, after=True)
    with pytest.raises(Stopped):
        train_watched(tmp_path / "killed", EarlyStopping(**EARLY), overrides=LONG)
    undo()
    steps = count_steps(monkeypatch)
    train_watched(tmp_path / "killed", EarlyStopping(**EARLY), overrides=LONG)
    assert len(steps) == 6  # of finetune and distill_1
    assert (tmp_path / "killed/supernet.safetensors").read_bytes() == (tmp_path / "whole/supernet.safetensors").read_bytes()


@pytest.mark.slow
def test_a_stage_under_early_stopping_resumes_before_its_first_check(tmp_path: Path):
    train_watched(tmp_path / "whole", EarlyStopping(**EARLY), overrides=LONG)
    with pytest.raises(InputError, match="was stopped after 2 of 12 steps"):
        train_watched(tmp_path / "cut", EarlyStopping(**EARLY), StopAfter(2), overrides=LONG)
    train_watched(tmp_path / "cut", EarlyStopping(**EARLY), overrides=LONG)
    assert (tmp_path / "cut/supernet.safetensors").read_bytes() == (tmp_path / "whole/supernet.safetensors").read_bytes()


@pytest.mark.parametrize("rule", [{"divergence_threshold": 0.99, "mode": "max"}, {"divergence_threshold": 0.001, "mode": "min"}])
def test_a_stage_that_early_stopping_calls_diverged_has_no_result(rule: dict[str, Any], tmp_path: Path):
    with pytest.raises(InputError, match=r"stages\.pretrain: EarlyStopping after step 3: Divergence threshold reached"):
        train_watched(tmp_path, EarlyStopping(monitor="top1", **rule))
    assert not (tmp_path / "supernet.safetensors").exists()


@pytest.mark.parametrize(
    ("make", "name"), [(lambda: EarlyStopping("val_loss"), "EarlyStopping"), (lambda: ModelCheckpoint(monitor="acc"), "ModelCheckpoint")]
)
def test_a_callback_that_waits_for_what_nothing_logs_is_refused(
    make: Callable[[], pl.Callback], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    steps = count_steps(monkeypatch)
    with pytest.raises(InputError, match=rf"trainer\.callbacks: {name} monitors .*, which no stage logs; known: loss, lr, .*largest/top1"):
        train_watched(tmp_path, make())
    assert steps == []


class OwnState(pl.Callback):
    """A callback of the user's own whose state grows."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seen.append(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "best": float("inf"), "last": self.seen[-1] if self.seen else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = list(state_dict["seen"])


@pytest.mark.slow
def test_the_state_of_ones_own_callback_is_taken_as_it_is(tmp_path: Path):
    with pytest.raises(InputError, match="was stopped after 2 of 6 steps"):
        train_watched(tmp_path, OwnState(), StopAfter(2))
    resumed = OwnState()
    train_watched(tmp_path, resumed)
    assert resumed.seen[:6] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_checkpoint_owed_beside_an_epochs_end_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[int] = []
    write = StageCheckpoints._write_last

    def counted(self: StageCheckpoints, trainer: pl.Trainer) -> None:
        written.append(trainer.global_step)
        write(self, trainer)

    monkeypatch.setattr(StageCheckpoints, "_write_last", counted)
    often = ("trainer.val_check_interval=4", "loader.batch_size=32", "save_every_steps=4")  # 5 steps an epoch
    train_watched(tmp_path, overrides=often)
    assert written == [5, 8, 10, 5, 5]  # after step 4 an evaluation follows, and then the epoch's end
