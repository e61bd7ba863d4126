"""The content of a run folder's files, read once; a missing file is None or empty."""

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
from nas_lightning.runs.reading import finite, read_json, read_rows, read_text, read_yaml
from nas_lightning.scoring.table import LABELS, OLDER, ScoreTable, read_table
from nas_lightning.space import AnyWidths, read_accuracies

MOST_LAYERS = 100_000
"""Maximum entries of a code."""


@dataclass(frozen=True)
class StageMetrics:
    """One stage's ``metrics.csv``."""

    name: str
    steps: npt.NDArray[np.int64]
    """(rows,) ascending."""
    columns: Mapping[str, npt.NDArray[np.float64]]
    """(rows,) each, nan if a row has no value."""


@dataclass(frozen=True)
class Alone:
    """``standalone/accuracies.csv``: candidates trained stand-alone."""

    accuracies: Mapping[str, tuple[float, ...]]
    """Fractions by code, one per seed."""
    diverged: int = 0
    """Trainings without an accuracy."""


@dataclass(frozen=True)
class Ranking:
    """``ranking/scores.csv``, the score that orders it, and the known accuracies of its candidates."""

    table: ScoreTable
    key: str
    """The score that orders."""
    layers: int | None
    """Number of entries of a code that layers read; None if unknown."""
    truth: npt.NDArray[np.float64] | None
    """(n,) known accuracies of the candidates, nan if unknown; None if no file has any."""
    truth_file: str | None
    """File of the known accuracies, below the run's folder."""

    @property
    def label(self) -> str:
        """The score in words, and in agreement.json."""
        return LABELS[self.key]

    @property
    def unit(self) -> str:
        """Unit of ``shown``."""
        return "%" if self.key == "top1" else "nats"

    @cached_property
    def quality(self) -> npt.NDArray[np.float64]:
        """(n,) scores, higher is better."""
        return self.table.quality(self.key)

    @cached_property
    def shown(self) -> npt.NDArray[np.float64]:
        """(n,) scores as shown in figures."""
        return self.quality * (100 if self.unit == "%" else 1)

    @cached_property
    def distinct(self) -> npt.NDArray[np.int64]:
        """Rows of each architecture's first name, ascending; other rows are copies under other names."""
        return np.array(self.table.population.distinct_rows, dtype=np.int64)

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The distinct rows, best score first."""
        order = self.table.order(self.key)
        return order[np.isin(order, self.distinct)]

    @cached_property
    def known(self) -> npt.NDArray[np.int64]:
        """Distinct rows with a known accuracy."""
        return self.distinct[:0] if self.truth is None else self.distinct[~np.isnan(self.truth[self.distinct])]


@dataclass(frozen=True)
class RunFiles:
    """A run folder."""

    config: Mapping[str, Any] | None
    config_text: str | None
    environment: Mapping[str, Any]
    """Empty without a file."""
    protocol: Mapping[str, Any] | None
    stages: tuple[StageMetrics, ...]
    """Trained ones, in the config's order."""
    untrained: tuple[str, ...]
    """Stages of the config without metrics."""
    label: str
    """The score that orders the ranking, in words."""
    ranking: Ranking | None
    agreement: Agreement | None
    """None also if the file is of other scores or accuracies than the folder's current ones."""
    stale: str | None
    """Why the folder's agreement is left out; None if it is not."""
    alone: Alone | None

    @property
    def scored(self) -> ScoreAgreement | None:
        """The agreement of the configured score."""
        return None if self.agreement is None else self.agreement.scores.get(self.label)

    @property
    def is_only_alone(self) -> bool:
        """Whether it is a folder of nas-standalone: no supernet, nothing to rank."""
        return self.alone is not None and self.ranking is None and not (self.stages or self.untrained)


def read_run(folder: Path) -> RunFiles:
    """Reads what a report shows.

    Raises:
        InputError: if the folder holds no run, or naming the first wrong file.
    """
    if not folder.is_dir():
        raise InputError(f"run_dir: {folder} is not a folder")
    ranking = folder / "ranking"
    folders = (folder, ranking, folder / "standalone")  # of nas-train, nas-rank, nas-standalone
    config_path = _first(*(parent / "config.yaml" for parent in folders))
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
        environment=next(filter(None, (_optional_json(parent / "environment.json") for parent in folders)), {}),
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
    """What a folder without a run holds instead."""
    if (folder / "agreement.json").is_file():
        return "but what nas-compare wrote: agreement.json is its whole result"
    if any(folder.glob("*/config.yaml")) or any(folder.glob("trials/*/config.yaml")):
        return f"but the runs of a multirun or a study: give sweep={folder}"
    return "none of config.yaml, stages/*/metrics.csv, ranking/scores.csv, standalone/accuracies.csv"


def _read_agreement(folder: Path, ranking: Ranking | None) -> tuple[Agreement | None, str | None]:
    """The agreement, or why it does not match the folder's other files."""
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
    """The score that orders: from the protocol; in older folders from the ranking's own config, or the run's."""
    own = folder / "ranking" / "config.yaml"
    place, key = f"{folder}/ranking/protocol.json: ordered_by", (protocol or {}).get("ordered_by")
    if key is None:
        node = _section(read_yaml(own) if own.is_file() else config, "ranking")
        place, key = f"{folder}: ranking.score", node.get("score", "top1")
    key = OLDER.get(str(key), key)
    if not isinstance(key, str) or key not in LABELS:
        raise InputError(f"{place}: {str(key)[:80]!r} is not one of {', '.join(LABELS)}")
    return key


def _read_ranking(folder: Path, key: str, layers: int | None) -> Ranking:
    table = read_table(folder / "ranking" / "scores.csv", AnyWidths(layers))
    if key == "predicted" and table.predicted is None:
        raise InputError(f"{folder}/ranking/scores.csv: has no column {key}, by which it is to be ordered; rank again")
    path = _first(*(folder / place / "known_accuracies.json" for place in ("ranking", "standalone")))
    if path is None:
        return Ranking(table, key, layers, None, None)
    known = read_accuracies(path, AnyWidths(layers))
    # With an unknown number of layers, compare only the entries that both files' codes have.
    read = min(len(architecture.widths) for architecture in (table.population[0].architecture, *known))
    by_widths = {architecture.widths[:read]: accuracy for architecture, accuracy in known.items()}
    truth = np.array([by_widths.get(architecture.widths[:read], math.nan) for architecture in table.population.architectures])
    return Ranking(table, key, layers, truth if known else None, str(path.relative_to(folder)))


def _layers(config: Mapping[str, Any] | None, protocol: Mapping[str, Any] | None) -> int | None:
    """Number of widths of an architecture: the protocol's, else a stem and two per block; None if unknown."""
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
    if (value := finite(text)) is None:
        raise InputError(f"{place}: {text[:80]!r} is not a finite number")
    return value


def _read_alone(path: Path) -> Alone | None:
    if not path.is_file():
        return None
    by_code: dict[str, list[float]] = {}
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
        by_code.setdefault(row["architecture"], []).append(accuracy)
    return Alone({code: tuple(values) for code, values in by_code.items()}, diverged)


def _section(config: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """A mapping in the config; empty if there is none."""
    node = None if config is None else config.get(key)
    return node if isinstance(node, dict) else {}


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _optional_json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None
