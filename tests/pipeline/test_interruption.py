"""What is noticed of a signal, and when."""

import os
import signal

import pytest
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from nas_lightning.pipeline.interruption import SIGNALS, Interruption
from nas_lightning.trainer import make_trainer


def test_a_signal_that_arrives_while_the_processes_agree_is_told_the_next_time(monkeypatch: pytest.MonkeyPatch):
    with Interruption() as interruption:
        interruption._group = "of two processes"
        monkeypatch.setattr("torch.distributed.all_reduce", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        assert interruption.agree() == (None, False)
        monkeypatch.setattr("torch.distributed.all_reduce", lambda *_, **__: None)
        assert interruption.agree() == (signal.SIGTERM, False)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert interruption.agree() == (None, False)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_second_signal_acts_at_once_whenever_the_first_one_came(signum: signal.Signals):
    def act(*_: object) -> None:
        raise Acted

    before = signal.signal(signum, act)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signum)
            connector = _SignalConnector(make_trainer({"accelerator": "cpu"}))
            connector._sigterm_notifier_fn = lambda *_: None
            connector.register_signal_handlers()  # Lightning does, after the first
            with pytest.raises(Acted):
                os.kill(os.getpid(), signum)
            connector.teardown()
            assert interruption.agree(True) == (signum, True)
        assert signal.getsignal(signum) is act
    finally:
        signal.signal(signum, before)


class Acted(Exception):
    pass


def test_lightning_has_what_is_kept_from_acting():
    assert callable(_SignalConnector._sigterm_notifier_fn)
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
