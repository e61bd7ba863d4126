"""Starts Hydra for every console entry; a user's mistake ends in one line and exit code 2."""

import errno
import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm
from yaml import YAMLError

from nas_lightning.console.foreign import Base, checked, values_of
from nas_lightning.console.help import help_of
from nas_lightning.console.idle_keys import check_idle
from nas_lightning.console.inputs import check_inputs
from nas_lightning.console.mistakes import in_one_line, is_of_a_lost_worker, misfit, unknown_group, unknown_key
from nas_lightning.console.multirun import as_a_run_of_its_own
from nas_lightning.console.overrides import in_hydras_order, readable, with_home
from nas_lightning.devices.launch import GRACE_SECONDS, check_common_folder, is_rank_zero, lost_process
from nas_lightning.devices.process import configure_process, end_with_parent, outlive_output
from nas_lightning.devices.signals import Interrupted, ending_on_request
from nas_lightning.errors import InputError, bounded
from nas_lightning.runs.lock import only_owner

Task = Callable[[DictConfig], Any]
RUN_DIR_VARIABLE = "NAS_LIGHTNING_RUN_DIR"
"""Passes the run folder to the processes that Lightning starts for other devices, whose clock would name another."""
PARENT_VARIABLE = "NAS_LIGHTNING_PARENT"
"""Passes them the id of the process that starts them."""
RESUMED = ("config", "rank", "search", "standalone", "tune")
"""Commands, by their configs, that resume from their folder; the others begin anew."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a library's writer, such as TensorBoard's, on a full or read-only disk; our own writers report theirs."""


def start(task: Task, config_name: str, after_multirun: Callable[[Path], None] | None = None, base: Base | None = None) -> None:
    """Runs ``task`` on the composed config; no signal or closed terminal costs finished work.

    Args:
        after_multirun: called with the folder of a multirun once all its jobs have ended.
        base: changes what the files give, before overrides apply.
    """
    _settle()
    if not {"-h", "--help"}.isdisjoint(sys.argv[1:]):
        words = [argument for argument in sys.argv[1:] if not argument.startswith("-") and "=" not in argument]
        print(help_of(config_name, conf_folder(), *words[:1]), flush=True)
        return
    if is_started_by_lightning():
        end_with_parent(int(os.environ[PARENT_VARIABLE]))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # passes errors on to the lines below
    composed, key = False, "run_dir, or hydra.sweep.dir,"
    typed: list[str] = []  # what a worker of a launcher cannot know by itself

    @functools.wraps(task)
    def guarded(cfg: DictConfig) -> Any:
        nonlocal composed, key
        composed, is_multirun = True, _is_multirun()
        key = "hydra.sweep.dir" if is_multirun else "run_dir"
        try:
            _check_folders()
            overrides = HydraConfig.get().overrides.task
            check_idle(cfg, values_of(overrides), values_of([word for word in overrides if word not in typed]))
            if not (is_multirun or is_started_by_lightning()):  # a finished job of a multirun needs none of its files
                check_inputs(plain(cfg), config_name)
            if is_multirun:
                _settle()  # this may be a launcher's worker
                with ending_on_request(), as_a_run_of_its_own(task.__module__, typed):
                    return _blaming_the_lost(task, cfg)
            return _blaming_the_lost(task, cfg)
        except (InputError, OmegaConfBaseException, OSError) as error:
            if is_multirun or (isinstance(error, OSError) and error.errno not in UNWRITABLE):
                raise  # a launcher's worker reports it to its parent
            if isinstance(error, OSError):
                place = error.filename or f"a file of {os.environ.get(RUN_DIR_VARIABLE, 'the run')}"
                _stop(f"{place}: cannot be written ({error.strerror})")
            _stop(in_one_line(error))  # at once, before Hydra prints a line of its own

    try:
        with ending_on_request():
            sys.argv[1:], command_line = in_hydras_order(readable(sys.argv[1:]))
            typed[:] = sys.argv[1:]
            if command_line.experimental_rerun is not None:
                raise InputError("--experimental-rerun: is not supported, as it unpickles a file; give the run's overrides")
            with checked(command_line.overrides, config_name, base) as multiruns:
                try:
                    hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=config_name)(guarded)()
                finally:  # also of the jobs before one that failed
                    if after_multirun is not None and multiruns and not isinstance(sys.exception(), Interrupted):
                        after_multirun(multiruns[0])
    except Interrupted as stop:
        if is_started_by_lightning():
            sys.exit(0)  # rank zero ends by itself, and would take any other exit code for a failure
        if is_rank_zero():
            advice = f"give the same {key} again to go on" if config_name in RESUMED else "give the same command again"
            print(f"{stop.message}; {advice}", file=sys.stderr, flush=True)
        sys.exit(stop.code)
    except (InputError, HydraException, OmegaConfBaseException) as error:
        _stop(unknown_key(error) or unknown_group(error, config_name) or in_one_line(error))
    except (YAMLError, ValueError) as error:
        if composed:
            raise  # a bug of ours
        _stop(in_one_line(error))
    except Exception as error:
        if not is_of_a_lost_worker(error):
            raise
        _stop("hydra/launcher: a process that ran jobs was killed (did memory run out?); give the same hydra.sweep.dir again to resume")


def _settle() -> None:
    """Settings of this process, whether a user or a launcher started it."""
    outlive_output()
    configure_process()
    for library in ("hydra", "hydra_plugins"):
        logging.getLogger(library).setLevel(logging.WARNING)  # else launchers announce each job, for which we print a line
    tqdm.set_lock(RLock())  # the default is a system semaphore, which a killed process leaks


