"""Agreement of two rankings with each other, and which of them agrees better with known accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from nas_lightning.agreement.agreement import Agreement, cells_of, headers_of
from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES
from nas_lightning.agreement.measure import measure
from nas_lightning.agreement.summary import FEWEST_TO_JUDGE, SURE
from nas_lightning.errors import InputError, cut
from nas_lightning.runs.reading import read_json
from nas_lightning.scoring.protocol import ORDERED_BY, PREDICTOR, differences, read_order
from nas_lightning.scoring.table import LABELS, read_table
from nas_lightning.space import Architecture, Space, as_fractions, read_accuracies, read_values

ACC = "acc"
"""The one score of a file in the challenge's format; of a table next to it, the score that orders it."""


@dataclass(frozen=True)
class RankingFile:
    """A file's candidates, copies included, and its scores: (n,) each, by name, higher is better."""

    architectures: tuple[Architecture, ...]
    scores: dict[str, npt.NDArray[np.float64]]

    def of(self, architectures: list[Architecture]) -> dict[str, npt.NDArray[np.float64]]:
        """The scores of some of its candidates."""
        row_of = {architecture: row for row, architecture in enumerate(self.architectures)}
        rows = [row_of[architecture] for architecture in architectures]
        return {label: values[rows] for label, values in self.scores.items()}


def read_rankings(first: Path, second: Path, space: Space) -> tuple[RankingFile, RankingFile]:
    """Reads two files, each a ``scores.csv``, or a ``.json`` in the challenge's format, whose ``acc`` of 0 are left out.

    Raises:
        InputError: as ``read_table`` or ``read_accuracies``.
    """
    one, other = (_read_ranking(path, space) for path in (first, second))
    if (ACC in one.scores) == (ACC in other.scores):
        return one, other
    return _by_its_order(first, one), _by_its_order(second, other)


def _read_ranking(path: Path, space: Space) -> RankingFile:
    if path.suffix.lower() != ".json":
        table = read_table(path, space)
        return RankingFile(table.population.architectures, table.qualities())
    values = read_values(path, space)
    if all(value > 0 for value in values.values()):  # else they are other scores, such as negative cross entropies
        by_architecture = as_fractions(path, values)
    else:
        by_architecture = {candidate.architecture: value for candidate, value in values.items()}
    return RankingFile(tuple(by_architecture), {ACC: np.array(list(by_architecture.values()), dtype=np.float64)})


def _by_its_order(path: Path, ranking: RankingFile) -> RankingFile:
    if ACC in ranking.scores:
        return ranking
    wanted, any_other = LABELS[read_order(path) or "predicted"], list(ranking.scores)[-1]
    return RankingFile(ranking.architectures, {ACC: ranking.scores[wanted if wanted in ranking.scores else any_other]})


def compare_scores(first: Path, second: Path, space: Space, resamples: int) -> Agreement:
    """Compares each score of the second table with the same score of the first, which stands for the truth.

    Args:
        first: as for ``read_rankings``.
        second: another; only architectures in both count.

    Raises:
        InputError: if the tables share fewer than three architectures.
    """
    tables = read_rankings(first, second, space)
    shared = _shared(*tables, f"{first} and {second}")
    truths, columns = (table.of(shared) for table in tables)
    _check_common(truths, columns, f"{first} and {second}")
    parts = [measure({label: columns[label]}, truth, resamples=resamples) for label, truth in truths.items() if label in columns]
    scores = {label: score for part in parts for label, score in part.scores.items()}
    return replace(parts[0], scores=scores, copies=_copies(tables, shared))


