"""The score table, one row per candidate: ``scores.csv``, parts during a ranking, and the challenge's submission."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError, check_at_least
from nas_lightning.runs.reading import finite, read_rows, safe_cell
from nas_lightning.runs.writing import write_text
from nas_lightning.space import Architecture, Candidate, CandidateRows, Candidates, Population, ReadsCodes, Structure


class Score(NamedTuple):
    """The scores of one candidate on n images; nan if it was only predicted."""

    top1: float
    """Fraction of the images whose label has the highest logit."""
    top5: float
    """Fraction of the images whose label is among the five highest."""
    cross_entropy: float
    """Mean over the images, in nats."""


PART_COLUMNS = ("architecture", *Score._fields)
HALF_COLUMNS = ("cross_entropy_even", "cross_entropy_odd")
"""In parts, after the others: the means over the images of even and of odd place, counted from 0."""
COLUMNS = ("name", *PART_COLUMNS, "macs", "parameters")
MOST = 2**63 - 1
"""Maximum of multiply-adds and parameters, which are stored in 64 bits."""
SUBMISSION = "submission.json"
OF_THE_RUN = ("report.html", "report.md", "finished.json")
PREDICTION = "predictor.json"
HALVES = "halves.json"
FROM_SCORES = (SUBMISSION, PREDICTION, HALVES, "known_accuracies.json", "agreement.json", "cheap_first.json", "../by_checkpoint.json")
LABELS = {"top1": "top-1", "cross_entropy": "negative cross entropy", "predicted": "predicted"}
"""Name of a score in agreements, by ``ranking.score``."""
OLDER = {"smoothed": "predicted"}
"""Names of scores in older files, and what they are read as."""
NOT_SCORED = Score(math.nan, math.nan, math.nan)


def made_by_the_run(folder: Path) -> list[Path]:
    """Files that a run makes from a ranking's files, in the run folder.

    Args:
        folder: ``ranking``, or a checkpoint's folder in it.
    """
    run = folder.parent if folder.name == "ranking" else folder.parent.parent
    return [run / name for name in OF_THE_RUN]


def made_from_scores(folder: Path) -> list[Path]:
    """Files made from the ``scores.csv`` of a ranking's folder."""
    return [*(folder / name for name in FROM_SCORES), *made_by_the_run(folder)]


