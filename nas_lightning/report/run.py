"""Everything that a run folder's files say, read once; a file that is not there is None or empty."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.agreement import Agreement, ScoreAgreement, read_agreement
from nas_lightning.errors import InputError
from nas_lightning.runs.made_from import changed_source
from nas_lightning.runs.reading import read_json, read_rows, read_text, read_yaml
from nas_lightning.scoring.table import LABELS, ScoreTable, read_table
from nas_lightning.space import AnyWidths, read_accuracies

MOST_LAYERS = 100_000
"""Entries of a code."""


@dataclass(frozen=True)
class StageMetrics:
    """One stage's ``metrics.csv``."""

    name: str
    steps: npt.NDArray[np.int64]
    """(rows,) ascending."""
    columns: Mapping[str, npt.NDArray[np.float64]]
    """(rows,) each, nan where a row has no value."""


@dataclass(frozen=True)
class Alone:
    """``standalone/accuracies.csv``: candidates trained alone."""

    accuracies: Mapping[str, tuple[float, ...]]
    """Fractions by code, one for each seed."""
    diverged: int = 0
    """Trainings without an accuracy."""


@dataclass(frozen=True)
class Ranking:
    """``ranking/scores.csv``, what it is ordered by, and what is known of its candidates' accuracy."""

    table: ScoreTable
    key: str
    """The score that orders."""
    layers: int | None
    """Entries of a code that a layer reads; None where no file tells."""
    truth: npt.NDArray[np.float64] | None
    """(n,) known accuracies of the candidates, nan where none is known; None where no file has any."""
    truth_file: str | None
    """Where the known accuracies stand, below the run's folder."""

    @property
    def label(self) -> str:
        """The score in words, and in agreement.json."""
        return LABELS[self.key]

    @property
    def unit(self) -> str:
        """Of ``shown``."""
        return "%" if self.key == "top1" else "nats"

    @cached_property
    def quality(self) -> npt.NDArray[np.float64]:
        """(n,) scores, higher is better."""
        return self.table.quality(self.key)

    @cached_property
    def shown(self) -> npt.NDArray[np.float64]:
        """(n,) scores as figures have them."""
        return self.quality * (100 if self.unit == "%" else 1)

    @cached_property
    def distinct(self) -> npt.NDArray[np.int64]:
        """Rows of an architecture's first name, ascending; the others are copies under other names."""
        return np.array(self.table.population.distinct_rows, dtype=np.int64)

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The distinct rows, best score first."""
        order = self.table.order(self.key)
        return order[np.isin(order, self.distinct)]

    @cached_property
    def known(self) -> npt.NDArray[np.int64]:
        """Distinct rows whose accuracy is known."""
        return self.distinct[:0] if self.truth is None else self.distinct[~np.isnan(self.truth[self.distinct])]


@dataclass(frozen=True)
class RunFiles:
    """A run folder."""

    config: Mapping[str, Any] | None
    config_text: str | None
    environment: Mapping[str, Any]
    """Empty where no file tells."""
    protocol: Mapping[str, Any] | None
    stages: tuple[StageMetrics, ...]
    """Trained ones, in the config's order."""
    untrained: tuple[str, ...]
    """Stages of the config that left no metrics."""
    label: str
    """What the ranking is ordered by, in words."""
    ranking: Ranking | None
    agreement: Agreement | None
    """None also where the file is of other scores or accuracies than the folder holds now."""
    stale: str | None
    """Why the folder's agreement is left out; None where it is not."""
    alone: Alone | None

    @property
    def scored(self) -> ScoreAgreement | None:
        """The agreement of the configured score."""
        return None if self.agreement is None else self.agreement.scores.get(self.label)

    @property
    def is_only_alone(self) -> bool:
        """Whether it is what nas-standalone leaves: no supernet, nothing to rank."""
        return self.alone is not None and self.ranking is None and not (self.stages or self.untrained)


def read_run(folder: Path) -> RunFiles:
    """Reads what a report shows.

    Raises:
        InputError: if the folder holds no run, or naming the first file that is not what it should be.
    """
    if not folder.is_dir():
        raise InputError(f"run_dir: {folder} is not a folder")
    ranking = folder / "ranking"
    places = (folder, ranking, folder / "standalone")  # of nas-train, nas-rank, nas-standalone
    config_path = _first(*(place / "config.yaml" for place in places))
    config = None if config_path is None else read_yaml(config_path)
    scores = _first(ranking / "scores.csv")
    stages = _read_stages(folder / "stages", list(_section(config, "stages")))
    alone = _read_alone(folder / "standalone" / "accuracies.csv")
    if config is None and scores is None and alone is None and not stages:
        raise InputError(f"run_dir: {folder} holds no run ({_instead(folder)})")
    protocol = _optional_json(ranking / "protocol.json")
    key = _key(folder, config, protocol)
    ranked = None if scores is None else _read_ranking(folder, key, _layers(config, protocol))
    agreement, stale = _read_agreement(folder, ranked)
    trained = {stage.name for stage in stages}
    return RunFiles(
        config=config,
        config_text=None if config_path is None else read_text(config_path),
        environment=next(filter(None, (_optional_json(place / "environment.json") for place in places)), {}),
        protocol=protocol,
        stages=stages,
        untrained=tuple(str(name) for name in _section(config, "stages") if str(name) not in trained),
        label=LABELS[key],
        ranking=ranked,
        agreement=agreement,
        stale=stale,
        alone=alone,
    )


