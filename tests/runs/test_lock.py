"""One process at a time works in a run folder."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.devices.launch import RANKS
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import claiming, only_owner
from nas_lightning.runs.writing import write_atomically

HOLD = """
import sys
from pathlib import Path
from nas_lightning.runs.lock import only_owner
with only_owner(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds ``tmp_path`` until its input is closed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_second_process_is_told_who_holds_the_folder(holder: subprocess.Popen, tmp_path: Path, command: Callable):
    with pytest.raises(InputError, match=rf"in use by process {holder.pid} on .* since \d\d\d\d-"), only_owner(tmp_path):
        pass
    done = command("train", "experiment=micro", f"run_dir={tmp_path}")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert str(holder.pid) in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".owner.json"]


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen, tmp_path: Path):
    holder.kill()
    holder.wait()
    with only_owner(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".owner.json").read_text()
    with only_owner(tmp_path):
        pass


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("variable", RANKS)
def test_the_further_processes_of_a_launch_belong_to_the_first(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "1")
    with only_owner(tmp_path):
        pass
    monkeypatch.setenv(variable, "0")
    with pytest.raises(InputError), only_owner(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"), only_owner(tmp_path / "file" / "run"):
        pass


OURS = (
    ".config.yaml.nas_lightning-123.tmp",
    "stages/pretrain/.last.ckpt.nas_lightning-123.tmp",
    "standalone/.accuracies.csv.nas_lightning-123.tmp",
    "ranking/last_ckpt/parts/0-99/.7.safetensors.nas_lightning-123.tmp",
)
FOREIGN = (
    ".notes.tmp",
    ".last.ckpt.123.tmp",
    "my.tmp",
    "stages/pretrain/last.ckpt",
    "stages/pretrain/.notes.123.tmp",
    "ranking/parts/.nas_lightning-123.tmp",
    "ranking/.scores.csv.nas_lightning-abc.tmp",
    "other/.config.yaml.nas_lightning-123.tmp",
    "other/stages/pretrain/.last.ckpt.nas_lightning-123.tmp",
)


def test_what_a_killed_owner_had_not_finished_is_removed_and_nothing_else(tmp_path: Path):
    for name in (*OURS, *FOREIGN):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with only_owner(tmp_path):
        assert not [name for name in OURS if (tmp_path / name).exists()]
        assert [name for name in FOREIGN if (tmp_path / name).exists()] == list(FOREIGN)


def test_a_killed_writer_leaves_a_file_that_the_next_owner_knows(tmp_path: Path):
    def write_and_die(temporary: Path) -> None:
        temporary.write_text("half")
        os._exit(9)

    if (child := os.fork()) == 0:
        write_atomically(tmp_path / "stages" / "pretrain" / "last.ckpt", write_and_die)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (left,) = (tmp_path / "stages" / "pretrain").iterdir()
    assert str(child) in left.name
    with only_owner(tmp_path):
        assert not left.exists()


def test_the_owners_name_is_not_written_through_a_link(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / ".owner.json").symlink_to(tmp_path / "mine")
    with only_owner(tmp_path / "run"):
        assert (tmp_path / "mine").read_text() == "mine"


def begin_run(folder: Path) -> Path:
    """A folder as a run that has ended leaves it."""
    folder.mkdir(parents=True)
    for name in ("config.yaml", "environment.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("below", ["run", "exp/run", "multirun/exp/date/0"])
def test_a_run_folder_in_another_runs_is_refused(below: str, tmp_path: Path):
    run = begin_run(tmp_path / below)
    before = sorted(tmp_path.rglob("*"))
    folder = run / "again" / "x"
    with pytest.raises(InputError, match=re.escape(f"run_dir: {folder} lies in the run folder {run}")), only_owner(folder):
        pass
    assert sorted(tmp_path.rglob("*")) == before
    for folder in (run, run.parent / "next"):  # its own, and one beside it
        with only_owner(folder):
            pass


def test_the_runs_of_a_study_lie_side_by_side(tmp_path: Path):
    with only_owner(tmp_path / "study" / "trials" / "0000"), only_owner(tmp_path / "study" / "trials" / "0001"):
        pass


def test_parts_are_held_side_by_side_but_not_twice_nor_beside_the_whole(tmp_path: Path):
    with only_owner(tmp_path, "shard_1_of_2"), only_owner(tmp_path, "shard_2_of_2"):
        with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on "), only_owner(tmp_path, "shard_2_of_2"):
            pass
        with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on "), only_owner(tmp_path):
            pass
        with claiming(tmp_path, "shard_1_of_2"):
            pass
    with only_owner(tmp_path):
        pass  # what dead or finished parts left behind bars nobody
    assert not [*tmp_path.glob("*owner.json")]


@pytest.mark.usefixtures("holder")
def test_a_part_does_not_begin_beside_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.runs.lock.LONGEST_CLAIM", 0.1)
    with only_owner(tmp_path, "shard_1_of_2"), pytest.raises(InputError, match="in use by process"), claiming(tmp_path, "shard_1_of_2"):
        pass


def test_a_part_removes_only_its_own_unfinished_files(tmp_path: Path):
    names = [".1.csv.nas_lightning-7.tmp", "ranking/parts/shard_2_of_2/.1.csv.nas_lightning-7.tmp"]
    mine = "ranking/parts/shard_1_of_2/.1.csv.nas_lightning-7.tmp"
    for name in (*names, mine):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with only_owner(tmp_path, "shard_1_of_2"):
        assert [(tmp_path / name).exists() for name in (*names, mine)] == [True, True, False]


def test_a_study_in_a_run_folder_is_refused_before_it_begins(tmp_path: Path, command: Callable):
    run = begin_run(tmp_path / "run")
    search = "search={stages.pretrain.optimizer.lr: [0.1]}"
    done = command("tune", 'overrides=["experiment=micro"]', search, f"run_dir={run}")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert f"lies in the run folder {run}" in done.err
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "environment.json"]
