"""The content of a run folder's files, read once; a missing file is None or empty."""

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement, read_agreement
from nas_lightning.errors import InputError
from nas_lightning.report.ranking import Ranking, number, optional, read_alone, read_ranking
from nas_lightning.report.recipe import AloneRecipe, recipe_beside, recipe_of
from nas_lightning.report.winners import FOLDER as WINNERS
from nas_lightning.runs.lock import CHOSEN
from nas_lightning.runs.made_from import changed_source
from nas_lightning.runs.reading import read_json, read_rows, read_text, read_yaml
from nas_lightning.runs.sessions import has_every_time, sessions_of
from nas_lightning.scoring.halves import Halves, read_halves
from nas_lightning.scoring.prediction import Prediction, read_prediction
from nas_lightning.scoring.table import LABELS, OLDER

Content = TypeVar("Content")


@dataclass(frozen=True)
class StageMetrics:
    """One stage's ``metrics.csv``."""

    name: str
    steps: int
    columns: Mapping[str, npt.NDArray[np.float64]]
    """(2, rows) steps and values, of the rows with a finite value."""


@dataclass(frozen=True)
class RunFiles:
    """A run folder; texts and mappings are empty without a file."""

    folder: Path
    config: Mapping[str, Any]
    config_text: str
    environment: Mapping[str, Any]
    protocol: Mapping[str, Any]
    stages: tuple[StageMetrics, ...]
    """Trained ones, in the config's order."""
    label: str
    """The score that orders the ranking, in words and in agreement.json."""
    ranking: Ranking | None
    agreement: Agreement | None
    """None also if the file is of other scores or accuracies than the folder's current ones."""
    stale: str
    """Why the folder's agreement is left out; empty if it is not."""
    prediction: Prediction | None
    """None also without a predictor."""
    halves: Halves | None
    """None also where the ranking kept only means over all images."""
    alone: Mapping[str, tuple[float, ...]] | None
    """``standalone/accuracies.csv``: fractions by code, one per seed, nan if the training diverged."""
    known_recipe: AloneRecipe | None
    """Of the known accuracies; None also if it is not recorded."""
    winners_recipe: AloneRecipe | None
    chosen_recipe: AloneRecipe | None
    """Of what a search chose, trained alone."""
    seconds: float | None
    """Worked on the run until it was finished; None while unfinished."""
    points: int = 3000
    """Maximum candidates in a figure."""

    @property
    def scored(self) -> ScoreAgreement | None:
        """The agreement of the configured score."""
        return None if self.agreement is None else self.agreement.scores.get(self.label)

    def statistic(self, name: str) -> Estimate | None:
        """A correlation of the configured score; None if undefined or not measured."""
        estimate = None if self.scored is None else self.scored.estimates.get(name)
        return None if estimate is None or estimate.value is None else estimate

    @property
    def is_only_alone(self) -> bool:
        """Whether it is a folder of nas-standalone: no supernet, nothing to rank."""
        return self.alone is not None and not (self.ranking or self.stages or self.config.get("stages"))

    @property
    def time(self) -> str:
        """That of all sessions up to its end; empty while unfinished."""
        if self.seconds is None:
            return ""
        return f"{'' if has_every_time(self.environment) else 'at least '}{timedelta(seconds=round(self.seconds))}"

    @property
    def command(self) -> list[str]:
        """The words of the last command line that ran here."""
        commands = [
            one["command"] for one in sessions_of(self.environment) if isinstance(one, dict) and isinstance(one.get("command"), list)
        ]
        return list(map(str, commands[-1])) if commands else []

    @property
    def commit(self) -> str:
        """The start of the commit, and whether the code had changes; empty if unknown."""
        commit = self.environment.get("commit")
        changes = " with changes" if self.environment.get("dirty") is True else ""
        return f"{commit[:7]}{changes}" if isinstance(commit, str) else ""


def read_run(folder: Path) -> RunFiles:
    """Reads what a report shows.

    Raises:
        InputError: if the folder holds no run, or naming the first wrong file.
    """
    if not folder.is_dir():
        raise InputError(f"run_dir: {folder} is not a folder")
    folders = (folder, *(folder / part for part in ("ranking", "standalone", "search")))  # of nas-train, nas-rank, ...
    configs = [parent / "config.yaml" for parent in folders]
    config = optional(read_yaml, *configs) or {}
    protocol = optional(read_json, folder / "ranking/protocol.json") or {}
    stages, alone = _read_stages(folder / "stages", config), optional(read_alone, folder / "standalone/accuracies.csv")
    has_scores = (folder / "ranking/scores.csv").is_file()
    if not (config or has_scores or stages or alone is not None):
        raise InputError(f"run_dir: {folder} holds no run ({_instead(folder)})")
    key = _key(folder, config, protocol)
    ranking = read_ranking(folder, key, _layers(config, protocol)) if has_scores else None
    agreement, stale = _read_agreement(folder)
    return RunFiles(
        folder=folder,
        config=config,
        config_text=optional(read_text, *configs) or "",
        environment=optional(read_json, *(parent / "environment.json" for parent in folders)) or {},
        protocol=protocol,
        stages=stages,
        label=LABELS[key],
        ranking=ranking,
        agreement=agreement,
        stale=stale,
        prediction=optional(read_prediction, folder / "ranking/predictor.json"),
        halves=optional(read_halves, folder / "ranking/halves.json"),
        alone=alone,
        known_recipe=_known_recipe(folder, config),
        winners_recipe=recipe_of(optional(read_yaml, folder / WINNERS / "config.yaml") or {}),
        chosen_recipe=recipe_of(optional(read_yaml, folder / CHOSEN / "standalone/config.yaml") or {}),
        seconds=optional(_read_seconds, folder / "finished.json"),
    )