def _blaming_the_lost(task: Task, cfg: DictConfig) -> Any:
    """Runs the task; reports a failure as that of packages that do not fit, or of another process of the launch, if that is its cause."""
    try:
        return task(cfg)
    except InputError:
        raise
    except Exception as error:
        if (line := misfit(error) or lost_process()) is None:
            if is_started_by_lightning():
                time.sleep(GRACE_SECONDS)  # if the first process is ending, it has reported why, and this one ends with it
            raise
        raise InputError(line) from error


def conf_folder() -> Path:
    """The folder of the configs: the checkout's if there is one, else the copy in the wheel."""
    package = Path(__file__).parents[1]
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The composed config as plain containers, interpolations resolved, ``~`` expanded."""
    return with_home(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))  # type: ignore[return-value]


def is_started_by_lightning() -> bool:
    """Whether Lightning started this process: not rank zero, nor a process of torchrun or Slurm."""
    return os.environ.get("LOCAL_RANK", "0") != "0" and "RANK" not in os.environ and RUN_DIR_VARIABLE in os.environ


def announce(node: Mapping[str, Any], claimed: str = "") -> Path | None:
    """Names the run folder on a terminal before imports that take seconds; returns it if it did."""
    configured, resume = node["run_dir"], node["resume"]
    is_legal = isinstance(configured, str) and configured.strip() and resume in (None, "auto")
    if _is_multirun() or not (is_legal and is_rank_zero() and sys.stdout.isatty()):
        return None  # a log names it once it is made
    folder = run_folder(configured, resume, claimed)
    print(f"run folder: {folder}")
    return folder


def run_folder(configured: str, resume: str | None, claimed: str = "") -> Path:
    """The run's folder, as configured; in a multirun the job's own.

    Args:
        configured: ``run_dir``.
        resume: ``auto`` takes the newest run folder next to the configured one, if any.
        claimed: the part of a run folder that the command claims by its config; the whole if empty.
    """
    is_given, is_multirun = is_folder_given(), _is_multirun()
    if resume == "auto" and is_given:
        raise InputError("resume: auto cannot go with run_dir, which names a folder itself; give one of them")
    if is_multirun and is_given:
        raise InputError("run_dir: cannot go with a multirun, whose jobs have their own folders below hydra.sweep.dir; give that")
    if is_multirun and resume == "auto":
        raise InputError("resume: auto cannot go with a multirun; give hydra.sweep.dir, the folder of the one to go on with")
    if is_multirun:
        check_common_folder(any(override.startswith("hydra.sweep.dir=") for override in HydraConfig.get().overrides.hydra))
        return _passed_on(Path(HydraConfig.get().runtime.output_dir))
    if is_started_by_lightning():
        return Path(os.environ[RUN_DIR_VARIABLE])
    check_common_folder(is_given)
    folder = Path(configured)
    if resume == "auto":
        begun = {run: config.stat().st_mtime_ns for run in folder.parent.glob("*") if (config := run / claimed / "config.yaml").is_file()}
        folder = max(begun, key=lambda run: begun[run], default=folder)
    return _passed_on(folder)


@contextmanager
def hold(folder: Path, resume: str | None, part: str = "") -> Iterator[Path]:
    """Holds the run's folder; the default is a new one, even if another run began in the same second.

    Args:
        folder: what ``run_folder`` returned.
        resume: as given to ``run_folder``.
        part: of the folder, to hold; empty for the whole.
    """
    if not (is_folder_given() or resume or _is_multirun() or is_started_by_lightning()):
        folder = _passed_on(_new_folder(folder))
    with only_owner(folder, part):
        yield folder


def is_folder_given() -> bool:
    """Whether the command line gives run_dir."""
    return any(override.lstrip("+").startswith("run_dir=") for override in HydraConfig.get().overrides.task)


def _new_folder(folder: Path) -> Path:
    """Makes the folder, or one with a number after its name if it exists."""
    for number in count(1):
        made = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            made.mkdir(parents=True)
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"{made}: cannot be written ({error.strerror})") from None
    return made


def _check_folders() -> None:
    """Refuses Hydra's own folder keys where they would do nothing, or change the meaning of relative paths."""
    hydra_config = HydraConfig.get()
    if hydra_config.job.chdir:
        raise InputError("hydra.job.chdir: true cannot be used: relative paths start from where the command was given")
    if _is_multirun() and not hydra_config.sweep.dir.strip():
        raise InputError("hydra.sweep.dir: is empty; name a folder")
    keeps_log = hydra_config.runtime.choices.get("hydra/job_logging") != "none"  # in that folder
    if not (_is_multirun() or hydra_config.run.dir == "." or keeps_log or is_started_by_lightning()):
        raise InputError(f"hydra.run.dir: {hydra_config.run.dir} would stay empty; use run_dir")


def _is_multirun() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _passed_on(folder: Path) -> Path:
    """The folder, passed on to the processes that this one may start."""
    os.environ[RUN_DIR_VARIABLE], os.environ[PARENT_VARIABLE] = str(folder), str(os.getpid())
    return folder


def _stop(line: str) -> NoReturn:
    characters = bounded(" ".join(line.split()))
    # Names in foreign files may hold control characters of a terminal.
    print(f"error: {''.join(c if c.isprintable() else ascii(c)[1:-1] for c in characters)}", file=sys.stderr, flush=True)
    if is_started_by_lightning():
        time.sleep(GRACE_SECONDS)  # rank zero stops too; Lightning would kill it if it saw this failure
    sys.exit(2)
