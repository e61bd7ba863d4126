"""Starts programs in forks of one process that has imported torch and Lightning, which takes most of the time of a tiny run.

Each is a process of its own, with its own arguments, environment, output and end; only the imports are shared. For programs
of one thread, which neither look at how they were started nor at what an import does.

    with Preloaded() as preloaded:
        started = preloaded.start(["train.py", "experiment=micro", "run_dir=DIR"], draws_page=False)
        started.wait(60)
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
MODULES = (
    "pytorch_lightning",
    "scipy.stats",
    "torch.utils.tensorboard",
    "torchvision",
    "nas_lightning.commands.configs",
    "nas_lightning.commands.run",
    "nas_lightning.commands.ranking",
)
"""What a run imports sooner or later, and nothing that starts threads."""
POLL = 0.01
"""Seconds between two looks at a process."""


def of_one_thread() -> dict[str, str]:
    """This process's environment for a program that computes with one thread and finds the project."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


class Started:
    """A program that runs: its id, and once it has ended what subprocess tells of one."""

    def __init__(self, server: "Preloaded", pid: int, out: Path, err: Path) -> None:
        self.server, self.pid, self.out, self.err = server, pid, out, err
        self.returncode: int | None = None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        until = time.monotonic() + seconds
        while self.returncode is None:
            self.returncode = self.server.ask({"pid": self.pid})
            if self.returncode is None:
                if time.monotonic() >= until:
                    return False
                time.sleep(POLL)
        return True

    def end(self, seconds: float) -> tuple[str, str]:
        """Its output once it has ended, not what programs that it left behind say later.

        Raises:
            TimeoutError: if it takes longer; it is killed.
        """
        if not self.wait(seconds):
            self.send(signal.SIGKILL)
            self.wait(seconds)
            raise TimeoutError(f"killed after {seconds:.0f} s: {self.out.read_text()[-2000:]}\n{self.err.read_text()[-2000:]}")
        return self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8")

    def send(self, signum: int) -> None:
        """Sends it a signal, unless it is known to have ended."""
        if self.returncode is None:
            os.kill(self.pid, signum)  # until it is waited for, the id is its own


class Preloaded:
    """The process that forks; it ends when it is closed, and with the process that made it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, env=of_one_thread(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder = tempfile.TemporaryDirectory()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, which has nothing to lose; programs that still run go on."""
        self.process.kill()  # others may hold an end of its input, so that it would wait for more
        self.process.communicate()
        self.folder.cleanup()

    def start(self, arguments: Sequence[str], draws_page: bool, environment: Mapping[str, str] | None = None) -> Started:
        """Starts ``python ARGUMENTS``: a script, or a module after ``-m``, in the project's folder.

        Args:
            draws_page: whether a run draws its page at its end, which takes seconds.
            environment: None for this process's, with one thread.
        """
        self.count += 1
        out, err = (Path(self.folder.name, f"{self.count}.{name}") for name in ("out", "err"))
        given = of_one_thread() if environment is None else dict(environment)
        pid = self.ask({"argv": list(arguments), "draws_page": draws_page, "env": given, "out": str(out), "err": str(err)})
        return Started(self, int(pid), out, err)

    def ask(self, request: dict[str, Any]) -> Any:
        """What the other process answers.

        Raises:
            RuntimeError: if it has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        except BaseException:
            self.process.kill()  # as at Ctrl-C: the next answer would be of this request
            raise
        if not answer:
            raise RuntimeError(f"the process that starts programs ended with {self.process.wait()}; its stderr is above")
        return json.loads(answer)


def serve() -> None:
    """Answers requests, a line each, until there are no more; a child returns as the program that it has become."""
    for line in sys.stdin:
        request = json.loads(line)
        if "pid" in request:
            pid, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            for name in ("out", "err"):
                Path(request[name]).touch()
            answer = os.fork()
            if answer == 0:
                become(request)
                return
        print(json.dumps(answer), flush=True)


def become(request: dict[str, Any]) -> None:
    """Runs a program in this process, a fresh fork."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_APPEND),
        (2, request["err"], os.O_WRONLY | os.O_APPEND),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    if not request["draws_page"]:
        draw_no_page()
    run(request["argv"])


def draw_no_page() -> None:
    """In this process."""
    from nas_lightning.commands import report

    report.is_rank_zero = lambda: False


def run(given: Sequence[str]) -> None:
    """As ``python GIVEN``."""
    if given[0] == "-m":
        sys.argv = list(given[1:])
        runpy.run_module(given[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(given)
        runpy.run_path(given[0], run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the program that asks
    for module in MODULES:
        importlib.import_module(module)
    serve()
