"""What is noticed of a signal, and when."""

import os
import signal

import pytest
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from nas_lightning.pipeline.interruption import Interruption


def test_a_signal_that_arrives_while_the_processes_agree_is_told_the_next_time(monkeypatch: pytest.MonkeyPatch):
    with Interruption() as interruption:
        interruption._group = "of two processes"
        monkeypatch.setattr("torch.distributed.all_reduce", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        assert interruption.agree() is None
        monkeypatch.setattr("torch.distributed.all_reduce", lambda *_, **__: None)
        assert interruption.agree() == signal.SIGTERM


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert interruption.agree() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_lightning_has_what_is_kept_from_acting():
    assert callable(_SignalConnector._sigterm_notifier_fn)
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
