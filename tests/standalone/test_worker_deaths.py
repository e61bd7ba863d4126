"""Workers that die, at every point of their life: one line, no hang, no orphan, and what is finished is kept."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

import nas_lightning
from nas_lightning.data import Augmentation, Digits
from nas_lightning.errors import InputError
from nas_lightning.space import Population, SearchSpace, ShortcutRule
from nas_lightning.standalone import side_by_side, truth
from nas_lightning.standalone.train_alone import Recipe
from nas_lightning.standalone.truth import train_ground_truth
from nas_lightning.supernet import ResidualFamily
from nas_lightning.training.schedules import Cosine

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)
FAMILY = ResidualFamily(SPACE, 10, 1, ShortcutRule.WHERE_NEEDED)
CPU = {"accelerator": "cpu", "devices": 1}
POPULATION = Population.draw(SPACE, 4, 0)
LONGEST = 400
"""Seconds after which a call is taken to hang."""


class Hung(Exception):
    """A call took longer than any machine needs."""


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def strike(how: int, marks: str, most: int) -> None:
    """Ends this process, unless ``most`` have ended so already.

    Args:
        how: 0 leaves with exit code 3, another number is a signal.
        marks: a folder that counts.
        most: processes.
    """
    for number in range(most):
        try:
            Path(marks, str(number)).mkdir(parents=True)
        except FileExistsError:
            continue
        if how:
            os.kill(os.getpid(), how)
        os._exit(3)


@dataclass(frozen=True)
class StrikesInTraining(Cosine):
    """Ends a process in the middle of its first training."""

    how: int = 0
    marks: str = ""
    most: int = 1

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        """As the plain cosine."""
        if elapsed > 0:
            strike(self.how, self.marks, self.most)
        return super().rate(peak, elapsed, epochs)


class StrikesInUnpickling(StrikesInTraining):
    """Ends a process that is handed one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickle, (self.how, self.marks, self.most)


def unpickle(how: int, marks: str, most: int) -> Cosine:
    """What the object becomes in a process that survives."""
    strike(how, marks, most)
    return Cosine()


class StrikesAtTheEnd(Digits):
    """Ends a process after the last step of a training, when it reads the test images."""

    strikes: tuple[int, str, int] = (0, "", 1)

    def read(self, split: str) -> Any:
        """As the plain digits."""
        if split == "test":
            strike(*self.strikes)
        return super().read(split)


def make_recipe(**changed: Any) -> Recipe:
    return Recipe(**{"epochs": 1, "batch_size": 32, "schedule": Cosine(), "augmentation": Augmentation({}), "family": FAMILY, **changed})


def train(folder: Path, schedule: Cosine | None = None, dataset: Digits | None = None) -> None:
    """Four candidates, two at a time."""
    make = partial(torch.optim.SGD, lr=0.05)
    recipe = make_recipe(optimizer=make, schedule=schedule or Cosine())
    train_ground_truth(POPULATION, dataset or Digits(resolution=8, train_images=64), recipe, [0], folder, CPU, processes=2)


def kept(folder: Path) -> list[str]:
    """Names of the candidates that were trained."""
    path = folder / "accuracies.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row["name"] for row in csv.DictReader(file)]


def no_children() -> bool:
    return not side_by_side.multiprocessing.active_children()


SITE = """
import os, sys
if "--multiprocessing-fork" in sys.orig_argv:  # a worker, not multiprocessing's own tracker
    {}
"""


LINE = r"^standalone\.processes: a worker died \(.*\), and the others with it; {} of 4 trainings are missing, the others are kept; [^\n]*$"


@pytest.mark.parametrize("deed", ["os._exit(3)", "os.kill(os.getpid(), 9)", "sys.path.clear(); os.close(2)"])
def test_workers_that_all_die_while_they_start_end_the_call(deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(SITE.format(deed))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=LINE.format(4)):
        train(tmp_path / "run")
    assert not kept(tmp_path / "run")
    assert no_children()


def test_a_job_larger_than_a_pipe_is_handed_to_a_worker_that_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sitecustomize.py").write_text(SITE.format("os._exit(3)"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    large = Digits(resolution=8, train_images=64)
    large.ballast = bytes(10**7)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=LINE.format(4)):
        train(tmp_path / "run", dataset=large)


def test_a_worker_is_not_handed_what_its_dataset_has_computed():
    handed = side_by_side.pack(Digits(), make_recipe(batch_size=2, optimizer=torch.optim.SGD), CPU, 1)
    assert len(handed) < 10_000  # the images are 460 kB


@pytest.mark.slow
@pytest.mark.parametrize(("where", "how"), [("unpickling", 0), ("training", signal.SIGKILL), ("end", 0), ("end", signal.SIGABRT)])
def test_a_worker_that_dies_ends_the_call_and_what_is_finished_is_kept(
    where: str, how: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    marks, run = str(tmp_path / "marks"), tmp_path / "run"
    schedule: Cosine | None = None
    dataset = StrikesAtTheEnd(resolution=8, train_images=64)
    dataset.strikes = (how, marks, 1 if where == "end" else 0)
    if where != "end":
        schedule = {"unpickling": StrikesInUnpickling, "training": StrikesInTraining}[where](how=how, marks=marks)
    with pytest.raises(InputError, match=LINE.format("[1-4]")):
        train(run, schedule, dataset)
    assert no_children()
    missing = {one.name for one in POPULATION} - set(kept(run))
    again: list[str] = []
    names = {one.architecture: one.name for one in POPULATION}
    monkeypatch.setattr(truth, "train_alone", lambda architecture, *_: again.append(names[architecture]) or 0.5)
    plain = make_recipe(optimizer=partial(torch.optim.SGD, lr=0.05))
    train_ground_truth(POPULATION, Digits(resolution=8, train_images=64), plain, [0], run, CPU)
    assert set(again) == missing
    assert len(json.loads((run / "known_accuracies.json").read_text())) == 4


STARTS = """
import os, pathlib, sys
if "--multiprocessing-fork" in sys.orig_argv:
    pathlib.Path(os.environ["MARKS"], str(os.getpid())).touch()
"""
SCRIPT = """
from test_worker_deaths import *
if __name__ == "__main__":
    train(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_that_start_end_with_their_parent(how: signal.Signals, tmp_path: Path):
    marks, script = tmp_path / "marks", tmp_path / "script.py"
    marks.mkdir()
    (tmp_path / "sitecustomize.py").write_text(STARTS)
    script.write_text(SCRIPT)
    paths = [str(tmp_path), str(Path(__file__).parent), str(Path(nas_lightning.__file__).parents[1])]
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MARKS": str(marks)},
        stdout=subprocess.PIPE,  # the workers hold its other end too: it is closed when the last of them is gone
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(marks.iterdir())) == 2, parent)
        parent.send_signal(how)
        parent.communicate(timeout=LONGEST)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.communicate()
    assert parent.returncode == -how


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
