"""What TensorBoard shows of a run, read from its event files; ``metrics.csv`` keeps everything."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nas_lightning.training.curves import tags_of


def events(stage: Path) -> EventAccumulator:
    read = EventAccumulator(str(stage / "tensorboard"))
    read.Reload()
    return read


def test_tensorboard_has_few_curves_and_the_config(micro: Path):
    stage = micro / "stages/pretrain"
    read = events(stage)
    assert set(read.Tags()["scalars"]) == {"train/loss", "train/top1", "train/lr", "panel/top1"}
    (text,) = read.Tensors("config/text_summary")
    for line in (micro / "config.yaml").read_text().splitlines():
        assert f"    {line}\n" in text.tensor_proto.string_val[0].decode() + "\n"
    with (stage / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"loss", "lr", "epoch_loss", "top1", "top5", "largest/top1", "panel_1/cross_entropy"} <= rows[0].keys()
    assert "panel/top1" not in rows[0]
    names = ("largest", "smallest", "panel_1")
    means = {int(row["step"]): sum(float(row[f"{name}/top1"]) for name in names) / 3 for row in rows if row["largest/top1"]}
    assert {scalar.step: scalar.value for scalar in read.Scalars("panel/top1")} == pytest.approx(means)
    losses = {int(row["step"]): float(row["loss"]) for row in rows if row["loss"]}
    assert {scalar.step: scalar.value for scalar in read.Scalars("train/loss")} == pytest.approx(losses)


@pytest.mark.parametrize("each", [False, True])
def test_each_candidate_of_the_panel_has_curves_on_request(each: bool):
    metrics = {"largest/top1": 0.5, "panel_12/cross_entropy": 2.0, "panel_12/top1": 0.2, "panel/kendall": 0.7, "of a callback/top1": 1.0}
    always = {"panel/kendall": 0.7, "panel/top1": 0.35, "of a callback/top1": 1.0}
    assert tags_of(metrics, each) == {**(metrics if each else {}), **always}


def test_the_key_may_be_given_to_a_run_that_was_made_without_it(micro: Path, command: Callable, tmp_path: Path):
    shutil.copytree(micro, tmp_path / "run")
    config = tmp_path / "run/config.yaml"
    assert "  each: false\n" in config.read_text()
    config.write_text(config.read_text().replace("  each: false\n", ""))  # as an older version wrote it
    done = command("train", "experiment=micro", "monitor.each=true", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
