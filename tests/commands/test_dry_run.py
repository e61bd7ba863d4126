"""What ``dry_run=true`` says, and that it leaves nothing behind."""

import re
from collections.abc import Callable
from pathlib import Path


def rows(text: str) -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    return {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


def test_a_dry_run_names_every_stage_with_its_steps_and_passes(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}", "stages.finetune.max_steps=2")
    assert done.code == 0, done.err
    table = rows(done.out)
    # 150 training images in batches of 64 are 3 steps an epoch; stage, epochs, paths, passes, steps.
    assert table["pretrain"][1:5] == ["2", "3", "3", "6"]
    assert table["finetune"][1:5] == ["1", "3", "3", "2"]
    assert table["distill_1"][1:5] == ["1", "2", "3", "3"]


def test_a_dry_run_tells_of_ranking_truth_time_and_memory(command: Callable, tmp_path: Path):
    out = command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}").out
    assert "30 candidates on 300 images" in out
    assert "6 trainings of 2 epochs" in out
    assert re.search(r"total of what was measured: \d+", out)
    assert re.search(r"peak memory so far: \d+\.\d\d GiB", out)


def test_a_dry_run_trains_and_writes_nothing(command: Callable, tmp_path: Path):
    command("train", "experiment=micro", "dry_run=true", f"run_dir={tmp_path / 'run'}")
    assert not list(tmp_path.iterdir())
