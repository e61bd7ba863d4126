"""What a signal does to a process that works: it ends in one exception, unless whoever started it wants it ignored."""

import os
import pickle
import signal
import threading

import pytest

from nas_lightning.devices.signals import SIGNALS, Interrupted, ending_on_request, take_over


@pytest.fixture(autouse=True)
def _handlers_stay():
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def test_ctrl_c_terminate_hang_up_and_slurms_warning_are_heeded():
    assert SIGNALS == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_ends_the_work_and_the_handlers_are_put_back(signum: signal.Signals):
    before = {one: signal.getsignal(one) for one in SIGNALS}
    with pytest.raises(Interrupted) as stopped, ending_on_request():
        os.kill(os.getpid(), signum)
    assert (stopped.value.code, stopped.value.message) == (128 + signum, f"stopped by {signum.name}")
    assert {one: signal.getsignal(one) for one in SIGNALS} == before


@pytest.mark.parametrize("signum", SIGNALS)
def test_what_is_ignored_stays_ignored(signum: signal.Signals):
    signal.signal(signum, signal.SIG_IGN)  # nohup's SIGHUP, a background job's SIGINT
    with ending_on_request():
        os.kill(os.getpid(), signum)
    assert signal.getsignal(signum) is signal.SIG_IGN


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_handler_of_somebody_else_stays(signum: signal.Signals):
    seen: list[int] = []
    signal.signal(signum, lambda number, _: seen.append(number))  # submitit's, of its own requeue
    with ending_on_request():
        os.kill(os.getpid(), signum)
    assert seen == [signum]


def test_slurms_warning_is_left_to_lightning_where_it_requeues(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_NTASKS", "1")
    with ending_on_request():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.SIGUSR1 not in take_over(lambda *_: None)


def test_a_thread_that_cannot_set_handlers_works_without():
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with ending_on_request():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


def test_a_worker_hands_over_that_it_was_stopped():
    stopped = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, "stopped by SIGTERM")))
    assert (stopped.code, stopped.message) == (143, "stopped by SIGTERM")
