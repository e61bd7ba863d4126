"""Records that a run has finished, and its metric, for a sweep."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nas_lightning.config.roles import as_of_today
from nas_lightning.errors import InputError
from nas_lightning.runs.claim import OF_THE_PLACE, flat
from nas_lightning.runs.made_from import file_hash
from nas_lightning.runs.reading import read_json, read_rows, read_yaml
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.table import LABELS

NAME = "finished.json"


def write_outcome(run_dir: Path, config: Mapping[str, Any], value: float | None, seconds: float) -> None:
    """Marks the run as finished.

    Args:
        config: the composed config, as plain values.
        value: the metric for a sweeper.
        seconds: of all processes that worked on the run.
    """
    write_json(run_dir / NAME, {"returns": config["returns"], "value": value, "seconds": round(seconds, 1), "config_sha256": _hash(config)})


def finished(run_dir: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``write_outcome`` wrote for a run with exactly this config; None if there was none."""
    path = run_dir / NAME
    if not path.is_file():
        return None
    outcome, kept_in = read_json(path), run_dir / "config.yaml"
    written = outcome.get("config_sha256")
    if written != _hash(config):  # perhaps an older version wrote the same config in other words
        kept = read_yaml(kept_in) if kept_in.is_file() else {}
        if written != _hash(kept) or _here(as_of_today(kept)) != _here(as_of_today(config)):
            return None
    return outcome


def value_of(run_dir: Path, config: Mapping[str, Any], agreement: Mapping[str, Any] | None) -> float | None:
    """The metric that ``returns`` names; None if the run has none.

    Kendall's tau of ``ranking.score`` with known accuracies, or the panel's mean cross entropy after the last stage.

    Args:
        agreement: the content of ``agreement.json``.
    """
    if config["returns"] == "agreement":
        return None if agreement is None else agreement["scores"][LABELS[config["ranking"]["score"]]]["kendall"]["value"]
    name = list(config["stages"])[-1]
    path = run_dir / "stages" / name / "metrics.csv"
    rows = [row for _, row in read_rows(path, ("step",)) if row.get("largest/cross_entropy")]
    if not rows:
        raise InputError(f"{path}: holds no cross entropy of the panel; returns=panel_cross_entropy needs one evaluation at least")
    return float(np.mean([float(value) for key, value in rows[-1].items() if key.endswith("/cross_entropy")]))


def describe_value(returns: str, value: float | None) -> str:
    """The metric that ``returns`` names, in words."""
    if value is None:
        return "no accuracy is known"
    return f"{'Kendall' if returns == 'agreement' else 'panel cross entropy'} {value:.4f}"


def _here(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in OF_THE_PLACE}
    if kept.get("network") is None:  # older configs lack it
        kept.pop("network", None)
    if isinstance(monitor := kept.get("monitor"), Mapping):  # older configs lack what only TensorBoard shows
        kept["monitor"] = {key: value for key, value in monitor.items() if key != "each"}
    return kept


def _hash(config: Mapping[str, Any]) -> str:
    """The sha256 of the config and of the files it names, which may affect the value."""
    kept = _here(config)
    named = {place: name for place, name in flat(kept).items() if isinstance(name, str) and name}
    contents = {place: file_hash(Path(name)) for place, name in named.items() if os.path.isfile(name)}
    kept |= {"contents": contents} if contents else {}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
