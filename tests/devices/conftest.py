"""Starts programs of two processes."""

import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def torchrun(python: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``torchrun("program.py", ...)`` in two processes with a thread each, on a port of its own."""

    def launch(*arguments: object) -> subprocess.CompletedProcess[str]:
        return python("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", *arguments)

    return launch
