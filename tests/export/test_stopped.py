"""An export that is stopped leaves no card, and the same command makes it whole."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas_lightning.export import write
from nas_lightning.runs.lock import only_owner
from tests.export.tiny import CODE

SMALL = ("export.formats=[safetensors]", "export.images=100", f"architecture={CODE}")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_makes_it_whole(
    checkpoint: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    arguments, folder, real = (
        (f"checkpoint={checkpoint}", *SMALL, f"run_dir={tmp_path}/run"),
        tmp_path / "run/export" / CODE,
        shutil.copyfile,
    )

    def full(source: Any, target: Any) -> Any:
        if ".network.safetensors.nas_lightning" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        done = command("export", *arguments)
    assert done.code == 2
    assert done.err.splitlines() == [f"error: {folder}/network.safetensors: cannot be written (No space left on device)"]
    assert not (folder / "card.json").exists()
    done = command("export", *arguments)
    assert done.code == 0, done.err
    assert {path.name for path in folder.iterdir()} == {"network.safetensors", "network.py", "card.json", "card.md"}


@pytest.mark.slow
def test_one_that_was_killed_before_its_card_is_made_again(
    checkpoint: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    arguments, folder = (f"checkpoint={checkpoint}", *SMALL, f"run_dir={tmp_path}/run"), tmp_path / "run/export" / CODE
    with monkeypatch.context() as patched:
        patched.setattr(write, "write_json", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            command("export", *arguments)
    before = (folder / "network.safetensors").read_bytes()
    assert not (folder / "card.json").exists()
    done = command("export", *arguments)
    assert done.code == 0, done.err
    assert "there already" not in done.out
    assert (folder / "network.safetensors").read_bytes() == before  # of the same training images in the same order


@pytest.mark.slow
def test_a_folder_in_use_is_refused(checkpoint: Path, tmp_path: Path, command: Callable):
    with only_owner(tmp_path / "run"):
        done = command("export", f"checkpoint={checkpoint}", *SMALL, f"run_dir={tmp_path}/run")
    assert done.code == 2
    assert f"{tmp_path}/run: is in use by process {os.getpid()}" in done.err
    assert not (tmp_path / "run/export").exists()
