"""How every console entry starts Hydra, and how it ends when the user made a mistake: one line and exit code 2."""

import errno
import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nas_lightning.commands.conf_folder import conf_folder
from nas_lightning.commands.foreign import checked
from nas_lightning.commands.mistakes import in_one_line, unknown_key
from nas_lightning.commands.multirun import GRACE, as_a_run_of_its_own
from nas_lightning.errors import InputError
from nas_lightning.machine import end_with_parent, tune_process
from nas_lightning.processes import check_common_folder

Task = Callable[[DictConfig], Any]
RUN_DIR_VARIABLE = "NAS_LIGHTNING_RUN_DIR"
"""Carries the run folder to the processes that Lightning starts for further devices, whose own clock would name another."""
PARENT_VARIABLE = "NAS_LIGHTNING_PARENT"
"""Tells them the number of the process that starts them."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a library's writer, such as TensorBoard's, meets on a full or read-only disk; our own files tell it themselves."""


def start(task: Task, config_name: str) -> None:
    """Runs ``task`` on the composed config."""
    tune_process()
    if is_started_by_lightning():
        end_with_parent(int(os.environ[PARENT_VARIABLE]))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets errors through to the lines below
    composed = False

    @functools.wraps(task)
    def guarded(cfg: DictConfig) -> Any:
        nonlocal composed
        composed = True
        try:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                tune_process()  # it may be a launcher's worker
                with as_a_run_of_its_own(task.__module__):
                    return task(cfg)
            return task(cfg)
        except (InputError, OmegaConfBaseException) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # a launcher's worker reports it to its parent
            _stop(in_one_line(error))  # at once: Hydra would print a line of its own before it passes the error on
        except OSError as error:
            if error.errno not in UNWRITABLE or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            place = error.filename or f"a file of {os.environ.get(RUN_DIR_VARIABLE, 'the run')}"
            _stop(f"{place}: cannot be written ({error.strerror})")

    try:
        command_line = get_args_parser().parse_args()
        if command_line.experimental_rerun is not None:
            raise InputError("--experimental-rerun: is not supported, as it unpickles a file; give the run's overrides")
        with checked(command_line.overrides):
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=config_name)(guarded)()
    except KeyboardInterrupt:
        print("stopped by SIGINT; give the same run_dir, or hydra.sweep.dir, again to go on", file=sys.stderr)
        sys.exit(130)
    except SystemExit as stop:
        if message := getattr(stop, "message", None):  # a stage that stopped on request
            print(f"{message}; give the same run_dir again to go on", file=sys.stderr)
        if type(stop).__name__ == "SIGTERMException":  # Lightning's, which has no exit code: it would pass for success
            print("stopped by SIGTERM; give the same run_dir again to go on", file=sys.stderr)
            sys.exit(128 + signal.SIGTERM)
        raise
    except (InputError, HydraException, OmegaConfBaseException) as error:
        _stop(unknown_key(error, config_name, sys.argv[1:]) or in_one_line(error))
    except (YAMLError, ValueError) as error:
        if composed:
            raise  # a bug of ours
        _stop(in_one_line(error))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The composed config as plain containers, interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def is_started_by_lightning() -> bool:
    """Whether this is one of the further processes of a launch, not its first, and not one of torchrun's or Slurm's."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and "RANK" not in os.environ and RUN_DIR_VARIABLE in os.environ


def run_folder(configured: str, resume: str | None, claimed: str = "") -> Path:
    """The run's folder: as configured, in a multirun the job's own.

    Args:
        configured: ``run_dir``.
        resume: ``auto`` takes the newest folder of a run beside the configured one, where there is any.
        claimed: what of a run folder the command claims by its config; the whole if empty.

    Raises:
        InputError: if both a folder and ``auto`` are asked for.
    """
    hydra_config = HydraConfig.get()
    is_given = any(one.lstrip("+").startswith("run_dir=") for one in hydra_config.overrides.task)
    if resume == "auto" and is_given:
        raise InputError("resume: auto cannot go with run_dir, which names a folder itself; give one of them")
    if hydra_config.mode == RunMode.MULTIRUN:
        if resume == "auto":
            raise InputError("resume: auto cannot go with a multirun; give hydra.sweep.dir, the folder of the one to go on with")
        check_common_folder(any(one.startswith("hydra.sweep.dir=") for one in hydra_config.overrides.hydra))
        return _told(Path(hydra_config.runtime.output_dir))
    if is_started_by_lightning():
        return Path(os.environ[RUN_DIR_VARIABLE])
    check_common_folder(is_given)
    return _told(_newest_beside(Path(configured), claimed) if resume == "auto" else Path(configured))


def _told(folder: Path) -> Path:
    """The folder, once the processes that this one may start are told of it."""
    os.environ[RUN_DIR_VARIABLE], os.environ[PARENT_VARIABLE] = str(folder), str(os.getpid())
    return folder


def _newest_beside(folder: Path, claimed: str) -> Path:
    """The run beside ``folder`` that was begun last; ``folder`` itself where there is none."""
    begun = {run: config.stat().st_mtime_ns for run in folder.parent.glob("*") if (config := run / claimed / "config.yaml").is_file()}
    return max(begun, key=lambda run: begun[run], default=folder)


def _stop(line: str) -> NoReturn:
    shown = " ".join(line.split())
    # Names in foreign files may hold what moves a terminal's cursor or changes its colours.
    print(f"error: {''.join(one if one.isprintable() else ascii(one)[1:-1] for one in shown)}", file=sys.stderr, flush=True)
    if is_started_by_lightning():
        time.sleep(GRACE)  # the first process stops, too; Lightning would kill it on the way out if it saw that this one has failed
    sys.exit(2)
