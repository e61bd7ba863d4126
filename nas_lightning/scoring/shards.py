"""One ranking split over machines that do not communicate: each scores its shard of the list into one run folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_json
from nas_lightning.space import Population


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Reads the form ``3/16``.

        Raises:
            InputError: if it is anything else.
        """
        match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
        if match is None or int(match[1]) > int(match[2]):
            raise InputError(f"ranking.shard: {text!r} must be k/n, the k-th of n parts, such as 3/16")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Name of its folder of finished rows, and of its lock."""
        return f"shard_{self.number}_of_{self.count}"

    def of(self, population: Population) -> Population:
        """The shard's candidates in the list's order: neighbours in the sorted list, which share their first layers.

        Raises:
            InputError: if there are more shards than candidates.
        """
        order = sorted(set(population.architectures), key=lambda architecture: architecture.widths)
        if self.count > len(order):
            raise InputError(f"ranking.shard: {self} has more parts than the list has candidates, {len(order)}")
        first, end = ((number * len(order)) // self.count for number in (self.number - 1, self.number))
        mine = set(order[first:end])
        return Population(population.space, tuple(candidate for candidate in population if candidate.architecture in mine))


def check_no_older_shard(folder: Path) -> None:
    """Refuses a ranking's folder of version 0.1 or older, where a shard had a run folder of its own.

    Raises:
        InputError: naming what to copy where, so that no score is computed again.
    """
    if not (folder / "shard.json").is_file():
        return
    old = read_json(folder / "shard.json")
    shard = f"{old.get('shard')}/{old.get('shards')}"
    name = shard.replace("/", "_of_")
    raise InputError(
        f"{folder}: holds shard {shard} of an older version; copy its protocol.json to NEW/ranking/ and its parts/ to "
        f"NEW/ranking/parts/shard_{name}, the other shards' likewise, then rank the whole list with run_dir=NEW"
    )
