"""Lets one job of a multirun train on several devices: Lightning starts a process a device from this process's own command line."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig

LAUNCH = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What Lightning leaves in the environment; the next job would take itself for one of the processes of this one."""


@contextmanager
def as_a_run_of_its_own(command: str) -> Iterator[None]:
    """For its duration the process looks as if started for this job alone; else each further process would start the whole multirun.

    Args:
        command: the module that starts it.
    """
    hydra, main = HydraConfig.get(), sys.modules["__main__"]
    if "LOCAL_RANK" in os.environ:  # one of the further processes itself, or of a launch from outside
        yield
        return
    argv, spec = sys.argv, getattr(main, "__spec__", None)
    further = [one.path for one in hydra.runtime.config_sources if one.provider == "command-line"]
    folders = [part for path in further for part in ("--config-dir", path)]
    sys.argv = [argv[0], *folders, *hydra.overrides.task, "hydra.mode=RUN"]
    main.__spec__ = importlib.util.find_spec(command)  # a launcher's worker was started from a program of the launcher
    try:
        yield
    finally:
        sys.argv, main.__spec__ = argv, spec
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in LAUNCH:
            os.environ.pop(name, None)
