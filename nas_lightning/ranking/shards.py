"""One ranking shared by machines that know nothing of each other: each scores its shard of the list, and the shards are joined."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas_lightning.durable import write_json
from nas_lightning.errors import InputError
from nas_lightning.ranking.protocol import UNSAID
from nas_lightning.ranking.table import ScoreTable, read_table
from nas_lightning.reading import read_json
from nas_lightning.space import Population, SearchSpace

NAME = "shard.json"


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``3/16``.

        Raises:
            InputError: if it is anything else.
        """
        found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
        if found is None or int(found[1]) > int(found[2]):
            raise InputError(f"ranking.shard: {text!r} must be k/n, the k-th of n parts, such as 3/16")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def rows(self, population: Population) -> list[int]:
        """The rows of a list that belong to the shard, ascending: neighbours in the sorted list, so that they share their first layers.

        Raises:
            InputError: if there are more shards than candidates.
        """
        order = sorted(set(population.architectures), key=lambda architecture: architecture.widths)
        if self.count > len(order):
            raise InputError(f"ranking.shard: {self} has more parts than the list has candidates, {len(order)}")
        first, end = ((number * len(order)) // self.count for number in (self.number - 1, self.number))
        mine = set(order[first:end])
        return [row for row, architecture in enumerate(population.architectures) if architecture in mine]


def write_shard(folder: Path, shard: Shard, population: Population, rows: Sequence[int]) -> None:
    """Says beside a shard's ``scores.csv`` which rows of which list it holds.

    Args:
        population: the whole list.
    """
    write_json(folder / NAME, {**_said(shard, population), "rows": list(rows)})


def check_shard_folder(folder: Path, shard: Shard | None) -> None:
    """Raises InputError if the folder holds another shard, or the whole ranking where a shard is asked for."""
    if (folder / NAME).is_file():
        found = read_json(folder / NAME)
        held = f"{found.get('shard')}/{found.get('shards')}"
        if shard is None or str(shard) != held:
            wanted = "the whole list" if shard is None else f"shard {shard}"
            raise InputError(f"{folder}: holds shard {held}, not {wanted}; give another run_dir")
    elif shard is not None and (folder / "scores.csv").is_file():
        raise InputError(f"{folder}: holds a whole ranking, not shard {shard}; give another run_dir")


def join_shards(folders: Sequence[Path]) -> tuple[ScoreTable, dict[str, Any]]:
    """The table of the whole list, and the protocol that all shards were scored under.

    Args:
        folders: those that hold ``scores.csv``, ``shard.json`` and ``protocol.json``.

    Raises:
        InputError: naming the folders where a shard is missing, stands twice, or is of another list or protocol.
    """
    said = {folder: _read_shard(folder) for folder in folders}
    first = folders[0]
    protocol = read_json(first / "protocol.json")
    owners: dict[int, Path] = {}
    for folder, one in said.items():
        _check_same(first, folder, said[first], one, "list")
        _check_same(first, folder, protocol, read_json(folder / "protocol.json"), "protocol")
        if (other := owners.get(one["shard"])) is not None:
            raise InputError(f"{folder}: holds shard {one['shard']}/{one['shards']}, as {other} does; each may stand once")
        owners[one["shard"]] = folder
    missing = [number for number in range(1, said[first]["shards"] + 1) if number not in owners]
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise InputError(f"shards: {len(missing)} of {said[first]['shards']} are missing: {shown}")
    space = _space(first, said[first])
    return _joined([(folder, said[folder]["rows"], read_table(folder / "scores.csv", space)) for folder in folders], said[first]), protocol


def _joined(parts: Sequence[tuple[Path, list[int], ScoreTable]], said: dict[str, Any]) -> ScoreTable:
    for folder, rows, table in parts:
        if len(rows) != len(table.population):
            raise InputError(f"{folder}/scores.csv: has {len(table.population)} rows, but {NAME} names {len(rows)}")
    rows = [row for _, some, _ in parts for row in some]
    if sorted(rows) != list(range(said["candidates"])):
        raise InputError(f"{parts[0][0]}: the rows of the shards are not those of a list of {said['candidates']}, each once")
    order = np.argsort(rows)
    tables = [table for _, _, table in parts]
    candidates = [one for table in tables for one in table.population]
    scores = [one for table in tables for one in table.scores]
    population = Population(tables[0].population.space, tuple(candidates[place] for place in order))
    joined = ScoreTable(
        population,
        tuple(scores[place] for place in order),
        np.concatenate([table.multiply_adds for table in tables])[order],
        np.concatenate([table.parameters for table in tables])[order],
    )
    if _list_hash(population) != said["list_sha256"]:
        raise InputError(f"{parts[0][0]}: the shards' candidates are not those of the list that {NAME} was written for")
    return joined


def _said(shard: Shard, population: Population) -> dict[str, Any]:
    return {
        "shard": shard.number,
        "shards": shard.count,
        "candidates": len(population),
        "list_sha256": _list_hash(population),
        "space": population.space.header(),
    }


def _list_hash(population: Population) -> str:
    return hashlib.sha256(json.dumps([[one.name, one.text] for one in population]).encode()).hexdigest()


def _read_shard(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    found = read_json(path)
    numbers = [found.get(key) for key in ("shard", "shards", "candidates")]
    rows = found.get("rows")
    if not all(type(one) is int for one in numbers) or not isinstance(rows, list) or not all(type(row) is int for row in rows):
        raise InputError(f"{path}: must hold whole numbers shard, shards and candidates, and a list of rows")
    return found


def _check_same(first: Path, folder: Path, one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    for key in {**one, **other}:
        old, new = (said.get(key, UNSAID.get(key)) for said in (one, other))
        if key not in ("shard", "rows") and old != new:
            raise InputError(f"{folder}: is of another {what} than {first}: {key} is {str(new)[:80]}, there {str(old)[:80]}")


def _space(folder: Path, said: dict[str, Any]) -> SearchSpace:
    try:
        return SearchSpace(**said["space"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}/{NAME}: does not name a space ({' '.join(str(error).split())})") from None
