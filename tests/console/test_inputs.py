"""A file or folder that is missing is named before torch is imported, with the key and what is expected."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas_lightning.runs.lock import check_free, claiming, only_owner

MISSING = {
    "train data": ("train", ["data=image_folder", "data.root=HERE/no"], "data.root: HERE/no is not a folder"),
    "train population": ("train", ["population.file=HERE/no"], "population.file: HERE/no is not a file"),
    "train known": ("train", ["ranking.known_accuracies=HERE/no"], "ranking.known_accuracies: HERE/no is not a file"),
    "train weights": (
        "train",
        ["initial_checkpoint=HERE/no"],
        "initial_checkpoint: HERE/no is not a file; give a stage's last.ckpt or a run's supernet.safetensors",
    ),
    "train run_dir": ("train", ["run_dir=HERE/file/run"], "HERE/file/run: cannot be written (HERE/file is not a folder)"),
    "rank": (
        "rank",
        ["checkpoint=HERE/*.ckpt"],
        "checkpoint: HERE/*.ckpt names no file; give a stage's last.ckpt or a run's supernet.safetensors",
    ),
    "rank a folder": (
        "rank",
        ["checkpoint=HERE"],
        "checkpoint: HERE is a folder; give a stage's last.ckpt or a run's supernet.safetensors in it",
    ),
    "export": ("export", ["checkpoint=HERE/file", "chosen=HERE/no"], "chosen: HERE/no is not a file"),
    "standalone": ("standalone", ["choose=best", "scores=HERE/no"], "scores: HERE/no is not a file"),
    "report": ("report", ["run_dir=HERE/no"], "run_dir: HERE/no is not a folder"),
    "report a sweep": ("report", ["sweep=HERE/no"], "sweep: HERE/no is not a folder"),
    "plugin": ("train", ["plugins=[no_such.network]"], "plugins: 'no_such.network' cannot be imported (No module named 'no_such')"),
    "train from a folder": (
        "train",
        ["initial_checkpoint=HERE"],
        "initial_checkpoint: HERE is a folder; give a stage's last.ckpt or a run's supernet.safetensors in it",
    ),
    "compare a folder": ("compare", ["first=HERE", "second=HERE/file"], "first: HERE is a folder; give a file in it"),
    "no list of plugins": ("train", ["plugins=5"], "plugins: 5 must be a list"),
    "a plugin that is no list": ("train", ["plugins=timm"], "plugins: 'timm' must be a list"),
    "compare": ("compare", ["first=HERE/file", "second=HERE/no"], "second: HERE/no is not a file"),
}
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of it fails
from nas_lightning.commands.{0} import main
main()
"""


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named_without_torch(name: str, tmp_path: Path):
    command, arguments, line = MISSING[name]
    (tmp_path / "file").write_text("")
    given = [argument.replace("HERE", str(tmp_path)) for argument in arguments]
    run = [sys.executable, "-c", WITHOUT_TORCH.format(command), *given]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {line.replace('HERE', str(tmp_path))}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_an_owner_that_was_killed_is_free(tmp_path: Path):
    with only_owner(tmp_path):
        left = (tmp_path / ".owner.json").read_text()
    for process in (2**22 + 1, 0, "x"):  # more than Linux gives
        (tmp_path / ".owner.json").write_text(json.dumps({**json.loads(left), "process": process}))
        with only_owner(tmp_path, "shard_1_of_8"), claiming(tmp_path, "shard_1_of_8"):
            check_free(tmp_path)
    (tmp_path / ".owner.json").write_text(left)  # of this process, which holds nothing any more
    check_free(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "search"])
def test_a_run_folder_in_use_is_named_without_torch(command: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    given = [f"run_dir={tmp_path}/run", *(["checkpoint=file"] if command == "search" else [])]
    run = [sys.executable, "-c", WITHOUT_TORCH.format(command), *given]
    with only_owner(tmp_path / "run"):
        done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}/run: is in use by process {os.getpid()}")


def test_a_list_that_a_run_does_not_rank_is_not_looked_for(tmp_path: Path):
    from nas_lightning.console.inputs import check_inputs

    check_inputs({"ranking": {"enabled": False, "list": f"{tmp_path}/no"}, "data": {"_target_": "x.Cifar100", "root": "no"}}, "config")
