"""How far two rankings agree with each other, and which of them agrees better with known accuracies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from nas_lightning.errors import InputError
from nas_lightning.ranking.agreement import FEWEST_ARCHITECTURES, Agreement, measure
from nas_lightning.ranking.protocol import UNSAID
from nas_lightning.ranking.table import LABELS, ScoreTable, read_table
from nas_lightning.reading import read_json
from nas_lightning.space import Architecture, SearchSpace, read_accuracies


def compare_scores(first: Path, second: Path, space: SearchSpace, resamples: int) -> Agreement:
    """The second table's scores against the first's negative cross entropy, which has no ties.

    Args:
        first: a ``scores.csv``.
        second: another; only candidates in both count.

    Raises:
        InputError: if the tables share fewer than three candidates.
    """
    one, other = read_table(first, space), read_table(second, space)
    shared = _shared(one, other, f"{first} and {second}")
    return measure(_columns(other, shared), _columns(one, shared)[LABELS["cross_entropy"]], resamples=resamples)


@dataclass(frozen=True)
class Comparison:
    """Two rankings of the same candidates beside the same known accuracies, on the same resamples."""

    agreement: Agreement
    """Its scores are named ``first top-1``, ``second top-1`` and so on."""

    def to_json(self) -> dict[str, Any]:
        """Both rankings' agreement, and by score and statistic the probability that each is the better."""
        content = self.agreement.to_json()
        kept = {key: content[key] for key in ("n", "missing", "resamples", "seed", "interval", "scores")}
        better = {score: {one: self._better(score, one) for one in self.agreement.statistics} for score in self._scores}
        return {**kept, "better": better}

    def table(self) -> str:
        """For the terminal, about 100 columns wide."""
        scores, statistics = self._scores, self.agreement.statistics
        rows = [[one, *(chance for score in scores for chance in self._better(score, one).values())] for one in statistics]
        headers = ["better by", *(header for score in scores for header in (f"{score}: first", "second"))]
        chances = tabulate(rows, headers, floatfmt=".3f", missingval="undefined")
        return f"{self.agreement.table()}\n\nProbability, over the same resamples, that a ranking is the better one\n{chances}"

    @property
    def _scores(self) -> list[str]:
        """Those that both rankings have."""
        return [one for one in LABELS.values() if {f"first {one}", f"second {one}"} <= self.agreement.by_score.keys()]

    def _better(self, score: str, statistic: str) -> dict[str, float | None]:
        first, second = f"first {score}", f"second {score}"
        return {"first": self.agreement.beats(first, second, statistic), "second": self.agreement.beats(second, first, statistic)}


def compare_with_known(first: Path, second: Path, known_accuracies: Path, space: SearchSpace, resamples: int) -> Comparison:
    """Both tables against known accuracies, of the candidates that all three have.

    Args:
        first: a ``scores.csv``.
        second: another.
        known_accuracies: in the challenge's format, fractions.

    Raises:
        InputError: if these are fewer than three.
    """
    one, other, known = read_table(first, space), read_table(second, space), read_accuracies(known_accuracies, space)
    shared = [architecture for architecture in _shared(one, other, f"{first} and {second}") if architecture in known]
    if len(shared) < FEWEST_ARCHITECTURES:
        raise InputError(f"{known_accuracies}: has accuracies of {len(shared)} of the candidates in both tables; at least 3 are needed")
    columns = {
        f"{side} {score}": column
        for side, table in (("first", one), ("second", other))
        for score, column in _columns(table, shared).items()
    }
    return Comparison(measure(columns, np.array([known[architecture] for architecture in shared]), resamples=resamples))


def other_protocol(first: Path, second: Path) -> str | None:
    """In words what differs between the protocols that lie beside two tables, but for the checkpoint; None where nothing does.

    Raises:
        InputError: if one is no JSON object.
    """
    paths = [table.parent / "protocol.json" for table in (first, second)]
    if not all(path.is_file() for path in paths):
        return None
    one, other = ({**UNSAID, **read_json(path)} for path in paths)
    keys = [key for key in {**one, **other} if key != "checkpoint_sha256" and one.get(key) != other.get(key)]
    return ", ".join(f"{key} is {one.get(key)!r} and {other.get(key)!r}" for key in keys) or None


def _shared(one: ScoreTable, other: ScoreTable, places: str) -> list[Architecture]:
    among = set(other.population.architectures)
    shared = [architecture for architecture in dict.fromkeys(one.population.architectures) if architecture in among]
    if len(shared) < FEWEST_ARCHITECTURES:
        raise InputError(f"{places}: share {len(shared)} candidates; at least 3 are needed")
    return shared


def _columns(table: ScoreTable, architectures: list[Architecture]) -> dict[str, npt.NDArray[np.float64]]:
    rows = {architecture: row for row, architecture in enumerate(table.population.architectures)}
    return {label: values[[rows[one] for one in architectures]] for label, values in table.qualities().items()}
