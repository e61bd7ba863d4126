"""Lets one job of a multirun train on several devices: Lightning starts a process a device from this process's own command line."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig

from nas_lightning.devices.launch import GRACE_SECONDS, watches

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
    argv, spec, before = sys.argv, getattr(main, "__spec__", None), {name: os.environ.get(name) for name in LAUNCH}
    further = [one.path for one in hydra.runtime.config_sources if one.provider == "command-line"]
    folders = [part for path in further for part in ("--config-dir", path)]
    paths = [one for one in hydra.overrides.hydra if one.startswith("hydra.searchpath=")]
    sys.argv = [argv[0], *folders, *paths, *hydra.overrides.task, "hydra.mode=RUN"]
    main.__spec__ = importlib.util.find_spec(command)  # a launcher's worker was started from a program of the launcher
    grace = 0.0
    try:
        yield
        grace = GRACE_SECONDS
    finally:
        sys.argv, main.__spec__ = argv, spec
        _end_processes(grace)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _end_processes(grace: float) -> None:
    """Waits for the further processes, and dismisses the watch over them: seeing that one of them failed, it would end the process that is
    in the middle of the next job.

    Args:
        grace: seconds that each has; where the job failed they have nothing to end.
    """
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for watch in watches():
        watch.dismiss(grace)
