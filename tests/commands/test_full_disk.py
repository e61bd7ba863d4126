"""A disk that fills up while a run writes: one line, nothing torn, and the run goes on once there is room."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.commands import searching
from nas_lightning.scoring import predict
from nas_lightning.scoring.table import read_scores
from nas_lightning.search import record
from nas_lightning.space import SearchSpace
from nas_lightning.training import checkpoints

pytestmark = pytest.mark.slow
MICRO = ("experiment=micro", "save_every_steps=1")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 MiB."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", tmp_path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(disk: Path) -> None:
    free = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        file.write(b"\0" * (free.f_bavail * free.f_frsize))


def after(calls: int, disk: Path, write: Callable[..., Any]) -> Callable[..., Any]:
    """``write``, before whose call number ``calls`` the disk is filled."""
    made = 0

    def filling(*arguments: Any, **named: Any) -> Any:
        nonlocal made
        made += 1
        if made == calls:
            fill(disk)
        return write(*arguments, **named)

    return filling


def assert_one_line_that_says_so(outcome: Any, disk: Path) -> None:
    assert outcome.code == 2, outcome.err
    lines = outcome.err.splitlines()
    assert lines[-1].startswith(f"error: {disk}/run/")
    assert lines[-1].endswith("cannot be written (No space left on device)")
    assert "Traceback" not in outcome.err


def assert_it_ends_as_if_there_had_been_room(disk: Path, micro: Path, command: Callable) -> None:
    (disk / "filler").unlink()
    done = command("train", *MICRO, f"run_dir={disk}/run")
    assert done.code == 0, done.err
    for name in ("supernet.safetensors", "ranking/scores.csv", "ranking/agreement.json", "stages/pretrain/metrics.csv"):
        assert (disk / "run" / name).read_bytes() == (micro / name).read_bytes(), name
    assert not list((disk / "run").rglob("*.tmp"))


@pytest.mark.parametrize(("calls", "step"), [(1, None), (4, 2)])  # the third is the first epoch's own
def test_a_disk_that_is_full_at_a_checkpoint(
    calls: int, step: int | None, disk: Path, micro: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save_whole", after(calls, disk, checkpoints.save_whole))
        assert_one_line_that_says_so(command("train", *MICRO, f"run_dir={disk}/run"), disk)
    last = disk / "run" / "stages" / "pretrain" / "last.ckpt"
    assert (torch.load(last, weights_only=True)["global_step"] if last.is_file() else None) == step
    assert_it_ends_as_if_there_had_been_room(disk, micro, command)


def test_a_disk_that_is_full_for_a_library(disk: Path, micro: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    def flush(_: object) -> None:
        fill(disk)
        with (disk / "events").open("wb") as file:
            file.write(b"0")

    with monkeypatch.context() as patched:
        patched.setattr("tensorboard.summary.writer.event_file_writer.EventFileWriter.flush", flush)
        outcome = command("train", *MICRO, f"run_dir={disk}/run")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].endswith("cannot be written (No space left on device)")
    (disk / "events").unlink(missing_ok=True)
    assert_it_ends_as_if_there_had_been_room(disk, micro, command)


def test_a_disk_that_is_full_while_candidates_are_ranked(disk: Path, micro: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr(predict, "write_part", after(3, disk, predict.write_part))
        assert_one_line_that_says_so(command("train", *MICRO, f"run_dir={disk}/run"), disk)
    parts = sorted((disk / "run" / "ranking" / "parts").iterdir())
    assert [part.name for part in parts] == ["0-6.csv", "7-13.csv"]
    space = SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8)
    assert [len(read_scores(part, space)) for part in parts] == [7, 7]
    assert_it_ends_as_if_there_had_been_room(disk, micro, command)


@pytest.mark.parametrize("algorithm", ["nsga2", "successive_halving"])
def test_a_disk_that_is_full_while_a_search_writes(
    algorithm: str, disk: Path, micro: Path, tmp_path_factory: pytest.TempPathFactory, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    small = ["search.evaluations=40", "search.population=10", "search.images=20", "search.finalists=2", "search.prefix_memory=0"]
    given = [f"checkpoint={micro}/supernet.safetensors", *small, "search.budgets={parameters: 60%}", f"search.algorithm={algorithm}"]
    whole = tmp_path_factory.mktemp("whole")
    assert command("search", *given, f"run_dir={whole}").code == 0
    places = [(predict, "write_part", 2), (record, "write_source", 1), (record, "write_source", 3), (record, "write_text", 2)]
    for module, name, calls in [*places, (searching, "write_json", 1)]:
        with monkeypatch.context() as patched:
            patched.setattr(module, name, after(calls, disk, getattr(module, name)))
            assert_one_line_that_says_so(command("search", *given, f"run_dir={disk}/run"), disk)
        (disk / "filler").unlink()
    done = command("search", *given, f"run_dir={disk}/run")
    assert done.code == 0, done.err
    for name in ("evaluated.csv", "front.csv", "chosen.json", "finalists.csv", "hypervolume.csv"):
        assert (disk / "run/search" / name).read_bytes() == (whole / "search" / name).read_bytes(), name
    assert not list((disk / "run").rglob("*.tmp"))


def test_a_disk_that_is_full_from_the_start(disk: Path, micro: Path, command: Callable):
    shutil.copytree(micro, disk / "run")
    before = {path: path.read_bytes() for path in (disk / "run").rglob("*") if path.is_file() and path.name != ".lock"}
    fill(disk)
    outcome = command("train", *MICRO, "ranking.resamples=50", f"run_dir={disk}/run")
    assert outcome.code == 2
    assert "cannot be written (No space left on device)" in outcome.err.splitlines()[-1]
    assert {path: path.read_bytes() for path in before} == before