def section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping in a config; empty if there is none."""
    node = config.get(key)
    return node if isinstance(node, dict) else {}


def _instead(folder: Path) -> str:
    """What a folder without a run holds instead."""
    if (folder / "scores.csv").is_file():
        return f"but a ranking: give run_dir={folder.parent}"
    if (folder / "agreement.json").is_file():
        return "but what nas-compare wrote: agreement.json is its whole result"
    if any(folder.glob("*/config.yaml")) or any(folder.glob("trials/*/config.yaml")):
        return f"but the runs of a multirun or a study: give sweep={folder}"
    return "none of config.yaml, stages/*/metrics.csv, ranking/scores.csv, standalone/accuracies.csv"


def _read_agreement(folder: Path) -> tuple[Agreement | None, str]:
    """The agreement, or why it does not match the folder's other files."""
    path = folder / "ranking/agreement.json"
    if not path.is_file():
        return None, ""
    agreement = read_agreement(path)
    sources = {name: path.with_name(name) for name in ("scores.csv", "known_accuracies.json")}
    trained = "standalone/known_accuracies.json"
    changed = changed_source(path, read_json(path), sources, {trained: folder / trained})
    if changed is not None:
        return None, f"ranking/agreement.json is left out: it was made from another {changed} than the folder holds"
    return agreement, ""


def _key(folder: Path, config: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    """The score that orders: from the protocol; in older folders from the ranking's own config, or the run's."""
    place, key = "/ranking/protocol.json: ordered_by", protocol.get("ordered_by")
    if key is None:
        node = section(optional(read_yaml, folder / "ranking/config.yaml") or config, "ranking")
        place, key = ": ranking.score", node.get("score", "top1")
    key = OLDER.get(str(key), key)
    if not isinstance(key, str) or key not in LABELS:
        raise InputError(f"{folder}{place}: {str(key)[:80]!r} is not one of {', '.join(LABELS)}")
    return key


def _known_recipe(folder: Path, config: Mapping[str, Any]) -> AloneRecipe | None:
    """The recipe of a file of known accuracies if it is recorded next to it; without a file that of the run."""
    file = section(optional(read_yaml, folder / "ranking/config.yaml") or config, "ranking").get("known_accuracies")
    return recipe_of(config) if file is None else recipe_beside(Path(str(file)))


def _layers(config: Mapping[str, Any], protocol: Mapping[str, Any]) -> int | None:
    """Number of widths of an architecture: the protocol's, else a stem and two per block; None if unknown."""
    layers, blocks = protocol.get("layers"), section(config, "space").get("blocks")
    if layers is None and isinstance(blocks, list) and all(isinstance(count, int) for count in blocks):
        layers = 1 + 2 * sum(blocks)
    return layers if isinstance(layers, int) and layers > 0 else None


def _read_stages(folder: Path, config: Mapping[str, Any]) -> tuple[StageMetrics, ...]:
    paths = {path.parent.name: path for path in sorted(folder.glob("*/metrics.csv"))}
    names = dict.fromkeys([*(name for name in section(config, "stages") if name in paths), *paths])
    return tuple(_read_stage(name, paths[name]) for name in names)


def _read_stage(name: str, path: Path) -> StageMetrics:
    last = -1.0
    columns: dict[str, array[float]] = defaultdict(lambda: array("d"))
    for line, row in read_rows(path, ("step",)):
        place = f"{path}: line {line}"
        last = max(last, step := number(row.pop("step"), f"{place}: step", 0, 1e15))
        for column, text in row.items():
            if text not in ("", "nan", "inf", "-inf"):
                columns[column].extend((step, number(text, f"{place}: {column}")))
    return StageMetrics(name, int(last) + 1, {column: np.array(values).reshape(-1, 2).T for column, values in columns.items()})


def _read_seconds(path: Path) -> float:
    value = read_json(path).get("seconds")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise InputError(f"{path}: seconds: {str(value)[:80]!r} is not a time in seconds")
    return float(value)
