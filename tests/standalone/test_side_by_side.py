"""Several trainings at a time: the same accuracies as one after another, and what a failure, a stop or a kill leaves."""

import csv
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import nas_lightning
from nas_lightning.data import Augmentation, Digits, RandomCrop
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace, ShortcutRule
from nas_lightning.standalone import side_by_side, truth
from nas_lightning.standalone.train_alone import Recipe
from nas_lightning.standalone.truth import train_ground_truth
from nas_lightning.supernet import ResidualFamily
from nas_lightning.training.schedules import Cosine

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)
CPU = {"accelerator": "cpu", "devices": 1}
POPULATION = Population.draw(SPACE, 4, 0)


def recipe(**changed: Any) -> Recipe:
    """One that other processes can be given: its parts have names."""
    parts = {
        "epochs": 1,
        "batch_size": 32,
        "optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
        "schedule": Cosine(),
        "augmentation": Augmentation({"crop": RandomCrop(1)}),
        "family": ResidualFamily(SPACE, 10, 1, ShortcutRule.WHERE_NEEDED),
    }
    return Recipe(**{**parts, **changed})


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(resolution=8, train_images=64)


@pytest.fixture
def four_threads() -> Iterator[None]:
    """To be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def kept(folder: Path) -> set[tuple[str, int]]:
    with (folder / "accuracies.csv").open(encoding="utf-8", newline="") as file:
        return {(row["name"], int(row["seed"])) for row in csv.DictReader(file)}


@dataclass(frozen=True)
class Marks(Cosine):
    """Notes which process trains, with how many threads."""

    folder: Path = Path()

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        (self.folder / str(os.getpid())).write_text(str(torch.get_num_threads()))
        return super().rate(peak, elapsed, epochs)


@dataclass(frozen=True)
class FailsAtTheSecond(Cosine):
    """Lets a process train one candidate, and not another."""

    how: str = ""

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        STARTED.append(elapsed)
        if STARTED.count(0) == 2:
            if self.how == "dies":
                os._exit(3)
            raise InputError("schedule.rate: has had enough")
        return super().rate(peak, elapsed, epochs)


STARTED: list[float] = []
"""The moments for which this process has been asked a rate."""


@pytest.mark.parametrize("processes", [1, 3])
def test_on_a_cpu_every_process_has_a_trainer_of_one_device(processes: int):
    arguments = {**CPU, "devices": 2, "strategy": "ddp", "precision": "32-true"}
    alone = {**arguments, "devices": 1, "strategy": None, "num_nodes": None}
    assert side_by_side.on_one_device(arguments, processes) == [alone] * processes


def test_processes_take_turns_on_the_devices(monkeypatch: pytest.MonkeyPatch):
    of_gpus = SimpleNamespace(device_ids=[2, 5], strategy=SimpleNamespace(root_device=torch.device("cuda", 2)))
    monkeypatch.setattr(side_by_side, "make_trainer", lambda _: of_gpus)
    arguments = side_by_side.on_one_device({"accelerator": "gpu", "devices": [2, 5]}, 3)
    assert [one["devices"] for one in arguments] == [[2], [5], [2]]


def test_a_worker_is_handed_the_dataset_without_its_images(digits: Digits):
    handed, *_ = pickle.loads(side_by_side.pack(digits, recipe(), CPU, 2))
    assert not vars(handed).keys() & {"_train", "_test"}
    assert vars(digits).keys() & {"_train"}
    assert torch.equal(handed.train().images, digits.train().images)


def test_what_processes_cannot_receive_is_refused_before_they_start(digits: Digits, tmp_path: Path):
    nameless = recipe(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    with pytest.raises(InputError, match=r"^standalone\.processes: .*cannot be handed to other processes"):
        train_ground_truth(POPULATION, digits, nameless, [0], tmp_path, CPU, processes=2)
    assert not list(tmp_path.iterdir())


def test_where_nothing_is_left_to_train_no_process_is_started(digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(truth, "train_alone", lambda *_: 0.5)
    train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    monkeypatch.setattr(side_by_side.multiprocessing, "get_context", lambda _: SimpleNamespace())
    assert (train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU, processes=2).mean == 0.5).all()


@pytest.mark.slow
@pytest.mark.usefixtures("four_threads")
def test_side_by_side_gives_the_accuracies_of_one_after_another(digits: Digits, tmp_path: Path):
    side, after, marks = (tmp_path / name for name in ("side", "after", "marks"))
    marks.mkdir()
    beside = train_ground_truth(POPULATION, digits, recipe(schedule=Marks(folder=marks)), [0, 1], side, CPU, processes=2)
    assert [path.read_text() for path in marks.iterdir()] == ["2", "2"]
    torch.set_num_threads(2)
    alone = train_ground_truth(POPULATION, digits, recipe(), [0, 1], after, CPU)
    assert (beside.accuracies == alone.accuracies).all()
    for file in ("accuracies.csv", "known_accuracies.json"):
        assert (side / file).read_bytes() == (after / file).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("refuses", r"^schedule\.rate: has had enough$"),
        ("dies", r"^standalone\.processes: a worker died .*; [23] of 4 trainings are missing, the others are kept"),
    ],
)
def test_a_worker_that_fails_ends_the_call_and_what_is_finished_is_kept(
    how: str, message: str, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InputError, match=message):
        train_ground_truth(POPULATION, digits, recipe(schedule=FailsAtTheSecond(how=how)), [0], tmp_path, CPU, processes=2)
    finished = kept(tmp_path)
    assert 1 <= len(finished) <= 2
    assert not (tmp_path / "known_accuracies.json").exists()
    trained: list[tuple[Architecture, int]] = []

    def instead(architecture: Architecture, _: Any, __: Any, seed: int, *___: Any) -> float:
        trained.append((architecture, seed))
        return 0.5

    monkeypatch.setattr(truth, "train_alone", instead)
    train_ground_truth(POPULATION, digits, recipe(), [0], tmp_path, CPU)
    assert trained == [(one.architecture, 0) for one in POPULATION if (one.name, 0) not in finished]


ENDLESS = """
from test_side_by_side import *
if __name__ == "__main__":
    long = recipe(schedule=Marks(folder=Path(sys.argv[1])), epochs=10**6)
    train_ground_truth(POPULATION, Digits(resolution=8, train_images=64), long, [0], Path(sys.argv[1]) / "out", CPU, processes=2)
