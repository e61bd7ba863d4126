"""What a stage shows of itself and of the stages that follow."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas_lightning.devices import progress
from nas_lightning.training.progress import StageProgress
from tests.stages import make_module, make_supernet


def stage(name: str, epochs: int, paths: int, max_steps: int | None = None) -> Any:
    steps = lambda per_epoch: min(epochs * per_epoch, max_steps or 10**9)  # noqa: E731
    return SimpleNamespace(name=name, sampler=SimpleNamespace(paths=paths), steps=steps)


STAGES = [stage("pretrain", 2, 2), stage("finetune", 1, 4), stage("distill", 9, 2, max_steps=5)]


@pytest.mark.parametrize("resumed_at", [0, 6])
def test_the_time_of_all_stages_counts_steps_and_paths_of_the_later_ones(
    resumed_at: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        world_size=1,
        estimated_stepping_batches=20,
        num_training_batches=10,
        global_step=resumed_at,
        callback_metrics={"loss": torch.tensor(1.25), "epoch_loss": torch.tensor(1.5), "top1": torch.tensor(0.5)},
    )
    shown = StageProgress(STAGES, 0)
    shown.on_train_start(trainer, make_module(make_supernet()))
    for _ in range(3):
        now[0] += 30
        shown.on_train_batch_end(trainer)
    done = resumed_at + 1
    # 30 s a step; the second stage's 10 steps have twice the paths, the third has 5 steps.
    left, whole = progress.duration(30 * (20 - done)), progress.duration(30 * (20 - done + 20 + 5))
    first = f"stage 1 of 3 (pretrain): {done} of 20 steps, {left} left, all stages {whole}, loss 1.25"
    assert capsys.readouterr().err.splitlines()[0] == first
    shown.on_train_end(trainer, make_module(make_supernet()))
    assert capsys.readouterr().err == f"stage 1 of 3 (pretrain): {resumed_at} steps in 90 s, loss 1.500, top-1 0.500\n"


def test_the_last_stage_shows_only_its_own_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(progress, "FIRST", -1.0)
    trainer: Any = SimpleNamespace(
        is_global_zero=True, world_size=1, estimated_stepping_batches=5, num_training_batches=10, global_step=0, callback_metrics={}
    )
    shown = StageProgress(STAGES, 2)
    shown.on_train_start(trainer, make_module(make_supernet()))
    shown.on_train_batch_end(trainer)
    assert capsys.readouterr().err == "stage 3 of 3 (distill): 1 of 5 steps, 0 s left\n"
