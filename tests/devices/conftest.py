"""Starts programs of two processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 1200
"""Seconds after which a program is taken to hang."""


def launch(*arguments: object, processes: int = 2, timeout: float = LONGEST) -> subprocess.CompletedProcess[str]:
    """A program in several processes with a thread each, started by torchrun, on a port of its own."""
    return shell("-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone", *arguments, timeout=timeout)


def shell(*arguments: object, timeout: float = LONGEST) -> subprocess.CompletedProcess[str]:
    """A Python program with one thread a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``python("train.py", "experiment=micro")`` in a process of its own."""
    return shell


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun("program.py", ...)`` in two processes."""
    return launch
