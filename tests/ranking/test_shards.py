"""A list cut into shards and joined again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_lightning.errors import InputError
from nas_lightning.ranking.score import Score
from nas_lightning.ranking.shards import Shard, check_shard_folder, join_shards, write_shard
from nas_lightning.ranking.table import ScoreTable, read_table
from nas_lightning.space import Candidate, Population, SearchSpace, ShortcutRule

SPACE = SearchSpace("small", (1, 1), (8, 16), 4, 8, trailing_entries=1)
PROTOCOL = {"images": 10, "norm": "batch", "data_sha256": "ab", "ordered_by": "cross_entropy"}


def make_list(count: int = 11) -> Population:
    """With one architecture standing twice, under two names and codes."""
    drawn = Population.draw(SPACE, count, seed=3)
    twin = Candidate("twin", "-".join([*drawn[2].text.split("-")[:-1], "16"]), drawn[2].architecture)
    return Population(SPACE, (*drawn, twin))


def make_table(population: Population) -> ScoreTable:
    scores = [Score(sum(one.architecture.widths) / 100, 0.9, one.architecture.widths[0] / 7) for one in population]
    return ScoreTable.of(population, scores, classes=5, channels=3, shortcuts=ShortcutRule.ALWAYS)


def write_shards(folder: Path, population: Population, count: int) -> list[Path]:
    folders = []
    for number in range(1, count + 1):
        shard, place = Shard(number, count), folder / str(number)
        rows = shard.rows(population)
        write_shard(place, shard, population, rows, make_table(Population(SPACE, tuple(population[row] for row in rows))))
        (place / "protocol.json").write_text(json.dumps(PROTOCOL))
        folders.append(place)
    return folders


@given(st.integers(1, 60), st.integers(1, 60))
def test_every_row_is_in_one_shard_and_a_shard_is_a_run_of_the_sorted_list(count: int, shards: int):
    population = Population.draw(SPACE, count, seed=0)
    if shards > count:
        with pytest.raises(InputError, match=f"shard: 1/{shards} has more parts than the list has candidates, {count}"):
            Shard(1, shards).rows(population)
        return
    rows = [Shard(number, shards).rows(population) for number in range(1, shards + 1)]
    assert sorted(row for one in rows for row in one) == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1
    order = sorted(population.architectures, key=lambda architecture: architecture.widths)
    in_turn = [
        order.index(population[row].architecture)
        for one in rows
        for row in sorted(one, key=lambda row: order.index(population[row].architecture))
    ]
    assert in_turn == list(range(count))


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "-1/3", "1/2/3", "1.0/2", "a/b", "1 / 3", "1/9999999"])
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(InputError, match=r"ranking\.shard: .* must be k/n"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_joined_shards_are_the_whole_table(count: int, tmp_path: Path):
    population = make_list()
    table, protocol = join_shards(write_shards(tmp_path, population, count)[::-1])
    table.write(tmp_path / "joined.csv")
    make_table(population).write(tmp_path / "whole.csv")
    assert (tmp_path / "joined.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert protocol == PROTOCOL


def rows_in(folder: Path) -> int:
    return len(json.loads((folder / "shard.json").read_text())["rows"])


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folders: folders.pop(1), "shards: 1 of 3 are missing: 2"),
        (lambda folders: folders.append(folders[0]) or edit(folders[1] / "shard.json", shard=1), "/2: holds shard 1/3, as .*/1 does"),
        (lambda folders: edit(folders[2] / "protocol.json", images=20), "/3: is of another protocol than .*/1: images is 20, there 10"),
        (lambda folders: edit(folders[2] / "shard.json", list_sha256="x"), "/3: is of another list than .*/1: list_sha256"),
        (lambda folders: edit(folders[1] / "shard.json", shards=4), "/2: is of another list than .*/1: shards is 4, there 3"),
        (lambda folders: edit(folders[1] / "shard.json", rows=[1, 2]), r"/2/scores.csv: has \d rows, but shard.json names 2"),
        (lambda folders: edit(folders[1] / "shard.json", rows=[0] * rows_in(folders[1])), "rows of the shards are not those of a list"),
        (lambda folders: edit(folders[1] / "shard.json", rows="all"), "/2/shard.json: must hold whole numbers"),
        (lambda folders: [edit(one / "shard.json", space={"name": 3}) for one in folders], "shard.json: does not name a space"),
        (lambda folders: [edit(one / "shard.json", list_sha256="x") for one in folders], "candidates are not those of the list"),
        (lambda folders: (folders[0] / "protocol.json").unlink(), "/1/protocol.json: cannot be read"),
    ],
)  # fmt: skip
def test_shards_that_do_not_fit_are_refused_by_name(damage: Callable[[list[Path]], object], says: str, tmp_path: Path):
    folders = write_shards(tmp_path, make_list(), 3)
    damage(folders)
    with pytest.raises(InputError, match=says):
        join_shards(folders)


def test_a_folder_keeps_its_shard(tmp_path: Path):
    (folder,) = write_shards(tmp_path, make_list(), 1)
    check_shard_folder(folder, Shard(1, 1))
    for other, wanted in ((Shard(1, 2), "shard 1/2"), (None, "the whole list")):
        with pytest.raises(InputError, match=f"holds shard 1/1, not {wanted}; give another run_dir"):
            check_shard_folder(folder, other)
    (folder / "shard.json").unlink()
    check_shard_folder(folder, None)
    with pytest.raises(InputError, match="holds a whole ranking, not shard 1/1"):
        check_shard_folder(folder, Shard(1, 1))


@pytest.mark.parametrize("is_smoothed", [False, True])
def test_a_table_is_read_as_it_was_written(is_smoothed: bool, tmp_path: Path):
    table = make_table(make_list())
    if is_smoothed:
        smoothed = np.random.default_rng(0).random(len(table.scores))
        smoothed[-1] = smoothed[2]  # the twin's
        table = replace(table, smoothed=smoothed)
    table.write(tmp_path / "scores.csv")
    found = read_table(tmp_path / "scores.csv", SPACE)
    assert [(one.name, one.text) for one in found.population] == [(one.name, one.text) for one in table.population]
    assert found.scores == table.scores
    np.testing.assert_array_equal(found.multiply_adds, table.multiply_adds)
    np.testing.assert_array_equal(found.parameters, table.parameters)
    np.testing.assert_equal(found.smoothed, table.smoothed)


@pytest.mark.parametrize(
    ("cell", "says"),
    [("much", "line 2: a smoothed score is no finite number: 'much'"), ("inf", "line 2: a smoothed score is no finite number")],
)
def test_a_smoothed_score_that_is_no_finite_number_is_refused_with_its_line(cell: str, says: str, tmp_path: Path):
    replace(make_table(make_list()), smoothed=np.full(len(make_list()), 0.25)).write(tmp_path / "scores.csv")
    text = (tmp_path / "scores.csv").read_text()
    (tmp_path / "scores.csv").write_text(text.replace(",0.25\n", f",{cell}\n", 1))
    with pytest.raises(InputError, match=says):
        read_table(tmp_path / "scores.csv", SPACE)
