"""One ranking shared by machines that know nothing of each other: each scores its shard of the list, and the shards are joined."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas_lightning.durable import as_json, write_text
from nas_lightning.errors import InputError
from nas_lightning.made_from import file_hash, text_hash, write_source
from nas_lightning.ranking.protocol import ORDERED_BY, differences
from nas_lightning.ranking.table import LABELS, ScoreTable, made_from_scores, read_table
from nas_lightning.reading import read_json
from nas_lightning.space import Population, SearchSpace

NAME = "shard.json"
SCORES_HASH = "scores_sha256"


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


def write_shard(folder: Path, shard: Shard, population: Population, rows: Sequence[int], table: ScoreTable) -> None:
    """Writes a shard's ``scores.csv``, and before it which rows of which list that holds: scores of which nothing is said are no shard.

    Args:
        population: the whole list.
        rows: those of the shard.
        table: their scores.
    """
    text = table.as_csv()
    content = {**_said(shard, population), SCORES_HASH: text_hash(text), "rows": list(rows)}
    write_source(folder / NAME, as_json(content), [folder / "scores.csv", *made_from_scores(folder)])
    write_text(folder / "scores.csv", text)


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


def join_shards(folders: Sequence[Path], ordered_by: str | None = None) -> tuple[ScoreTable, dict[str, Any]]:
    """The table of the whole list, and the protocol that all shards were scored under.

    Args:
        folders: those that hold ``scores.csv``, ``shard.json`` and ``protocol.json``.
        ordered_by: the score that orders the candidates; None takes that of the shards' protocols.

    Raises:
        InputError: naming the folders where a shard is missing, stands twice, or is of another list, protocol or order.
    """
    said = {folder: _read_shard(folder) for folder in folders}
    protocols = {folder: read_json(folder / "protocol.json") for folder in folders}
    first = folders[0]
    owners: dict[int, Path] = {}
    for folder, one in said.items():
        _check_same_list(first, folder, said[first], one)
        for key, old, new in differences(protocols[first], protocols[folder]):
            raise _of_another("protocol", first, folder, key, old, new)
        if (other := owners.get(one["shard"])) is not None:
            raise InputError(f"{folder}: holds shard {one['shard']}/{one['shards']}, as {other} does; each may stand once")
        owners[one["shard"]] = folder
    missing = [number for number in range(1, said[first]["shards"] + 1) if number not in owners]
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise InputError(f"shards: {len(missing)} of {said[first]['shards']} are missing: {shown}")
    protocol = {**protocols[first], ORDERED_BY: ordered_by or _order(protocols)}
    space = _space(first, said[first])
    return _joined([(folder, said[folder]["rows"], read_table(folder / "scores.csv", space)) for folder in folders], said[first]), protocol


def _order(protocols: Mapping[Path, dict[str, Any]]) -> str:
    orders = {folder: protocol.get(ORDERED_BY) for folder, protocol in protocols.items()}
    first, order = next(iter(orders.items()))
    if other := next((folder for folder in orders if orders[folder] != order), None):
        raise InputError(f"{other}: is ordered by {str(orders[other])[:80]}, {first} by {str(order)[:80]}; give score= to choose")
    if order not in LABELS:
        raise InputError(f"{first}/protocol.json: {ORDERED_BY}: {str(order)[:80]!r} is not one of {', '.join(LABELS)}; give score=")
    return str(order)


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
    scores = folder / "scores.csv"
    if scores.is_file() and found.get(SCORES_HASH, kept := file_hash(scores)) != kept:
        raise InputError(f"{scores}: is not the table that {NAME} was written for; rank the shard again")
    return found


def _check_same_list(first: Path, folder: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    for key in {**one, **other}:
        if key not in ("shard", "rows", SCORES_HASH) and one.get(key) != other.get(key):
            raise _of_another("list", first, folder, key, one.get(key), other.get(key))


def _of_another(what: str, first: Path, folder: Path, key: str, old: object, new: object) -> InputError:
    return InputError(f"{folder}: is of another {what} than {first}: {key} is {str(new)[:80]}, there {str(old)[:80]}")


def _space(folder: Path, said: dict[str, Any]) -> SearchSpace:
    try:
        return SearchSpace(**said["space"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}/{NAME}: does not name a space ({' '.join(str(error).split())})") from None