@dataclass(frozen=True)
class ScoreTable:
    """Candidates in the list's order with their scores and costs; every array is (n,)."""

    population: CandidateRows
    scores: tuple[Score, ...]
    multiply_adds: npt.NDArray[np.int64]
    parameters: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.float64] | None = None
    """Cross entropies by ``ranking.predictor``, if there is one."""
    last_widths: npt.NDArray[np.int64] | None = None
    """Widths that the classifiers read, a baseline; in no file."""

    @classmethod
    def of(
        cls,
        population: Population,
        scores: Iterable[Score],
        structure: Structure,
        predicted: npt.NDArray[np.float64] | None = None,
    ) -> Self:
        """Adds the candidates' costs to their scores."""
        costs, last = structure.cost(population.widths), structure.last_widths(population.widths)
        return cls(population, tuple(scores), costs.multiply_adds, costs.parameters, predicted, last)

    def quality(self, key: str) -> npt.NDArray[np.float64]:
        """(n,) higher is better: ``top1``, ``top5``, or the negative of ``cross_entropy`` or ``predicted``."""
        if key == "predicted":
            if self.predicted is None:
                raise ValueError("the table has no predicted scores")
            return -self.predicted
        values = np.array([getattr(score, key) for score in self.scores], dtype=np.float64)
        return -values if key == "cross_entropy" else values

    def qualities(self) -> dict[str, npt.NDArray[np.float64]]:
        """The scores that all candidates have, by label: (n,) each."""
        lacks = {"predicted"} if self.predicted is None else set()
        if not self.is_scored.all():
            lacks |= LABELS.keys() - {"predicted"}
        return {label: self.quality(key) for key, label in LABELS.items() if key not in lacks}

    def shown(self, key: str) -> npt.NDArray[np.float64]:
        """(n,) values of ``top1``, ``cross_entropy`` or ``predicted``, as ``scoring/meanings.py`` says."""
        return self.quality(key) * (100 if key == "top1" else -1)

    @property
    def is_scored(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a candidate has scores of its own."""
        return np.isfinite(self.quality("cross_entropy"))

    @property
    def how_scored(self) -> str:
        """How many architectures have scores of their own, in words; empty without predicted ones."""
        if self.predicted is None:
            return ""
        is_scored = self.is_scored[list(self.population.distinct_rows)]
        left = int((~is_scored).sum())
        return f"{int(is_scored.sum()):,} were scored, {left:,} only predicted" if left else "all were scored"

    def order(self, key: str) -> npt.NDArray[np.int64]:
        """(n,) row numbers, best first; ties go by cross entropy, then by the list."""
        return np.lexsort((-self.quality("cross_entropy"), -self.quality(key)))

    @property
    def default_score(self) -> str:
        """``predicted`` if there is one, else ``cross_entropy``."""
        return "cross_entropy" if self.predicted is None else "predicted"

    def best(self, count: int = 10, *, max_macs: int | None = None, by: str | None = None) -> tuple[Candidate, ...]:
        """The best architectures, each under its first name, best first.

        Args:
            count: at most N.
            max_macs: multiply-adds that none may exceed.
            by: ``top1``, ``cross_entropy`` or ``predicted``; None takes ``default_score``.
        """
        check_at_least("count", count, 0)
        if (by := by or self.default_score) not in LABELS:
            raise InputError(f"by: {by!r} is not one of {', '.join(LABELS)}")
        return tuple(self.population[int(row)] for row in self.best_rows(by, max_macs)[:count])

    def best_rows(self, by: str, max_macs: int | None = None) -> npt.NDArray[np.int64]:
        """(m,) row numbers of all architectures of at most ``max_macs`` multiply-adds, each under its first name, best first."""
        order = self.order(by)
        is_affordable = self.multiply_adds[order] <= (MOST if max_macs is None else max_macs)
        return order[np.isin(order, self.population.distinct_rows) & is_affordable]

    def write(self, path: Path) -> None:
        """Writes ``scores.csv``."""
        write_text(path, self.as_csv())

    def as_csv(self) -> str:
        """The text of ``scores.csv``."""
        predicted = [] if self.predicted is None else [self.predicted]
        rows = zip(self.population, self.scores, self.multiply_adds, self.parameters, *predicted, strict=True)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((*COLUMNS, "predicted") if predicted else COLUMNS)
        for candidate, score, macs, size, *more in rows:
            cells = ("" if math.isnan(value) else repr(value) for value in score)
            writer.writerow((safe_cell(candidate.name), candidate.text, *cells, int(macs), int(size), *(repr(float(one)) for one in more)))
        return text.getvalue()

    def write_submission(self, path: Path, key: str) -> None:
        """Writes the list with ``acc`` filled in; keys and codes stay as given."""
        self.population.write(path, (float(value) for value in self.quality(key)))


def read_scores(path: Path, space: ReadsCodes) -> dict[Architecture, Score]:
    """The scores of a ``scores.csv``, or of a part; not of candidates that were only predicted.

    Raises:
        InputError: naming the first line that is not a whole row.
    """
    scores = {architecture: score for _, _, architecture, score in _read(path, space) if score is not NOT_SCORED}
    if not scores:
        raise InputError(f"{path}: holds no scores")
    return scores


def read_table(path: Path, space: ReadsCodes) -> ScoreTable:
    """A whole ``scores.csv``.

    Args:
        space: of the candidates, or ``AnyWidths`` where no file names it.

    Raises:
        InputError: as ``read_scores``.
    """
    candidates, scores, costs = [], [], []
    predicted: list[float] = []  # stays empty if the table has no such column
    seen: dict[Architecture, tuple[float, ...]] = {}
    for line, row, architecture, score in _read(path, space, COLUMNS):
        place = f"{path}: line {line}"
        candidates.append(Candidate(row["name"], row["architecture"], architecture))
        scores.append(score)
        costs.append((_whole(row["macs"], place), _whole(row["parameters"], place)))
        text = row.get("predicted", row.get("smoothed"))
        predicted += [] if text is None else [_number(text, place)]
        values = (*costs[-1], *(predicted[-1:] or [0.0]))
        first = seen.setdefault(architecture, values)
        if first is not values and not all(map(math.isclose, first, values)):
            raise _differs(place, row)
    if not candidates:
        raise InputError(f"{path}: holds no scores")
    multiply_adds, parameters = np.array(costs, dtype=np.int64).reshape(-1, 2).T
    return ScoreTable(Candidates(tuple(candidates)), tuple(scores), multiply_adds, parameters, np.array(predicted) if predicted else None)


def write_part(
    folder: Path, start: int, candidates: Sequence[Candidate], scores: Sequence[Score], halves: Sequence[Sequence[float]] = ()
) -> None:
    """Writes the finished rows ``start`` to ``start + n - 1`` of a ranking in progress, with the ``HALF_COLUMNS`` if they are given."""
    columns = (*PART_COLUMNS, *(HALF_COLUMNS if halves else ()))
    rows = zip(candidates, scores, halves or [()] * len(scores), strict=True)
    lines = [",".join([candidate.text, *map(repr, (*score, *half))]) for candidate, score, half in rows]
    path = part_path(folder, f"{start}-{start + len(lines) - 1}", ".csv")
    write_text(path, "\n".join([",".join(columns), *lines, ""]))


def part_path(folder: Path, name: str, suffix: str) -> Path:
    """A free path for a part: an existing file may hold finished rows of another list, numbered differently."""
    path, number = folder / f"{name}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}{suffix}"
    return path


def read_parts(folder: Path, space: ReadsCodes) -> dict[Architecture, Score]:
    """The finished rows of one or more rankings in progress, all shards included."""
    scores: dict[Architecture, Score] = {}
    for path in part_files(folder):
        scores.update(read_scores(path, space))
    return scores


def part_files(folder: Path) -> list[Path]:
    """The parts of one or more rankings in progress, all shards included."""
    return sorted([*folder.glob("*-*.csv"), *folder.glob("shard_*/*-*.csv")])


def _read(
    path: Path, space: ReadsCodes, columns: Sequence[str] = PART_COLUMNS
) -> Iterator[tuple[int, dict[str, str], Architecture, Score]]:
    """The rows of a table with their line numbers."""
    seen: dict[Architecture, Score] = {}
    layers = 0
    for line, row in read_rows(path, columns):
        place = f"{path}: line {line}"
        try:
            architecture = space.parse(row["architecture"])
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        layers = layers or len(architecture.widths)
        if len(architecture.widths) != layers:
            raise InputError(f"{place}: {row['architecture'][:80]} has {len(architecture.widths)} entries, the first row {layers}")
        is_predicted = bool(row.get("predicted")) and not any(row[key] for key in Score._fields)
        score = NOT_SCORED if is_predicted else _score(row, place, columns)
        if seen.setdefault(architecture, score) != score:
            raise _differs(place, row)
        yield line, row, architecture, score


def _score(row: dict[str, str], place: str, columns: Sequence[str]) -> Score:
    try:
        score = Score(*(float(row[key]) for key in Score._fields))
    except ValueError:
        raise InputError(f"{place}: is not a row of {','.join(columns)}") from None
    if not all(map(math.isfinite, score)):
        raise InputError(f"{place}: a score is not a finite number")
    if not (0 <= score.top1 <= 1 and 0 <= score.top5 <= 1 and score.cross_entropy >= 0):
        raise InputError(f"{place}: top1 and top5 must be fractions from 0 to 1, cross_entropy at least 0: {', '.join(map(repr, score))}")
    return score


def _differs(place: str, row: dict[str, str]) -> InputError:
    return InputError(f"{place}: {row['architecture']} stands above with other values; an architecture has one score")


def _whole(text: str, place: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= MOST:
        raise InputError(f"{place}: macs and parameters must be whole numbers from 0 to {MOST}, not {text[:80]!r}")
    return value


def _number(text: str, place: str) -> float:
    if (value := finite(text)) is None:
        raise InputError(f"{place}: a predicted score is no finite number: {text[:80]!r}")
    return value
