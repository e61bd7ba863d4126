"""Reads ``ranking/agreement.json``, also as older runs wrote it: what a file does not say stays out of the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from nas_lightning.errors import InputError
from nas_lightning.reading import read_json

STATISTICS = {
    "kendall": "Kendall tau-b",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "weighted_kendall": "weighted Kendall",
    "kendall_top_third": "Kendall, top third",
}
"""Correlations in [-1, 1], with their names in words."""
LARGEST = 1e300
"""Of a number; beyond it, as infinity and nan, it is none."""
BEST = ("top_k_overlap", "best_rank", "regret")
"""Statistics of the k best, an entry for each k."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic and its 95 % interval; None where undefined or not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def text(self, form: str = ".3f") -> str:
        """Value and interval in a number format."""
        if self.value is None:
            return "undefined"
        interval = "" if self.low is None or self.high is None else f" [{self.low:{form}}, {self.high:{form}}]"
        return spaced_percent(f"{self.value:{form}}{interval}")

    def scaled(self, factor: float) -> "Estimate":
        """The same in another unit."""
        return Estimate(*(None if one is None else factor * one for one in (self.value, self.low, self.high)))


def spaced_percent(text: str) -> str:
    """Python writes 40%."""
    return text.replace("%", " %")


class Kind(Enum):
    """What stands behind a row of the agreement."""

    SCORE = "score"
    BASELINE = "baseline"
    FITTED = "fitted on known accuracies"


@dataclass(frozen=True, slots=True)
class Row:
    """How far one score agrees with the known accuracies."""

    name: str
    kind: Kind
    statistics: Mapping[str, Estimate]
    best: Mapping[str, Mapping[int, Estimate]]
    """By statistic and k."""
    constant: bool = False
    """The score is the same for all candidates."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The file's content."""

    n: int
    missing: int
    copies: int
    """Names of architectures that are measured under another name."""
    resamples: int
    rows: tuple[Row, ...]
    """Scores, baselines, fitted ones."""
    beats: Mapping[str, Mapping[str, Mapping[str, float]]]
    """Probability by score, baseline and statistic that the score is better; of the k best it is named such as ``regret_10``."""
    ceiling: Mapping[str, Estimate]
    """What a perfect predictor would reach against a truth with this noise, by statistic; empty where not measured."""
    ceiling_seeds: int | None

    def row(self, name: str, part: str) -> Row | None:
        """The score of that name, else the first with that part in its name."""
        scores = self.of_kind(Kind.SCORE)
        return next((one for one in scores if one.name == name), next((one for one in scores if part in one.name), None))

    def of_kind(self, kind: Kind) -> list[Row]:
        """In the file's order."""
        return [one for one in self.rows if one.kind is kind]


def read_agreement(path: Path) -> Agreement:
    """Reads the file.

    Raises:
        InputError: naming the key that does not hold what it should.
    """
    content = read_json(path)
    place = str(path)
    ceiling = _mapping(content, "ceiling", place)
    rows = [
        *(_row(name, Kind.SCORE, node, f"{path}: scores.{name}") for name, node in _mapping(content, "scores", place).items()),
        *(_row(name, Kind.BASELINE, node, f"{path}: baselines.{name}") for name, node in _mapping(content, "baselines", place).items()),
        *(
            _row(f"fitted on {count} known", Kind.FITTED, node, f"{path}: fitted.{count}")
            for count, node in _mapping(content, "fitted", place).items()
        ),
    ]
    return Agreement(
        _count(content, "n", place),
        _count(content, "missing", place),
        _count(content, "copies", place),
        _count(content, "resamples", place),
        tuple(rows),
        _beats(content, place),
        {name: _estimate(ceiling[name], f"{path}: ceiling.{name}") for name in STATISTICS if ceiling.get(name) is not None},
        _count(ceiling, "seeds", f"{path}: ceiling") or None,
    )


def _row(name: str, kind: Kind, node: Any, place: str) -> Row:
    if not isinstance(node, dict):
        raise InputError(f"{place}: must be an object of statistics")
    best = {
        statistic: {
            _integer(k, f"{place}.{statistic}"): _estimate(value, f"{place}.{statistic}.{k}")
            for k, value in _mapping(node, statistic, place).items()
        }
        for statistic in BEST
    }
    estimates = {one: _estimate(node[one], f"{place}.{one}") for one in STATISTICS if node.get(one) is not None}
    return Row(name, kind, estimates, best, node.get("constant") is True)


def _beats(content: Mapping[str, Any], place: str) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    beats = _mapping(content, "beats", place)
    for score in beats:
        others = _mapping(beats, score, f"{place}: beats")
        for other in others:
            chances = _mapping(others, other, f"{place}: beats.{score}")
            where = f"{place}: beats.{score}.{other}"
            read = {one: _number(value, f"{where}.{one}") for one, value in chances.items()}
            found.setdefault(score, {})[other] = {one: value for one, value in read.items() if value is not None}
    return found


def _estimate(node: Any, place: str) -> Estimate:
    """Reads value, low and high, or as older files have it a value alone."""
    if isinstance(node, dict):
        return Estimate(*(_number(node.get(key), f"{place}.{key}") for key in ("value", "low", "high")))
    return Estimate(_number(node, place))


def _number(value: Any, place: str) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < LARGEST:
        raise InputError(f"{place}: {str(value)[:80]!r} is not a number")
    return float(value)


def _integer(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(f"{place}: the key {text[:80]!r} is not a count")
    return int(text)


def _count(node: Mapping[str, Any], key: str, place: str) -> int:
    value = node.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{place}: {key}: {str(value)[:80]!r} is not a count")
    return value


def _mapping(node: Mapping[str, Any], key: str, place: str) -> dict[str, Any]:
    value = node.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{place}: {key}: must be an object")
    return value
