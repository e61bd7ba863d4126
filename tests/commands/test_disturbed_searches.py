"""Searches that are killed, that meet a second process in their folder, or that work on two devices end like one that nobody disturbed."""

import csv
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.commands import searching
from nas_lightning.data import Digits, evaluation_images
from nas_lightning.data.check import describe
from nas_lightning.scoring.score import score_candidates
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from tests.conftest import run_command
from tests.search.problems import SPACE

MADE = ("evaluated.csv", "front.csv", "chosen.json", "finalists.csv", "hypervolume.csv")
KILLS = {"nsga2": 20, "successive_halving": 6}
"""By algorithm; of both 20 were seen, and searches of the second take longer."""
TWO = ["trainer=ddp", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(SPACE, classes=10, channels=1).eval()


@pytest.fixture(scope="module")
def arguments(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a search of eight generations, in which no neighbour changes the rounding of a score."""
    path = tmp_path_factory.mktemp("weights") / "supernet.safetensors"
    save_supernet(path, supernet, make_header(supernet, describe(Digits(resolution=8))))
    budgets = ["search.budgets={multiply_adds: [30%, 60%]}", "search.finalists=2", "search.images=24"]
    return [f"checkpoint={path}", *budgets, "search.evaluations=80", "search.population=10", "search.prefix_memory=0"]


@pytest.fixture(scope="module", params=KILLS)
def whole(request: pytest.FixtureRequest, arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The arguments and the folder of a search that nobody disturbed."""
    given, folder = [*arguments, f"search.algorithm={request.param}"], tmp_path_factory.mktemp(request.param) / "run"
    done = run_command("search", *given, f"run_dir={folder}")
    assert done.code == 0, done.err
    return given, folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same(folder: Path, whole: Path) -> None:
    for name in MADE:
        assert (folder / "search" / name).read_bytes() == (whole / "search" / name).read_bytes(), name
    assert not list(folder.rglob("*.tmp"))


def forked(given: Sequence[str], folder: Path) -> int:
    """Searches in another process, whose exit code is the command's."""
    if (child := os.fork()) == 0:
        code = 70
        try:
            code = run_command("search", *given, f"run_dir={folder}").code
        finally:
            os._exit(code)
    return child


def test_rungs_are_scored_on_their_share_of_the_images(whole: tuple[list[str], Path], supernet: Supernet):
    _, folder = whole
    evaluated = rows(folder / "search/evaluated.csv")
    for share in {float(row.get("share_of_images", 1)) for row in evaluated}:
        some = [row for row in evaluated if float(row.get("share_of_images", 1)) == share]
        images, labels = evaluation_images(Digits(resolution=8), int(24 * share))
        scores = score_candidates(supernet, [SPACE.parse(row["architecture"]) for row in some], images, labels)
        assert [float(row["cross_entropy"]) for row in some] == pytest.approx([score.cross_entropy for score in scores], rel=1e-5)
    assert sum(float(row.get("share_of_images", 1)) for row in evaluated) == 80
    volumes = [int(row["evaluated"]) for row in rows(folder / "search/hypervolume.csv")]
    assert volumes == (list(range(10, 90, 10)) if "share_of_images" not in evaluated[0] else [40, 80])


@pytest.mark.slow
def test_a_search_killed_at_many_instants_ends_with_the_same_bytes(whole: tuple[list[str], Path], tmp_path: Path):
    given, undisturbed = whole
    wanted = KILLS[given[-1].removeprefix("search.algorithm=")]
    began, draw, kills = time.monotonic(), random.Random(0), 0
    assert os.waitstatus_to_exitcode(os.waitpid(forked(given, tmp_path / "timed"), 0)[1]) == 0
    longest = time.monotonic() - began
    for number in count():
        folder = tmp_path / str(number)
        while kills < wanted:
            child = forked(given, folder)
            time.sleep(draw.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
            if (code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) == 0:  # it had ended
                break
            assert code == -signal.SIGKILL
            kills += 1
        assert os.waitstatus_to_exitcode(os.waitpid(forked(given, folder), 0)[1]) == 0
        assert_same(folder, undisturbed)
        if kills == wanted:
            return


@pytest.mark.slow
@pytest.mark.parametrize("whole", ["successive_halving"], indirect=True)
def test_a_second_process_in_the_folder_ends_in_one_line(whole: tuple[list[str], Path], tmp_path: Path, command: Callable):
    given, undisturbed = whole
    ready, go = os.pipe(), os.pipe()
    rank = searching.rank_to_folder

    def waiting(*arguments: Any, **more: Any) -> Any:
        os.write(ready[1], b".")
        os.read(go[0], 1)
        return rank(*arguments, **more)

    searching.rank_to_folder = waiting
    try:
        child = forked(given, tmp_path)
    finally:
        searching.rank_to_folder = rank
    try:
        os.read(ready[0], 1)
        second = command("search", *given, f"run_dir={tmp_path}")
        assert (second.code, second.err.count("\n")) == (2, 1), second.err
        assert f"in use by process {child} on " in second.err
    finally:
        os.write(go[1], b"." * 100)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("whole", ["successive_halving"], indirect=True)
def test_two_devices_find_what_one_finds_also_after_one_is_killed(whole: tuple[list[str], Path], tmp_path: Path, python: Callable):
    given, undisturbed = whole
    strike = f"{{_target_: tests.strike.Strike, signum: {int(signal.SIGKILL)}, rank: 1, step: 0}}"
    program = ["-m", "nas_lightning.commands.search", *given, *TWO, f"run_dir={tmp_path}"]
    done = python(*program, "plugins=[tests]", f"trainer.callbacks=[{strike}]")
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.splitlines()[-1].endswith("of device 1, was killed by SIGKILL; give the same run_dir again to resume")
    assert "Traceback" not in done.stderr
    done = python(*program)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same(tmp_path, undisturbed)
