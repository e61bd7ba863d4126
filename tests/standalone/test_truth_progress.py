"""What is shown while candidates are trained alone."""

import pytest

from nas_lightning.devices import progress
from nas_lightning.standalone.progress import TruthProgress


def test_each_training_alone_shows_its_epoch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = TruthProgress(trainings=3, epochs=4, tells_epochs=True, is_shown=True)
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
