"""Looks for the files, folders and packages that a config names before a command imports torch, which takes seconds."""

import glob
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import check_free

FILES = (
    *("population.file", "ranking.list", "ranking.known_accuracies", "known_accuracies"),
    *("initial_checkpoint", "scores", "chosen", "first", "second"),
)
"""Keys that name a file to read."""
CHECKPOINTS = "a stage's last.ckpt or a run's supernet.safetensors"


def check_inputs(config: Mapping[str, Any], command: str) -> None:
    """Raises InputError for the first file, folder or package that is missing, and for a run folder that is in use.

    Args:
        config: composed, as plain values.
        command: the name of its file in conf/.
    """
    ranking = config.get("ranking")
    is_ranked = not (isinstance(ranking, Mapping) and ranking.get("enabled") is False)
    for key in FILES:
        if key.startswith("ranking.") and not is_ranked:
            continue
        if (path := _value(config, key)) is not None and not Path(path).exists():
            what = f"; give {CHECKPOINTS}" if key == "initial_checkpoint" else ""
            raise InputError(f"{key}: {path} is not a file{what}")
        if path is not None and Path(path).is_dir():
            table = Path(path) / "ranking/scores.csv"
            there = f"{CHECKPOINTS} in it" if key == "initial_checkpoint" else str(table) if table.is_file() else "a file in it"
            raise InputError(f"{key}: {path} is a folder; give {there}")
    if (pattern := _value(config, "checkpoint")) is not None and not Path(pattern).is_file():
        if Path(pattern).is_dir():
            raise InputError(f"checkpoint: {pattern} is a folder; give {CHECKPOINTS} in it")
        if not glob.glob(pattern, recursive=True):
            raise InputError(f"checkpoint: {pattern} names no file; give {CHECKPOINTS}")
    holds_images = str(_value(config, "data._target_")).endswith(".ImageFolder")  # of others they may have to be fetched
    for key in ("start", *(["data.root"] if holds_images else [])):
        if (path := _value(config, key)) is not None and not Path(path).is_dir():
            raise InputError(f"{key}: {path} is not a folder")
    if not isinstance(plugins := config.get("plugins") or [], list):
        raise InputError(f"plugins: {plugins!r} must be a list")
    for plugin in plugins:
        package = str(plugin).partition(".")[0]
        if package.isidentifier() and package not in sys.modules and find_spec(package) is None:
            raise InputError(f"plugins: {plugin!r} cannot be imported (No module named {package!r})")
    if command != "report" and (path := _value(config, "run_dir")) is not None:  # nas-report looks for it itself
        _check_can_be_made(Path(path))
        is_shard = isinstance(ranking, Mapping) and ranking.get("shard") is not None
        if is_rank_zero() and not (is_shard or config.get("dry_run") is True):
            check_free(Path(path))


def _check_can_be_made(folder: Path) -> None:
    above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not above.is_dir():
        raise InputError(f"{folder}: cannot be written ({above} is not a folder)")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot be written (Permission denied)")


def _value(config: Mapping[str, Any], key: str) -> str | None:
    """The text at a place of a config; None if there is none."""
    node: Any = config
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, str) and node.strip() else None
