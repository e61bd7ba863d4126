"""What is shown while candidates are trained alone."""

import pytest

from nas_lightning.devices import progress
from nas_lightning.standalone.progress import TruthProgress


def test_each_training_alone_shows_its_epoch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = TruthProgress(trainings=3, epochs=4, processes=1, is_shown=True)
    for _ in range(4):
        now[0] += 60
        shown.epoch()
    shown.end()
    now[0] += 60
    shown.epoch()
    shown.end()  # diverged in its second epoch
    assert capsys.readouterr().err.splitlines() == [
        "training 1 of 3, epoch 2 of 4: 1 of 12 epochs, 11.0 minutes left",
        "training 1 of 3, epoch 3 of 4: 2 of 12 epochs, 10.0 minutes left",
        "training 1 of 3, epoch 4 of 4: 3 of 12 epochs, 9.0 minutes left",
        "training 1 of 3, epoch 4 of 4: 4 of 12 epochs, 8.0 minutes left",
        "training 2 of 3, epoch 2 of 4: 5 of 12 epochs, 7.0 minutes left",
    ]
    assert shown.progress.count == 8


def test_side_by_side_the_time_left_is_told_once_as_many_have_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = TruthProgress(trainings=6, epochs=4, processes=2, is_shown=True)
    for minutes in (4.0, 4.1, 8.1):  # pairs, each of four minutes
        now[0] = 60 * minutes
        shown.end()
    assert capsys.readouterr().err.splitlines() == ["trained 1 of 6: 4 of 24 epochs", "trained 3 of 6: 12 of 24 epochs, 8.1 minutes left"]
