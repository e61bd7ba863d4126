"""Every command ends on a signal with one line and the shell's exit code, and keeps what it had."""

import csv
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.devices.signals import SIGNALS

ROOT = Path(__file__).parents[2]
ENDS = {signum: (128 + signum, f"stopped by {signum.name}; give the same run_dir again to go on\n") for signum in SIGNALS}


def struck(monkeypatch: pytest.MonkeyPatch, place: str, signum: int, call: int = 1) -> Callable[[], None]:
    """Sends this process a signal after the call of that number; returns what undoes it."""
    module, name = place.rsplit(".", 1)
    whole = getattr(sys.modules[module], name)
    calls: list[int] = []

    def strike(*arguments: Any, **more: Any) -> Any:
        result = whole(*arguments, **more)
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signum)
        return result

    monkeypatch.setattr(place, strike)
    return monkeypatch.undo


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_ranking_keeps_its_rows_and_is_resumed(
    signum: signal.Signals, micro: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = [f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", "ranking.images=300"]
    arguments += ["ranking.chunk_size=7", "ranking.fitted_on=30", f"run_dir={tmp_path}"]
    undo = struck(monkeypatch, "nas_lightning.scoring.predict.write_part", signum, call=2)
    before = {one: signal.getsignal(one) for one in SIGNALS}
    done = command("rank", *arguments)
    assert (done.code, done.err) == ENDS[signum]
    assert {one: signal.getsignal(one) for one in SIGNALS} == before
    undo()
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "ranking" / "parts").iterdir()}
    assert len(parts) == 2
    assert command("rank", *arguments).code == 0
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    assert (tmp_path / "ranking" / "scores.csv").read_bytes() == (micro / "ranking" / "scores.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
def test_what_was_trained_alone_is_kept(signum: signal.Signals, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import nas_lightning.standalone.truth  # noqa: F401

    arguments = ["space=resnet_tiny", "data=digits", "population.count=3", "standalone.epochs=1", f"run_dir={tmp_path}"]
    undo = struck(monkeypatch, "nas_lightning.standalone.truth._write", signum)
    done = command("standalone", *arguments)
    assert (done.code, done.err) == ENDS[signum]
    undo()
    with (tmp_path / "standalone" / "accuracies.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert command("standalone", *arguments).code == 0


def test_a_training_alone_is_stopped_within_it(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from nas_lightning.supernet import SingleNetwork

    whole = SingleNetwork.forward

    def strike(self: SingleNetwork, *arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return whole(self, *arguments)

    monkeypatch.setattr(SingleNetwork, "forward", strike)
    small = ["space=resnet_tiny", "data=digits", "population.count=3", "standalone.epochs=1"]
    done = command("standalone", *small, f"run_dir={tmp_path}")
    assert (done.code, done.err) == ENDS[signal.SIGTERM]


OTHERS = {  # command -> what it is struck within, its arguments, what its line ends with
    "compare": (
        "nas_lightning.agreement.compare.compare_scores",
        ["first={micro}/ranking/scores.csv", "second={micro}/ranking/scores.csv"],
    ),
    "report": ("nas_lightning.report.write.read_run", ["run_dir={micro}"]),
    "tune": ("nas_lightning.commands.study.prepare", ["overrides=['experiment=micro']", "search={seed: [0, 1]}", "run_dir={tmp}/tuned"]),
}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("name", OTHERS)
def test_the_other_commands_end_in_one_line(
    name: str, signum: signal.Signals, micro: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import nas_lightning.agreement.compare
    import nas_lightning.commands.study
    import nas_lightning.report.write  # noqa: F401

    place, given = OTHERS[name]
    struck(monkeypatch, place, signum)
    space = ["space=resnet_tiny"] if name == "compare" else []
    done = command(name, *(one.format(micro=micro, tmp=tmp_path) if "{micro}" in one or "{tmp}" in one else one for one in given), *space)
    again = "give the same run_dir again to go on" if name == "tune" else "give the same command again"
    assert (done.code, done.err.splitlines()[-1]) == (128 + signum, f"stopped by {signum.name}; {again}")
    assert "Traceback" not in done.err


def on_a_terminal(arguments: list[str], sign: bytes, signum: int) -> tuple[int, list[str]]:
    """Runs a command on a terminal of its own and signals it once it has shown the sign; its exit code and its last lines as seen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))  # without a width tqdm shows nothing
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    program = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, until, sent = b"", time.monotonic() + 300, False
    while time.monotonic() < until:
        if select.select([ours], [], [], 1.0)[0]:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # its end is closed
                break
        if sign in shown and not sent:
            time.sleep(0.3)  # not while the bar is being made
            program.send_signal(signum)
            sent = True
    os.close(ours)
    return program.wait(60), shown.decode().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "rank", "standalone"])
def test_the_line_stands_below_a_closed_bar(name: str, micro: Path, tmp_path: Path):
    arguments = {
        "train": ["experiment=micro", "stages.pretrain.epochs=200"],
        "rank": [f"checkpoint={micro}/supernet.safetensors", "ranking.prefix_memory=0", "ranking.chunk_size=1"],
        "standalone": ["space=resnet_tiny", "data=digits", "population.count=5", "standalone.epochs=30"],
    }[name]
    if name == "rank":
        arguments.append(f"ranking.list={micro}/ranking/submission.json")
    sign = {"train": b"(pretrain) |", "rank": b"ranking |", "standalone": b"training 1 of 5"}[name]
    code, lines = on_a_terminal([f"nas_lightning.commands.{name}", *arguments, f"run_dir={tmp_path}"], sign, signal.SIGINT)
    assert code == 130
    assert re.search(r"(^|\r|\x1b\[K)\s*stopped by SIGINT( after step \d+: \S+)?; give the same run_dir again to go on$", lines[-1]), lines
    assert " left" not in lines[-1].rsplit("\r", 1)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_leaves_the_last_steps_checkpoint(signum: signal.Signals, tmp_path: Path):
    """As timeout, Slurm and a terminal send it: the processes that read images receive it too."""
    last = tmp_path / "stages" / "pretrain" / "last.ckpt"
    arguments = ["experiment=micro", "loader.workers=1", "stages.pretrain.epochs=500", f"run_dir={tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py", *arguments]
    program = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 300
    while not last.is_file() and program.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(program.pid, signum)
    _, err = program.communicate(timeout=100)
    assert program.returncode == 128 + signum, err[-3000:]
    found = re.fullmatch(rf"stopped by {signum.name} after step (\d+): {re.escape(str(last))}; give the .*", err.splitlines()[-1])
    assert found is not None, err[-3000:]
    assert torch.load(last, weights_only=True)["global_step"] == int(found[1])
