"""One process at a time works in a run folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.errors import InputError
from nas_lightning.lock import only_owner
from nas_lightning.processes import RANKS

HOLD = """
import sys
from pathlib import Path
from nas_lightning.lock import only_owner
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


def test_what_a_killed_owner_had_not_finished_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / "stages").mkdir()
    left, kept = tmp_path / "stages" / ".last.ckpt.123.tmp", [tmp_path / "stages" / "last.ckpt", tmp_path / "my.tmp"]
    for path in (left, *kept):
        path.write_text("x")
    with only_owner(tmp_path):
        assert not left.exists()
        assert all(path.exists() for path in kept)
