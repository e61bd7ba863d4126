"""Reads from a ranking's run what its candidates are trained on and how: space, images, recipe."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nas_lightning.commands.rank_many import find_checkpoints
from nas_lightning.config.roles import as_of_today
from nas_lightning.data import known_datasets
from nas_lightning.errors import InputError
from nas_lightning.runs.made_from import file_hash
from nas_lightning.runs.reading import read_json, read_yaml
from nas_lightning.supernet.checkpoint import read_header

GROUPS = ("space", "data", "standalone")
CHOSEN_ANEW = ("standalone.choose", "standalone.count", "standalone.enabled")
"""Keys that are about another choice of candidates in the run's own config."""


def with_run(node: Mapping[str, Any], scores: Path, overrides: Iterable[str]) -> dict[str, Any]:
    """The command's config with space, data and recipe of the run that made ``scores``, except what the user typed.

    Args:
        node: as composed.
        scores: a ranking's ``scores.csv``.
        overrides: of the command line, such as ``data.root=DIR`` or ``standalone=short``.

    Raises:
        InputError: if no run is found for a group that the user left out.
    """
    typed = [override.lstrip("+~").split("=")[0].rpartition("@")[2] for override in overrides]
    wanted = [group for group in GROUPS if group not in typed]
    found = _of_run(scores) if wanted else {}
    merged = dict(node)
    for group in wanted:
        if group == "standalone" and "standalone" not in found:
            merged[group] = {**node[group], **found["shortcuts"]}
        else:
            merged[group] = as_of_today(found[group])
        for key in (*(key for key in typed if key.startswith(f"{group}.")), *CHOSEN_ANEW):
            if key.startswith(f"{group}."):
                _copy(node, merged, key)
    return merged


def _of_run(scores: Path) -> Mapping[str, Any]:
    """The groups: from the config of a run of nas-train, or the checkpoint that nas-rank ranked with."""
    if not scores.is_file():
        raise InputError(f"scores: {scores} is not a file")
    config = _config_above(scores)
    if "checkpoint" not in config:
        return config
    wanted = read_json(scores.with_name("protocol.json")).get("checkpoint_sha256")
    path = next((path for path in find_checkpoints(str(config["checkpoint"])) if file_hash(path) == wanted), None)
    if path is None:
        raise InputError(f"scores: {scores} was ranked with another checkpoint than {config['checkpoint']} is now; rank again")
    header = read_header(path)
    name = header["data"]["name"]
    if (dataset := known_datasets().get(name)) is None:
        raise InputError(f"scores: its images are {name!r}, a data set that is not known here; name the package of your own in plugins")
    data = {"_target_": f"{dataset.__module__}.{dataset.__qualname__}", **header["data"]["arguments"], **_root(config)}
    space = {"_target_": "nas_lightning.space.SearchSpace", **header["supernet"]["space"]}
    recipe = {"shortcuts": {"shortcuts": header["supernet"]["shortcuts"]}}
    try:
        recipe = {"standalone": _config_above(path)["standalone"]}
    except (InputError, KeyError):  # weights may come without their run
        print(f"{path} lies in no run, so that standalone= is the recipe; standalone=short is quicker than the default", file=sys.stderr)
    return {"space": space, "data": data, **recipe}


def _root(config: Mapping[str, Any]) -> dict[str, Any]:
    root = config["data"].get("root") if isinstance(config.get("data"), Mapping) else None
    return {} if root is None else {"root": root}


def _config_above(path: Path) -> Mapping[str, Any]:
    """The config of the run folder that a file lies in, up to three levels below."""
    for folder in list(path.resolve().parents)[:3]:
        if (config := folder / "config.yaml").is_file():
            content = read_yaml(config)
            if "checkpoint" in content or all(isinstance(content.get(group), Mapping) for group in GROUPS):
                return content
    raise InputError(f"scores: {path} lies in no run folder (a config.yaml at most three levels up); give space=, data= and standalone=")


def _copy(source: Mapping[str, Any], target: dict[str, Any], key: str) -> None:
    """Copies the value at a dotted key, where the source has one."""
    first, _, rest = key.partition(".")
    if not isinstance(source, Mapping) or first not in source:
        return
    if not rest:
        target[first] = source[first]
    else:
        target[first] = dict(target[first]) if isinstance(target.get(first), Mapping) else {}
        _copy(source[first], target[first], rest)
