"""The candidates that a search has evaluated, and their file, from which it resumes."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import finite, read_rows
from nas_lightning.scoring.table import NOT_SCORED, Score
from nas_lightning.search.problem import Floats
from nas_lightning.space import Architecture, Space

SHARE = "share_of_images"
"""Column of the share of the search's images on which a candidate was scored; without it all are scored on all."""


class Evaluated(NamedTuple):
    """One candidate."""

    generation: int
    """From 0."""
    architecture: Architecture
    score: Score
    """``NOT_SCORED`` if it was only predicted."""
    predicted: float
    """Cross entropy in nats; nan if it was scored."""
    costs: dict[str, float]
    share: float = 1.0
    """Of the search's images, on which it was scored."""

    @classmethod
    def of(
        cls, generation: int, architecture: Architecture, result: Score | float, costs: dict[str, float], share: float = 1.0
    ) -> "Evaluated":
        """From a score, or a predicted cross entropy."""
        if isinstance(result, Score):
            return cls(generation, architecture, result, math.nan, costs, share)
        return cls(generation, architecture, NOT_SCORED, float(result), costs, share)

    def loss(self, objective: str) -> float:
        """What the search lowers: a cross entropy, or the share of images that are not classified correctly."""
        return {"cross_entropy": self.score.cross_entropy, "top1": 1 - self.score.top1, "predicted": self.predicted}[objective]


def work(rows: Iterable[Evaluated]) -> float:
    """What an evaluation counts: a candidate on all images of the search, or two on half of them each."""
    return sum(row.share for row in rows)


def losses(rows: Iterable[Evaluated], objective: str, front: Sequence[str]) -> Floats:
    """(n, 1 + costs) loss and costs of the front, lower is better."""
    values = [[row.loss(objective), *(row.costs[name] for name in front)] for row in rows]
    return np.array(values, dtype=np.float64).reshape(-1, 1 + len(front))


def columns(costs: Iterable[str]) -> tuple[str, ...]:
    """The heads of the file."""
    return ("generation", "architecture", *Score._fields, "predicted", *costs)


def as_csv(
    rows: Sequence[Evaluated],
    space: Space,
    costs: Sequence[str],
    more: Mapping[str, Mapping[Architecture, float]] = MappingProxyType({}),
) -> str:
    """The text of ``evaluated.csv`` or ``front.csv``; a value that does not exist is empty.

    Args:
        more: other columns, by their head. A search that scores on some of the images has one of their share.
    """
    text, is_partial = io.StringIO(), any(row.share < 1 for row in rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*columns(costs), *more, *([SHARE] if is_partial else [])))
    for row in rows:
        cells = ("" if math.isnan(value) else repr(value) for value in (*row.score, row.predicted))
        others = (column.get(row.architecture, "") for column in more.values())
        priced = (_plain(row.costs[name]) for name in costs)
        writer.writerow((row.generation, space.text(row.architecture), *cells, *priced, *others, *([row.share] if is_partial else [])))
    return text.getvalue()


def read_evaluated(path: Path, space: Space, costs: Sequence[str]) -> list[Evaluated]:
    """The rows of a file; none if there is no file.

    Raises:
        InputError: naming the first line that is not a row of this space and these costs.
    """
    rows: list[Evaluated] = []
    heads = columns(costs)
    for line, cells in read_rows(path, heads) if path.is_file() else ():
        place = f"{path}: line {line}"
        try:
            architecture = space.parse(cells["architecture"])
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        values = {key: value for key in heads if key != "architecture" and (value := finite(cells[key])) is not None}
        filled, given = values.keys(), {key for key in heads if key != "architecture" and cells[key]}
        of_score = filled - {"generation", *costs}
        share = finite(cells.get(SHARE, "1")) or 0.0
        is_filled = filled == given and {"generation", *costs} <= filled and 0 < share <= 1
        if not is_filled or of_score not in ({*Score._fields}, {"predicted"}):
            raise InputError(f"{place}: is not a row of {','.join(heads)}")
        is_scored = of_score != {"predicted"}
        score = Score(*(values[key] for key in Score._fields)) if is_scored else NOT_SCORED
        priced = {name: values[name] for name in costs}
        rows.append(Evaluated(int(values["generation"]), architecture, score, values.get("predicted", math.nan), priced, share))
    return rows


def _plain(value: float) -> str:
    """A cost as text: of counts without a point."""
    return str(int(value)) if value == int(value) else repr(value)
