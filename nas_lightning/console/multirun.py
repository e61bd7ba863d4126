"""Lets one job of a multirun train on several devices: Lightning starts them from this process's command line."""

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig

from nas_lightning.devices.launch import GRACE_SECONDS, watches

JOB_VARIABLE = "NAS_LIGHTNING_JOB"
"""Within a job: its overrides that are not those of the whole multirun."""


def job_name() -> str:
    """The number of this job of a multirun, and what sets it apart from the others."""
    return ": ".join(filter(None, (f"job {HydraConfig.get().job.num}", os.environ.get(JOB_VARIABLE))))


@contextmanager
def as_a_run_of_its_own(command: str, typed: Sequence[str]) -> Iterator[None]:
    """Within it the process looks as if started for this job; otherwise its child processes would start the multirun.

    Args:
        command: the module that starts the job.
        typed: the arguments of the multirun.
    """
    hydra, main = HydraConfig.get(), sys.modules["__main__"]
    if "LOCAL_RANK" in os.environ:  # a child process itself, or one of an outside launcher
        yield
        return
    argv, spec, environment = sys.argv, getattr(main, "__spec__", None), dict(os.environ)
    given = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    folders = [part for path in given for part in ("--config-dir", path)]
    paths = [override for override in hydra.overrides.hydra if override.startswith("hydra.searchpath=")]
    os.environ[JOB_VARIABLE] = ", ".join(override for override in hydra.overrides.task if override not in typed)
    sys.argv = [argv[0], *folders, *paths, *hydra.overrides.task, "hydra.mode=RUN"]
    main.__spec__ = importlib.util.find_spec(command)  # a launcher's worker has the launcher's own
    grace = 0.0  # a failed job's processes have nothing to finish
    try:
        yield
        grace = GRACE_SECONDS
    finally:
        sys.argv, main.__spec__ = argv, spec
        import torch

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for watch in watches():  # it would end this process in the middle of its next job if a process of this one had failed
            watch.dismiss(grace)
        os.environ.clear()  # with what Lightning leaves behind, the next job would pass for a process of this one
        os.environ.update(environment)
