"""A ranking in shards, joined by ``nas-merge``, is the whole ranking's files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SHARDS = 3


@pytest.fixture(scope="module")
def rank(micro: Path) -> list[str]:
    """Arguments of a ranking of micro's own list, one candidate a chunk, so that no neighbour changes the rounding of a score."""
    listed = micro / "ranking" / "submission.json"
    return [f"checkpoint={micro}/supernet.safetensors", f"ranking.list={listed}", "ranking.images=300", "ranking.prefix_memory=0"]


@pytest.fixture(scope="module")
def shards(rank: list[str], command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(1, SHARDS + 1):
        done = command("rank", *rank, f"ranking.shard={number}/{SHARDS}", f"run_dir={folder}/{number}")
        assert done.code == 0, done.err
        assert f"shard {number}/{SHARDS}: 8 of 24 candidates" in done.out
    return folder


@pytest.fixture(scope="module")
def whole(rank: list[str], micro: Path, command: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    assert command("rank", *rank, known, "ranking.resamples=100", f"run_dir={folder}").code == 0
    return folder


def test_the_joined_files_are_those_of_the_whole_ranking(shards: Path, whole: Path, micro: Path, command: Callable, tmp_path: Path):
    known = f"known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("merge", f"shards={shards}/*", known, "resamples=100", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    for name in ("scores.csv", "submission.json", "agreement.json", "known_accuracies.json"):
        assert (tmp_path / "ranking" / name).read_bytes() == (whole / "ranking" / name).read_bytes()
    found, expected = (json.loads((folder / "ranking" / "protocol.json").read_text()) for folder in (tmp_path, whole))
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (['shards="SHARDS/[12]"'], "shards: 1 of 3 are missing: 3"),
        (["shards=SHARDS/x*"], "names no folder with a finished shard"),
        (["shards=SHARDS/*", "score=smoothed"], "score: smoothed needs smoothing=true"),
        (["shards=SHARDS/*", "smoothing=true"], "smoothing: the list has 24 candidates, smoothing_candidates asks for 400"),
        (["shards=SHARDS/*", "score=best"], "score: 'best' is not one of"),
    ],
)
def test_what_cannot_be_joined_is_told_in_one_line(arguments: list[str], says: str, shards: Path, command: Callable, tmp_path: Path):
    done = command("merge", *(one.replace("SHARDS", str(shards)) for one in arguments), f"run_dir={tmp_path}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ranking.shard=4/3"], "ranking.shard: '4/3' must be k/n"),
        (["ranking.shard=1/3", "ranking.smoothing=true"], "ranking.smoothing: true cannot go with shard=1/3"),
        (["ranking.shard=1/3", "ranking.cheap_first=true", "ranking.score=cross_entropy"], "ranking.cheap_first: true cannot go with"),
        (["ranking.shard=1/25"], "ranking.shard: 1/25 has more parts than the list has candidates, 24"),
    ],
)
def test_a_shard_that_cannot_be_is_told_in_one_line(arguments: list[str], says: str, rank: list[str], command: Callable, tmp_path: Path):
    done = command("rank", *rank, *arguments, f"run_dir={tmp_path}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err


def test_a_folder_takes_no_other_shard(shards: Path, rank: list[str], command: Callable):
    done = command("rank", *rank, f"ranking.shard=2/{SHARDS}", f"run_dir={shards}/1")
    assert done.code == 2
    assert "holds shard 1/3, not shard 2/3" in done.err
