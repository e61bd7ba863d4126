"""The processes of one launch, one per device: Lightning, torchrun and Slurm pass the rank in the environment."""

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
"""Their variables; 0 is the first of all processes, the first of a machine, or the first machine."""

GRACE_SECONDS = 10.0
"""Seconds that a process of a launch has to end by itself, and that a failed one waits for rank zero."""


class Watch(threading.Thread):
    """Ends this process, rank zero, with one line after another process of the launch failed, as it might wait forever.

    Args:
        processes: the other processes, by device from 1.
    """

    def __init__(self, processes: Sequence["subprocess.Popen[Any]"]) -> None:
        super().__init__(daemon=True, name="watch over the processes of the launch")
        self.processes = processes
        self._dismissed = threading.Event()

    def run(self) -> None:
        """Checks every second; this process first has time to notice and report the loss itself."""
        while not self._dismissed.wait(1.0):
            if any(process.poll() for process in self.processes):
                if not self._dismissed.wait(GRACE_SECONDS):
                    print(f"error: {self.lost()}", file=sys.stderr, flush=True)
                    self._kill()
                    os._exit(2)
                return

    def lost(self) -> str | None:
        """How the first of the other processes to end did so; None while all live."""
        for device, process in enumerate(self.processes, start=1):
            if (code := process.poll()) is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"trainer.devices: process {process.pid}, of device {device}, {how}; give the same run_dir again to resume"
        return None

    def dismiss(self, grace: float) -> None:
        """Waits for the other processes to end, up to ``grace`` seconds each, then kills them."""
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
    """The watches of this process."""
    return [thread for thread in threading.enumerate() if isinstance(thread, Watch)]


def lost_process(seconds: float = 2.0) -> str | None:
    """How another process of the launch ended, if one has: the cause of any error of this process.

    Args:
        seconds: how long to wait: a connection closes a little before its process ends.
    """
    until = time.monotonic() + seconds
    while running := watches():
        if (lost := next((line for watch in running if (line := watch.lost())), None)) is not None or time.monotonic() > until:
            return lost
        time.sleep(0.1)
    return None


def is_rank_zero() -> bool:
    """Whether this process writes what a launch writes once; true of a single process."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def check_alone() -> None:
    """Refuses other processes of a launch on one device, which would write nothing of their work."""
    if not is_rank_zero():
        raise InputError(
            "trainer.devices: 1, but several processes were started (srun, torchrun); give as many devices, or start each by itself"
        )


def check_common_folder(is_given: bool) -> None:
    """Refuses processes of an outside launcher without a given run folder: the clock would name each another."""
    count = next((os.environ[name] for name in ("WORLD_SIZE", "SLURM_NTASKS") if os.environ.get(name, "1") != "1"), None)
    is_one_of_several = count is not None and any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "RANK"))
    if not is_given and (is_one_of_several or "NODE_RANK" in os.environ):
        several = f"{count} processes" if count is not None else "processes on several nodes"
        raise InputError(f"run_dir: must be given where {several} are started from outside (torchrun, srun), for all the same")
