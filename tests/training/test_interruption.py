"""What is noticed of a signal, and when."""

import os
import signal

import pytest
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from nas_lightning.devices.trainer import make_trainer
from nas_lightning.training.interruption import Interruption


def test_a_signal_during_the_agreement_counts_at_the_next_one(monkeypatch: pytest.MonkeyPatch):
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


def test_a_signal_for_slurm_is_left_to_whoever_handles_it(monkeypatch: pytest.MonkeyPatch):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert interruption.agree() == (None, False)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        monkeypatch.setenv("SLURM_NTASKS", "1")  # Lightning requeues the job itself
        with Interruption():
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # but not that of somebody at a terminal
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert interruption.agree() == (signal.SIGUSR1, False)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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


def test_a_signal_that_came_after_the_last_agreement_is_raised_again():
    acted: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: acted.append(signum))
    try:
        with Interruption() as interruption:
            assert interruption.agree() == (None, False)
            os.kill(os.getpid(), signal.SIGTERM)
            assert not acted
        assert acted == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


class Acted(Exception):
    pass


def test_lightning_has_what_is_kept_from_acting():
    assert callable(_SignalConnector._sigterm_notifier_fn)
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
