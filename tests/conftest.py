"""What several rooms' tests share: a console command in this process, a program in another, one finished ``experiment=micro``."""

import atexit
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

# One thread a process: tiny shapes gain nothing from more, and spinning threads of two processes slow each other down tenfold.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, settings

from nas_lightning.commands import compare, export, rank, report, search, standalone, train, tune
from tests.programs.preloaded import Preloaded, of_one_thread

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and what it starts
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow one is not a bug
settings.load_profile("any machine")

COMMANDS: dict[str, Callable[[], None]] = {
    "train": train.main,
    "rank": rank.main,
    "search": search.main,
    "standalone": standalone.main,
    "export": export.main,
    "compare": compare.main,
    "report": report.main,
    "tune": tune.main,
}


ROOT = Path(__file__).parents[1]
LONGEST = 1200
"""Seconds after which a program is taken to hang."""
MADE: list[Preloaded] = []
"""What starts the programs of this process; the last one is used."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_command(name: str, *arguments: object, pages: bool = False) -> Outcome:
    """Runs a console entry in this process, as from a shell, and puts back what it changes; a bug's traceback gets through.

    Args:
        pages: whether a run draws its page at its end, which takes seconds.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv, environment = sys.argv, dict(os.environ)
    sys.argv = [name, *map(str, arguments)]
    GlobalHydra.instance().clear()
    # As in another process than rank zero, nothing is drawn.
    draws_none = contextlib.nullcontext() if pages else mock.patch("nas_lightning.commands.report.is_rank_zero", return_value=False)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), draws_none:
            COMMANDS[name]()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()
    return Outcome(code, out.getvalue(), err.getvalue())


def run_program(*arguments: object, pages: bool = False) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own, with one thread.

    Args:
        pages: as of ``run_command``.
    """
    given = [*map(str, arguments)]
    if given[0] == "train.py" or (given[0] == "-m" and given[1].startswith("nas_lightning.commands.")):
        started = preloaded().start(given, draws_page=pages)
        out, err = started.end(LONGEST)
        assert started.returncode is not None
        return subprocess.CompletedProcess(given, started.returncode, out, err)
    command = [sys.executable, *given]
    return subprocess.run(command, cwd=ROOT, env=of_one_thread(), capture_output=True, text=True, timeout=LONGEST, check=False)


def preloaded() -> Preloaded:
    """Of this process, made when it is first needed, or has ended."""
    if not MADE or MADE[-1].process.poll() is not None:
        MADE.append(Preloaded())
        atexit.register(MADE[-1].close)
    return MADE[-1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Lets a test fail that is skipped for another reason than those that NAS_SKIPS names, a line each, where it is set: in CI."""
    report = yield
    return unless_allowed(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The same for whole files."""
    report = yield
    return unless_allowed(report)


def unless_allowed(report: Any) -> Any:
    """The report of a test or a file; a skip for no allowed reason becomes a failure."""
    if report.skipped and "NAS_SKIPS" in os.environ and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in os.environ["NAS_SKIPS"].splitlines() if allowed):
            report.outcome, report.longrepr = "failed", f"must not be skipped here: {reason}"
    return report


@pytest.fixture(scope="session")
def command() -> Callable[..., Outcome]:
    """``command("train", "experiment=micro", ...)`` runs a console entry in this process."""
    return run_command


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``python("train.py", "experiment=micro")`` in a process of its own."""
    return run_program


@pytest.fixture(autouse=True)
def _no_composed_config_is_left_over() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of ``experiment=micro``; read it, do not change it."""
    folder = tmp_path_factory.mktemp("micro") / "run"
    done = run_command("train", "experiment=micro", f"run_dir={folder}", pages=True)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="session")
def other_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As ``micro`` with another seed and less truth; read it, do not change it."""
    folder = tmp_path_factory.mktemp("other_seed") / "run"
    done = run_command("train", "experiment=micro", "seed=1", "standalone.count=3", "standalone.epochs=1", f"run_dir={folder}")
    assert done.code == 0, done.err
    return folder