@dataclass(frozen=True)
class Comparison:
    """Two rankings of the same candidates, compared with the same known accuracies on the same resamples."""

    agreement: Agreement
    """Its scores are named ``first top-1``, ``second top-1`` and so on."""
    candidates: int
    """Architectures in both tables, including those without a known accuracy."""

    def to_json(self) -> dict[str, Any]:
        """Both rankings' agreement, and the probability that each is better, by score and statistic."""
        content = self.agreement.to_json()
        kept = ("n", "missing", "resamples", "seed", "interval", "scores", "kendall_subset")
        better = {score: {statistic: self._better(score, statistic) for statistic in self.agreement.statistics} for score in self._scores}
        return {**{key: content[key] for key in kept if key in content}, "better": better}

    def table(self) -> str:
        """A table for the terminal, two rows for each score; the other statistics are in the file."""
        shared = next((k for k in next(iter(self.agreement.scores.values())).by_k("top_k_overlap")), None)
        headers = ["score", "of", *(head.replace(", ", ",\n") for head in headers_of(shared)), "wins"]  # one line is too wide
        rows = [
            [score, side, *cells_of(self.agreement.scores[f"{side} {score}"], shared), *([] if share is None else [f"{100 * share:.1f} %"])]
            for score in self._scores
            for side, share in self._better(score, "kendall").items()
        ]
        return f"{tabulate(rows, headers, disable_numparse=True)}\n{self.agreement.footnote}"

    def verdict(self) -> str:
        """One sentence on which ranking is better, by the last score that both have."""
        score, winner = self._scores[-1], max(self._better(self._scores[-1], "kendall").items(), key=lambda side: side[1] or 0)
        if winner[1] is None:
            return f"By {score} the two cannot be compared: one has no order."
        if self.agreement.n < FEWEST_TO_JUDGE:
            return f"By {score} none is shown to be better: {self.agreement.n} known accuracies tell nothing of an order."
        better = f"the {winner[0]} is better" if winner[1] >= SURE else "none is shown to be better"
        return f"By {score} {better}: the {winner[0]} wins {100 * winner[1]:.1f} % of the resamples."

    @property
    def _scores(self) -> list[str]:
        """The scores in both rankings."""
        return [label for label in (*LABELS.values(), ACC) if {f"first {label}", f"second {label}"} <= self.agreement.scores.keys()]

    def _better(self, score: str, statistic: str) -> dict[str, float | None]:
        first, second = f"first {score}", f"second {score}"
        return {"first": self.agreement.wins(first, second, statistic), "second": self.agreement.wins(second, first, statistic)}


def compare_with_known(first: Path, second: Path, known_accuracies: Path, space: Space, resamples: int) -> Comparison:
    """Compares both tables with known accuracies, on the candidates of all three.

    Args:
        first: as for ``read_rankings``.
        second: another.
        known_accuracies: in the challenge's format.

    Raises:
        InputError: if there are fewer than three.
    """
    tables, known = read_rankings(first, second, space), read_accuracies(known_accuracies, space)
    both = _shared(*tables, f"{first} and {second}")
    shared = [architecture for architecture in both if architecture in known]
    if len(shared) < FEWEST_ARCHITECTURES:
        raise InputError(
            f"{known_accuracies}: has accuracies of {len(shared)} of the candidates in both tables; at least 3 are needed "
            f"({len(both)} are in both; an acc of 0 is unknown)"
        )
    ours, theirs = (table.of(shared) for table in tables)
    _check_common(ours, theirs, f"{first} and {second}")
    columns = {f"{side} {score}": column for side, found in (("first", ours), ("second", theirs)) for score, column in found.items()}
    truth = np.array([known[architecture] for architecture in shared])
    return Comparison(replace(measure(columns, truth, resamples=resamples), copies=_copies(tables, shared)), len(both))


def other_protocol(first: Path, second: Path) -> str | None:
    """The difference of two tables' protocols, except checkpoints, in words; None if there is none.

    Raises:
        InputError: if a protocol is not a JSON object.
    """
    paths = [table.parent / "protocol.json" for table in (first, second)]
    if not all(path.is_file() for path in paths):
        return None
    protocols = [read_json(path) for path in paths]
    different = [(key, old, new) for key, old, new in differences(*protocols) if key != "checkpoint_sha256"]
    # Before predictors had names there was one, which named the score.
    old, new = (protocol.get(PREDICTOR) or ("smoothed" if protocol.get(ORDERED_BY) == "smoothed" else None) for protocol in protocols)
    if old != new and None not in (old, new):
        different.append((PREDICTOR, old, new))
    return ", ".join(f"{key} is {cut(repr(old))} and {cut(repr(new))}" for key, old, new in different) or None


def _check_common(first: dict[str, Any], second: dict[str, Any], places: str) -> None:
    if not first.keys() & second.keys():
        raise InputError(f"{places}: share no score: the first has {', '.join(first)} of all candidates, the second {', '.join(second)}")


def _shared(first: RankingFile, second: RankingFile, places: str) -> list[Architecture]:
    among = set(second.architectures)
    shared = [architecture for architecture in dict.fromkeys(first.architectures) if architecture in among]
    if len(shared) < FEWEST_ARCHITECTURES:
        raise InputError(f"{places}: share {len(shared)} candidates; at least 3 are needed")
    return shared


def _copies(tables: Sequence[RankingFile], shared: list[Architecture]) -> int:
    """Duplicate names of the shared architectures in the table with more of them."""
    among = set(shared)
    return max(sum(architecture in among for architecture in table.architectures) for table in tables) - len(shared)
