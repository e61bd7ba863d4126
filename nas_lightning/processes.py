"""The processes of one launch, one a device: Lightning, torchrun and Slurm tell each its number through the environment."""

import os

from nas_lightning.errors import InputError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""What they tell a process of its place; 0 is the first's, of all, of a machine, or the first machine's."""


def is_first() -> bool:
    """Whether this process is the one that writes what a launch has once; a process alone is."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def check_alone() -> None:
    """Work for one device is for one process: a further one of a launch would write nothing of what it does.

    Raises:
        InputError: in a further one.
    """
    if not is_first():
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
