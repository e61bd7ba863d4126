"""What ``dry_run=true`` says, and that it leaves nothing behind."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from file_hashes import hashes


def rows(text: str) -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    return {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


@pytest.mark.slow
def test_a_dry_run_names_every_stage_with_its_steps_and_passes(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}", "stages.finetune.max_steps=2")
    assert done.code == 0, done.err
    table = rows(done.out)
    # 150 training images in batches of 64 are 3 steps an epoch; stage, epochs, paths, passes, steps.
    assert table["pretrain"][1:5] == ["2", "3", "3", "6"]
    assert table["finetune"][1:5] == ["1", "3", "3", "2"]
    assert table["distill_1"][1:5] == ["1", "2", "3", "3"]


@pytest.mark.slow
def test_a_dry_run_tells_of_ranking_truth_time_and_memory(command: Callable, tmp_path: Path):
    out = command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}").out
    assert "images: digits, 200 to train on and 1,597 to test on, 10 classes at 8x8 pixels\nspace: " in out
    assert "30 candidates on 300 images" in out
    assert "6 candidates besides the list's are scored too, to fit the predictor" in out
    assert re.search(r"standalone: 6 trainings of 2 epochs, 6 left, \d+\.\d s each: \d+ s\n", out)
    assert re.search(r"estimated total: \d+", out)
    assert "left out of the times" not in out
    assert re.search(r"peak memory so far: \d+\.\d\d GiB", out)


@pytest.mark.slow
def test_a_dry_run_leaves_out_what_the_folder_holds(command: Callable, micro: Path, tmp_path: Path):
    shutil.copytree(micro, tmp_path / "run")
    files = hashes(tmp_path, "run/**/*.*")
    whole = ["experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}"]
    done = command("train", *whole, "standalone.count=8")
    assert done.code == 0, done.err
    table = rows(done.out)
    assert [table[stage][-1] for stage in ("pretrain", "finetune", "distill_1")] == ["finished"] * 3
    (left,) = map(int, re.findall(r"standalone: 8 trainings of 2 epochs, (\d+) left", done.out))
    assert 2 <= left < 8  # the cheapest and the dearest were trained
    assert "ranking: 0 candidates on 300 images, finished" in done.out
    assert f"left out of the times: what {tmp_path / 'run'} holds already" in done.out
    (tmp_path / "run/stages/distill_1/last.ckpt").unlink()
    again = command("train", *whole)
    assert rows(again.out)["distill_1"][-1] != "finished"
    assert "standalone: 6 trainings of 2 epochs, finished" in again.out
    assert "ranking: 30 candidates" in again.out  # of other weights
    (tmp_path / "run/stages/distill_1/last.ckpt").write_bytes((micro / "stages/distill_1/last.ckpt").read_bytes())
    assert hashes(tmp_path, "run/**/*.*") == files
    other = command("train", *whole, "seed=5")
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "holds a run with another config: seed was 0, is 5" in other.err


@pytest.mark.slow
def test_a_dry_run_trains_and_writes_nothing(command: Callable, tmp_path: Path):
    command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}")
    assert not list(tmp_path.iterdir())
