"""The signals that ask a process to end, and their handlers. Imports nothing heavy."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, a request to end, a terminal's hang-up, and Slurm's warning before a time limit (``--signal=USR1@90``)."""
Handler = Callable[[int, FrameType | None], None]


class Interrupted(SystemExit):
    """Work stopped on request; the exit code is the shell's for the signal."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(128 + signum)
        self.signum, self.message = signum, message

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, str]]:
        return Interrupted, (self.signum, self.message)  # pickled by a launcher's worker


@contextmanager
def ending_on_request() -> Iterator[None]:
    """Within it a signal raises ``Interrupted`` in the main thread; handlers set by others stay.

    Otherwise SIGTERM would skip every ``finally``, and Lightning would turn Ctrl-C into a silent exit code 1.
    """
    ours = [signal.SIG_DFL, signal.default_int_handler, _end]
    before = take_over(_end, [signum for signum in SIGNALS if signal.getsignal(signum) in ours])
    try:
        yield
    finally:
        give_back(before)


def leave_to_parent(*_: object) -> None:
    """Lets a worker ignore the signals: a terminal, timeout or Slurm also sends them to its parent, which ends it."""
    if threading.current_thread() is threading.main_thread():
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)


@contextmanager
def starting_deaf() -> Iterator[None]:
    """Within it processes are started that never receive a terminal's signals, not even while they import; ours wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else the first start would, and unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signum for signum in SIGNALS if signum != signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_over(handler: Handler, signals: Sequence[int] = SIGNALS) -> dict[int, Any]:
    """Sets the handler of the signals that this process heeds; returns the previous handlers, for ``give_back``.

    A signal ignored from the start stays ignored, as Ctrl-C in a background job and SIGHUP under nohup. SIGUSR1 is left
    to an existing handler, and to Lightning when it runs under srun and requeues the job.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    heeded = [signum for signum in signals if signal.getsignal(signum) is not signal.SIG_IGN]
    # Lightning's own rule; not in Slurm's interactive jobs, by their names.
    lightning_requeues = "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    usr1 = getattr(signal, "SIGUSR1", None)
    if usr1 in heeded and (lightning_requeues or signal.getsignal(usr1) not in (signal.SIG_DFL, _end)):
        heeded.remove(usr1)
    return {signum: signal.signal(signum, handler) for signum in heeded}


def give_back(before: Mapping[int, Any]) -> None:
    """Restores the handlers that ``take_over`` returned."""
    for signum, handler in before.items():
        signal.signal(signum, handler if handler is not None else signal.SIG_DFL)


def _end(signum: int, _: FrameType | None) -> None:
    raise Interrupted(signum, f"stopped by {signal.Signals(signum).name}")
