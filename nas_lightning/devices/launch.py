"""The processes of one launch, one a device: Lightning, torchrun and Slurm tell each its number through the environment."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from nas_lightning.errors import InputError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""What they tell a process of its place; 0 is the first's, of all, of a machine, or the first machine's."""

GRACE_SECONDS = 10.0
"""Seconds that a process of a launch has to end by itself, and that one which failed waits for the first."""


class Watch(threading.Thread):
    """Ends this process, the first of a launch, in one line after another one of it has failed, for which it might wait for ever.

    Args:
        processes: the others, by device from 1.
    """

    def __init__(self, processes: Sequence["subprocess.Popen[Any]"]) -> None:
        super().__init__(daemon=True, name="watch over the processes of the launch")
        self.processes = processes
        self._dismissed = threading.Event()

    def run(self) -> None:
        """Looks every second; this process has time to notice the loss and to report it by itself."""
        while not self._dismissed.wait(1.0):
            if any(process.poll() for process in self.processes):
                if not self._dismissed.wait(GRACE_SECONDS):
                    print(f"error: {self.lost()}", file=sys.stderr, flush=True)
                    self._kill()
                    os._exit(2)
                return

    def lost(self) -> str | None:
        """How the first of the others that has ended did so; None while all of them live."""
        for device, process in enumerate(self.processes, start=1):
            if (code := process.poll()) is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"trainer.devices: process {process.pid}, of device {device}, {how}; give the same run_dir again to resume"
        return None

    def dismiss(self, grace: float) -> None:
        """Waits until the others have ended; kills those that have not after ``grace`` seconds each."""
        self._dismissed.set()
        for process in self.processes:
            try:
                process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                self._kill()

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def watches() -> list[Watch]:
    """Those of this process."""
    return [thread for thread in threading.enumerate() if isinstance(thread, Watch)]


def lost_process(seconds: float = 2.0) -> str | None:
    """How another process of the launch ended, where one has; an error of this one is then but the echo.

    Args:
        seconds: to wait for it: a connection is closed a little before its process has ended.
    """
    until = time.monotonic() + seconds
    while found := watches():
        if (lost := next((line for watch in found if (line := watch.lost())), None)) is not None or time.monotonic() > until:
            return lost
        time.sleep(0.1)
    return None


def is_rank_zero() -> bool:
    """Whether this process is the one that writes what a launch has once; a process alone is."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def check_alone() -> None:
    """Work for one device is for one process: a further one of a launch would write nothing of what it does.

    Raises:
        InputError: in a further one.
    """
    if not is_rank_zero():
        raise InputError(
            "trainer.devices: 1, but several processes were started (srun, torchrun); give as many devices, or start each by itself"
        )


def check_common_folder(is_given: bool) -> None:
    """Processes that somebody else starts side by side must be told their run folder: the clock names each another.

    Raises:
        InputError: if they were not told.
    """
    count = next((os.environ[name] for name in ("WORLD_SIZE", "SLURM_NTASKS") if os.environ.get(name, "1") != "1"), None)
    is_one_of_several = count is not None and any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "RANK"))
    if not is_given and (is_one_of_several or "NODE_RANK" in os.environ):
        several = f"{count} processes" if count is not None else "processes on several nodes"
        raise InputError(f"run_dir: must be given where {several} are started from outside (torchrun, srun), for all the same")
