"""A ranking that several machines share: shards in one run folder, and the ranking made of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.runs.lock import only_owner

SHARDS = 3


@pytest.fixture(scope="module")
def rank(micro: Path) -> list[str]:
    """Arguments of a ranking of micro's own list, nothing shared, so that no neighbour changes the rounding of a score."""
    listed = micro / "ranking" / "submission.json"
    return [
        f"checkpoint={micro}/supernet.safetensors",
        f"ranking.list={listed}",
        "ranking.images=300",
        "ranking.fitted_on=30",
        "ranking.prefix_memory=0",
    ]


@pytest.fixture(scope="module")
def whole(rank: list[str], command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert command("rank", *rank, f"run_dir={folder}").code == 0
    return folder / "ranking"


@pytest.fixture(scope="module")
def shards(rank: list[str], command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in (2, 1, 3):
        done = command("rank", *rank, f"ranking.shard={number}/{SHARDS}", f"run_dir={folder}")
        assert done.code == 0, done.err
        assert f"shard {number}/{SHARDS}: 10 candidates scored; " in done.out
    assert "30 of 30 in all shards\nthe same command without ranking.shard" in done.out
    assert not (folder / "ranking/scores.csv").exists()
    return folder


def test_the_ranking_of_all_shards_is_the_whole_ones(shards: Path, whole: Path, rank: list[str], command: Callable):
    done = command("rank", *rank, f"run_dir={shards}")
    assert done.code == 0, done.err
    assert "candidates in" not in done.err  # nothing was left to score
    for name in ("scores.csv", "submission.json"):
        assert (shards / "ranking" / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads((shards / "ranking/protocol.json").read_text()) == json.loads((whole / "protocol.json").read_text())


@pytest.mark.slow
def test_the_whole_scores_what_no_shard_has(rank: list[str], whole: Path, command: Callable, tmp_path: Path):
    assert command("rank", *rank, "ranking.shard=2/3", f"run_dir={tmp_path}").code == 0
    assert "20 candidates in" not in command("rank", *rank, "ranking.shard=2/3", f"run_dir={tmp_path}").err
    done = command("rank", *rank, f"run_dir={tmp_path}")
    assert "ranking: 20 candidates in" in done.err
    assert (tmp_path / "ranking/scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()


@pytest.mark.slow
def test_a_shard_of_other_images_or_weights_is_refused(rank: list[str], micro: Path, command: Callable, tmp_path: Path):
    assert command("rank", *rank, "ranking.shard=2/3", f"run_dir={tmp_path}").code == 0
    for other in ("ranking.images=200", f"checkpoint={micro}/stages/pretrain/last.ckpt"):
        done = command("rank", *rank, other, "ranking.shard=1/3", f"run_dir={tmp_path}")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert "ranking/protocol.json: " in done.err


def test_the_whole_waits_for_no_shard_that_is_at_work(rank: list[str], command: Callable, tmp_path: Path):
    with only_owner(tmp_path, "shard_1_of_3"):
        done = command("rank", *rank, f"run_dir={tmp_path}")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert "in use by process" in done.err
        assert command("rank", *rank, "ranking.shard=2/3", f"run_dir={tmp_path}").code == 0


@pytest.mark.slow
def test_an_older_shards_folder_says_how_its_scores_are_kept(rank: list[str], whole: Path, command: Callable, tmp_path: Path):
    """Until version 0.1 each shard had a run folder with shard.json and scores.csv."""
    for number in (1, 2):
        old = tmp_path / f"old_{number}" / "ranking"
        assert command("rank", *rank, f"ranking.shard={number}/2", f"run_dir={old.parent}").code == 0
        shutil.copytree(old / f"parts/shard_{number}_of_2", old, dirs_exist_ok=True)
        shutil.rmtree(old / "parts")
        (old / "parts").mkdir()
        for path in old.glob("*-*.csv"):
            path.rename(old / "parts" / path.name)
        (old / "shard.json").write_text(json.dumps({"shard": number, "shards": 2}))
        done = command("rank", *rank, f"run_dir={old.parent}")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert f"holds shard {number}/2 of an older version" in done.err
        assert f"its parts/ to NEW/ranking/parts/shard_{number}_of_2" in done.err
        shutil.copytree(old / "parts", tmp_path / f"new/ranking/parts/shard_{number}_of_2")
        shutil.copy(old / "protocol.json", tmp_path / "new/ranking/protocol.json")
    done = command("rank", *rank, f"run_dir={tmp_path}/new")
    assert done.code == 0, done.err
    assert "candidates in" not in done.err
    assert (tmp_path / "new/ranking/scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ranking.shard=4/3"], "ranking.shard: '4/3' must be k/n"),
        (["ranking.shard=1/3", "ranking.cheap_first=true", "ranking.score=cross_entropy"], "ranking.cheap_first: true cannot go with"),
        (["ranking.shard=1/31"], "ranking.shard: 1/31 has more parts than the list has candidates, 30"),
    ],
)
def test_a_shard_that_cannot_be_is_refused_in_one_line(arguments: list[str], says: str, rank: list[str], command: Callable, tmp_path: Path):
    done = command("rank", *rank, *arguments, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err


def test_a_shard_without_the_common_folder_is_refused(rank: list[str], command: Callable, tmp_path: Path):
    for more, lines in (([], 1), (["-m", f"hydra.sweep.dir={tmp_path}/sweep"], 2)):  # of a multirun Hydra names the job first
        done = command("rank", *more, *rank, "ranking.shard=1/3")
        assert (done.code, done.err.count("\n")) == (2, lines), done.err
        assert "ranking.shard: 1/3 needs run_dir" in done.err


@pytest.mark.slow
def test_shards_of_several_checkpoints_become_their_comparison(rank: list[str], micro: Path, command: Callable, tmp_path: Path):
    both = [f"checkpoint={micro}/stages/pretrain/epoch_*.ckpt", *rank[1:], f"run_dir={tmp_path}/run"]
    for shard in ("1/2", "2/2"):
        done = command("rank", *both, f"ranking.shard={shard}")
        assert done.code == 0, done.err
    assert not (tmp_path / "run/ranking/by_checkpoint.json").exists()
    done = command("rank", *both)
    assert (done.code, "candidates in" in done.err) == (0, False), done.err
    assert (tmp_path / "run/ranking/by_checkpoint.json").exists()


def test_a_lock_that_cannot_be_taken_is_one_line(rank: list[str], command: Callable, tmp_path: Path):
    (tmp_path / ".lock").mkdir()
    done = command("rank", *rank, "ranking.shard=1/3", f"run_dir={tmp_path}")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "cannot be written" in done.err


def test_a_run_that_trains_takes_no_shard(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "ranking.shard=1/3", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "ranking.shard: 1/3 belongs to nas-rank" in done.err