"""

STARTING = """
import os, signal, sys, time
from pathlib import Path
def end(*_):
    time.sleep(1)  # before it kills the workers, so that they could say something
    raise KeyboardInterrupt
if __name__ == "__mp_main__":  # a worker, which imports what it needs
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(5)
else:
    signal.signal(signal.SIGINT, end)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "everyone", "head"),
    [(signal.SIGINT, True, ""), (signal.SIGTERM, False, ""), (signal.SIGKILL, False, ""), (signal.SIGINT, True, STARTING)],
    ids=["SIGINT", "SIGTERM", "SIGKILL", "SIGINT while workers start"],
)
def test_the_workers_end_with_their_parent(how: signal.Signals, everyone: bool, head: str, tmp_path: Path):
    script, marks = tmp_path / "script.py", tmp_path / "marks"
    script.write_text(head + ENDLESS)
    marks.mkdir()
    paths = [str(Path(__file__).parent), str(Path(nas_lightning.__file__).parents[1])]
    parent = subprocess.Popen(
        [sys.executable, script, marks],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,  # the workers hold its other end too: it is closed when the last of them is gone
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(marks.iterdir())) == 2, parent)
        (os.killpg if everyone else os.kill)(parent.pid, how)  # a terminal's Ctrl-C reaches the workers too
        _, err = parent.communicate(timeout=600)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.communicate()
    assert parent.returncode != 0
    assert "SpawnProcess" not in err  # a worker's traceback
    assert "spawn_main" not in err  # of one that was starting


@pytest.mark.slow
def test_a_killed_call_resumes_with_the_missing_trainings(tmp_path: Path):
    code = "from nas_lightning.commands.standalone import main\nmain()"
    options = ["space=resnet_tiny", "data=digits", "population.count=6", "standalone.epochs=8", "standalone.processes=2"]

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *options, f"run_dir={tmp_path / name}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=Path(nas_lightning.__file__).parents[1])

    table = tmp_path / "killed/standalone/accuracies.csv"
    killed = start("killed")
    wait_until(lambda: len(lines(table)) >= 2, killed)
    killed.kill()
    killed.communicate(timeout=60)
    before = lines(table)
    assert 2 <= len(before) < 7
    again = start("killed")
    assert again.communicate(timeout=1200)[0]
    assert again.returncode == 0
    assert len(lines(table)) == 7
    assert set(before) <= set(lines(table))
    whole = start("whole")
    whole.communicate(timeout=1200)
    for file in ("accuracies.csv", "summary.csv", "known_accuracies.json"):
        assert (tmp_path / "whole/standalone" / file).read_bytes() == (table.parent / file).read_bytes()


def wait_until(condition: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
