"""Files that older versions wrote still resume and rank.

``written_before/2026-11-25.tar.gz`` was written by commit b82a7f6 with ``experiment=micro seed=3 save_every_steps=1``: ``stopped`` was
killed before its ninth step, ``finished`` was not (its stages' checkpoints left out).
"""

import csv
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from nas_lightning.commands.outcome import finished
from nas_lightning.config.roles import as_of_today
from nas_lightning.report.sweep_keys import read_leaves

RUN = ["experiment=micro", "seed=3", "save_every_steps=1"]
PLAIN = ("ranking.predictor=none", "ranking.score=cross_entropy")
pytestmark = pytest.mark.slow


@pytest.fixture
def before(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).parent / "written_before/2026-11-25.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def scores(folder: Path) -> dict[str, float]:
    with (folder / "ranking/scores.csv").open(encoding="utf-8") as file:
        return {row["architecture"]: float(row["cross_entropy"]) for row in csv.DictReader(file)}


def test_a_run_that_an_older_version_began_resumes(before: Path, command: Callable):
    done = command("train", *RUN, f"run_dir={before}/stopped")
    assert done.code == 0, done.err
    assert "pretrain" not in done.err.split("finetune")[0]  # that stage was finished
    found, kept = (load_file(before / run / "supernet.safetensors") for run in ("stopped", "finished"))
    assert found.keys() == kept.keys()
    for name, weights in kept.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-3, atol=1e-3)  # another CPU may round otherwise
    assert scores(before / "stopped") == pytest.approx(scores(before / "finished"), rel=1e-3)


def test_weights_that_an_older_version_wrote_rank_and_its_run_is_reported(before: Path, command: Callable):
    kept = (before / "finished/ranking/scores.csv").read_bytes()
    done = command(
        "rank",
        f"checkpoint={before}/finished/supernet.safetensors",
        f"ranking.list={before}/finished/ranking/submission.json",
        "ranking.images=300",
        "ranking.chunk_size=7",
        *PLAIN,
        f"run_dir={before}/ranked",
    )
    assert done.code == 0, done.err
    assert scores(before / "ranked") == pytest.approx(scores(before / "finished"), rel=1e-5)
    assert (before / "finished/ranking/scores.csv").read_bytes() == kept
    assert command("report", f"run_dir={before}/finished").code == 0


def test_parts_that_an_older_version_wrote_are_not_scored_again(before: Path, command: Callable):
    listed = before / "finished/ranking/submission.json"
    listed.rename(before / "list.json")
    rank = [f"checkpoint={before}/finished/supernet.safetensors", f"ranking.list={before}/list.json", "ranking.images=300"]
    kept = (before / "finished/ranking/scores.csv").read_bytes()
    (before / "finished/ranking/scores.csv").unlink()
    (before / "finished/ranking/parts/7-13.csv").unlink()
    done = command("rank", *rank, *PLAIN, f"run_dir={before}/finished")
    assert done.code == 0, done.err
    assert "ranking: 7 candidates in" in done.err
    assert len((before / "finished/ranking/scores.csv").read_bytes().splitlines()) == len(kept.splitlines())
    assert scores(before / "finished").keys() == {row.split(",")[1] for row in kept.decode().splitlines()[1:]}


def test_an_older_run_is_finished_and_of_the_same_setting_as_a_new_one(before: Path):
    config = yaml.safe_load((before / "finished/config.yaml").read_text())
    now = {**as_of_today(config), "run_dir": "elsewhere"}
    assert config["population"].pop("max_mib") == 64  # a key that is gone
    assert "nas_lightning.sampling." in str(config["stages"])
    assert config["trainer"].get("precision", "") is None  # conf/ once named every argument of the Trainer
    assert "precision" not in now["trainer"]
    assert finished(before / "finished", now) is not None
    assert finished(before / "finished", {**now, "seed": 4}) is None
    path = before / "finished/config.yaml"
    leaves = read_leaves(yaml.safe_load(path.read_text()))
    assert leaves == read_leaves(as_of_today(yaml.safe_load(path.read_text())))
