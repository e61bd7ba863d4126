"""A run's ranking: its scores, and the accuracies that are known of its candidates, from a file or from trainings alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.report.winners import FOLDER as WINNERS
from nas_lightning.runs.reading import finite, read_rows
from nas_lightning.scoring.meanings import NAMES, UNITS
from nas_lightning.scoring.table import LABELS, ScoreTable, read_table
from nas_lightning.space import AnyWidths, read_accuracies

Content = TypeVar("Content")


@dataclass(frozen=True)
class Ranking:
    """``ranking/scores.csv``, the score that orders it, and the known accuracies of its candidates."""

    table: ScoreTable
    label: str
    """The score that orders, in words and in agreement.json."""
    key: str
    """The score that orders, as ``ranking.score`` names it."""
    quality: npt.NDArray[np.float64]
    """(n,) scores in ``unit``, higher is better."""
    values: npt.NDArray[np.float64]
    """(n,) scores as they are shown, such as cross entropies, of which less is better."""
    distinct: npt.NDArray[np.int64]
    """Rows of each architecture's first name, ascending; other rows are copies under other names."""
    order: npt.NDArray[np.int64]
    """The distinct rows, best score first."""
    truth: npt.NDArray[np.float64]
    """(n,) known accuracies of the candidates, nan if unknown."""
    known: npt.NDArray[np.int64]
    """Distinct rows with a known accuracy."""
    truth_file: str
    """File of the known accuracies, below the run's folder; empty without one."""
    alone: Mapping[int, npt.NDArray[np.float64]]
    """Accuracies of the candidates that the run trained alone, by row, one per seed; fractions, none of trainings that diverged."""
    winners: Mapping[int, npt.NDArray[np.float64]]
    """Likewise of the best and of random ones that nas-standalone trained after the ranking."""

    @property
    def name(self) -> str:
        """Of the shown values, such as ``cross entropy``."""
        return NAMES[self.key]

    @property
    def unit(self) -> str:
        """Of ``quality`` and ``values``."""
        return UNITS[self.key]

    @property
    def seeds(self) -> dict[int, npt.NDArray[np.float64]]:
        """Those whose mean over several seeds is the known accuracy."""
        means = {row: values.mean() for row, values in self.alone.items() if len(values) > 1}
        return {row: self.alone[row] for row, mean in means.items() if math.isclose(mean, self.truth[row], abs_tol=1e-5)}


def read_ranking(folder: Path, key: str, layers: int | None) -> Ranking:
    """Reads it and what is known of its candidates.

    Args:
        folder: of the run.
        key: the score that orders.
        layers: number of widths of an architecture; None if unknown.
    """
    table = read_table(folder / "ranking/scores.csv", AnyWidths(layers))
    if key == "predicted" and table.predicted is None:
        raise InputError(f"{folder}/ranking/scores.csv: has no column {key}, by which it is to be ordered; rank again")
    path = next((path for place in ("ranking", "standalone") if (path := folder / place / "known_accuracies.json").is_file()), None)
    known = {} if path is None else read_accuracies(path, AnyWidths(layers))
    truth = np.array([known.get(architecture, math.nan) for architecture in table.population.architectures])
    order, distinct = table.order(key), np.array(table.population.distinct_rows, dtype=np.int64)
    return Ranking(
        table=table,
        label=LABELS[key],
        key=key,
        quality=table.quality(key) * (100 if key == "top1" else 1),
        values=table.shown(key),
        distinct=distinct,
        order=order[np.isin(order, distinct)],
        truth=truth,
        known=distinct[~np.isnan(truth[distinct])],
        truth_file="" if path is None else str(path.relative_to(folder)),
        alone=_alone_by_row(folder / "standalone/accuracies.csv", table, AnyWidths(layers)),
        winners=_alone_by_row(folder / WINNERS / "accuracies.csv", table, AnyWidths(layers)),
    )


def _alone_by_row(path: Path, table: ScoreTable, space: AnyWidths) -> dict[int, npt.NDArray[np.float64]]:
    try:
        trained = {space.parse(code): np.array(values) for code, values in (optional(read_alone, path) or {}).items()}
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    rows = {row: trained.get(table.population[row].architecture, np.zeros(0)) for row in table.population.distinct_rows} if trained else {}
    return {row: kept for row, values in rows.items() if len(kept := values[~np.isnan(values)])}


def read_alone(path: Path) -> dict[str, tuple[float, ...]]:
    """A table ``accuracies.csv``: fractions by code, one per seed, nan if the training diverged."""
    by_code: dict[str, tuple[float, ...]] = {}
    for line, row in read_rows(path, ("architecture", "seed", "accuracy")):
        code = row["architecture"]
        diverged = row.get("failure") and not row["accuracy"]
        accuracy = math.nan if diverged else number(row["accuracy"], f"{path}: line {line}: accuracy", 0, 1)
        by_code[code] = (*by_code.get(code, ()), accuracy)
    return by_code


def number(text: str, place: str, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number in these bounds."""
    if (value := finite(text)) is None:
        raise InputError(f"{place}: {text[:80]!r} is not a finite number")
    if not least <= value <= most:
        raise InputError(f"{place}: {text[:80]!r} must be from {least:g} to {most:g}")
    return value


def optional(read: Callable[[Path], Content], *paths: Path) -> Content | None:
    """The content of the first file that exists."""
    return next((read(path) for path in paths if path.is_file()), None)