def _instead(folder: Path) -> str:
    """What a folder holds that is no run's."""
    if (folder / "agreement.json").is_file():
        return "but what nas-compare wrote: agreement.json is its whole result"
    if any(folder.glob("*/config.yaml")) or any(folder.glob("trials/*/config.yaml")):
        return f"but the runs of a multirun or a study: give sweep={folder}"
    return "none of config.yaml, stages/*/metrics.csv, ranking/scores.csv, standalone/accuracies.csv"


def _read_agreement(folder: Path, ranking: Ranking | None) -> tuple[Agreement | None, str | None]:
    """The agreement, or why it is not that of the folder's other files."""
    path = folder / "ranking" / "agreement.json"
    if not path.is_file():
        return None, None
    agreement = read_agreement(path)
    sources = {name: path.with_name(name) for name in ("scores.csv", "known_accuracies.json")}
    trained = "standalone/known_accuracies.json"
    changed = changed_source(path, read_json(path), sources, {trained: folder / trained})
    if changed is not None:
        return None, f"ranking/agreement.json is left out: it was made from another {changed} than the folder holds"
    if ranking is not None and agreement.n > len(ranking.distinct):
        held = ranking.table.population.count
        return None, f"ranking/agreement.json is left out: it is of {agreement.n:,} candidates, ranking/scores.csv holds {held}"
    return agreement, None


def _key(folder: Path, config: Mapping[str, Any] | None, protocol: Mapping[str, Any] | None) -> str:
    """The score that orders: the protocol's; in older folders that of the ranking's own config, or the run's."""
    own = folder / "ranking" / "config.yaml"
    place, key = f"{folder}/ranking/protocol.json: ordered_by", (protocol or {}).get("ordered_by")
    if key is None:
        node = _section(read_yaml(own) if own.is_file() else config, "ranking")
        place, key = f"{folder}: ranking.score", node.get("score", "top1")
    if not isinstance(key, str) or key not in LABELS:
        raise InputError(f"{place}: {str(key)[:80]!r} is not one of {', '.join(LABELS)}")
    return key


def _read_ranking(folder: Path, key: str, layers: int | None) -> Ranking:
    table = read_table(folder / "ranking" / "scores.csv", AnyWidths(layers))
    if key == "smoothed" and table.smoothed is None:
        raise InputError(f"{folder}/ranking/scores.csv: has no column {key}, by which it is to be ordered; rank again")
    path = _first(*(folder / place / "known_accuracies.json" for place in ("ranking", "standalone")))
    if path is None:
        return Ranking(table, key, layers, None, None)
    known = read_accuracies(path, AnyWidths(layers))
    # Where no file tells the layers, entries of a code that only one of the two files has do not count.
    read = min(len(architecture.widths) for architecture in (table.population[0].architecture, *known))
    by_widths = {architecture.widths[:read]: accuracy for architecture, accuracy in known.items()}
    truth = np.array([by_widths.get(architecture.widths[:read], math.nan) for architecture in table.population.architectures])
    return Ranking(table, key, layers, truth if known else None, str(path.relative_to(folder)))


def _layers(config: Mapping[str, Any] | None, protocol: Mapping[str, Any] | None) -> int | None:
    """Widths of an architecture: as the protocol says, else a stem and two a block; None where no file tells."""
    layers = (protocol or {}).get("layers")
    if isinstance(layers, int) and 0 < layers < MOST_LAYERS:
        return layers
    blocks = _section(config, "space").get("blocks")
    if not isinstance(blocks, list) or not all(isinstance(count, int) and 0 < count < 1000 for count in blocks):
        return None
    return 1 + 2 * sum(blocks)


def _read_stages(folder: Path, order: list[str]) -> tuple[StageMetrics, ...]:
    paths = {path.parent.name: path for path in sorted(folder.glob("*/metrics.csv"))}
    names = dict.fromkeys([*(name for name in order if name in paths), *paths])
    return tuple(_read_stage(name, paths[name]) for name in names)


def _read_stage(name: str, path: Path) -> StageMetrics:
    steps, columns = array("q"), dict[str, "array[float]"]()
    for line, row in read_rows(path, ("step",)):
        step = row.pop("step")
        if not (step.isascii() and step.isdigit() and len(step) < 16):
            raise InputError(f"{path}: line {line}: step: {step[:80]!r} is not a count of steps")
        steps.append(int(step))
        columns = columns or {column: array("d") for column in row}
        for column, text in row.items():
            is_gap = text in ("", "nan", "inf", "-inf")
            columns[column].append(math.nan if is_gap else _read_number(text, f"{path}: line {line}: {column}"))
    return StageMetrics(name, np.array(steps, dtype=np.int64), {column: np.array(values) for column, values in columns.items()})


def _read_number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: {text[:80]!r} is not a finite number")
    return value


def _read_alone(path: Path) -> Alone | None:
    if not path.is_file():
        return None
    found: dict[str, list[float]] = {}
    diverged = 0
    for line, row in read_rows(path, ("architecture", "seed", "accuracy")):
        place = f"{path}: line {line}"
        try:
            AnyWidths().parse(row["architecture"])
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        if row.get("failure") and not row["accuracy"]:
            diverged += 1
            continue
        accuracy = _read_number(row["accuracy"], f"{place}: accuracy")
        if not 0 <= accuracy <= 1:
            raise InputError(f"{place}: accuracy: {row['accuracy'][:80]!r} must be from 0 to 1")
        found.setdefault(row["architecture"], []).append(accuracy)
    return Alone({code: tuple(values) for code, values in found.items()}, diverged)


def _section(config: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """A mapping of the config; empty where there is none."""
    node = None if config is None else config.get(key)
    return node if isinstance(node, dict) else {}


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _optional_json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None
