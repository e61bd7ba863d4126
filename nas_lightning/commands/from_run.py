"""Reads from a ranking's run what its candidates are trained on and how: space, images, recipe."""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from nas_lightning.commands.rank_many import find_checkpoints
from nas_lightning.config.build import import_plugins
from nas_lightning.config.roles import as_of_today
from nas_lightning.data import known_datasets
from nas_lightning.errors import InputError
from nas_lightning.runs.made_from import file_hash
from nas_lightning.runs.reading import read_json, read_yaml
from nas_lightning.supernet.checkpoint import read_header
from nas_lightning.supernet.families import is_traced, space_from_header

GROUPS = ("space", "data", "standalone")
CHOSEN_ANEW = ("choose", "count", "enabled")
"""Keys of ``standalone`` that are about another choice of candidates in the run's own config."""


def take_from_run(config: DictConfig, scores: Path, typed: Mapping[str, Any]) -> None:
    """Puts space, data and recipe of the run that made ``scores`` in the place of those that the command's files give.

    Args:
        config: composed, before overrides apply.
        scores: a ranking's ``scores.csv``.
        typed: the overrides by key; a group that they choose stays.

    Raises:
        InputError: if no run is found for a group that the user left out.
    """
    wanted = [group for group in GROUPS if group not in typed]
    found = _of_run(scores, typed) if wanted else {}
    packages = [package for _, at, package in (key.partition("@") for key in typed) if at]  # of options chosen below a group
    chosen = [(package, OmegaConf.select(config, package)) for package in packages]
    with open_dict(config):
        if "network" not in typed and "space" not in typed:
            config["network"] = as_of_today(found.get("network"))
        for group in wanted:
            if group != "standalone":
                config[group] = as_of_today(found[group])
            elif group in found:
                config[group] = {key: value for key, value in as_of_today(found[group]).items() if key not in CHOSEN_ANEW}
            else:
                config[group] = OmegaConf.merge(config[group], found.get("shortcuts", {}))
        for package, option in chosen:
            OmegaConf.update(config, package, option, merge=False)


def _of_run(scores: Path, typed: Mapping[str, Any]) -> Mapping[str, Any]:
    """The groups, and the network if there is one: from the config of a run of nas-train, or the checkpoint that nas-rank ranked with."""
    config = _config_above(scores)
    if "checkpoint" not in config:
        return config
    wanted = read_json(scores.with_name("protocol.json")).get("checkpoint_sha256")
    path = next((path for path in find_checkpoints(str(config["checkpoint"])) if file_hash(path) == wanted), None)
    if path is None:
        raise InputError(f"scores: {scores} was ranked with another checkpoint than {config['checkpoint']} is now; rank again")
    import_plugins([str(name) for name in typed.get("plugins") or ()])  # of which the checkpoint's network may be
    header = read_header(path)
    name = header["data"]["name"]
    if (dataset := known_datasets().get(name)) is None:
        raise InputError(f"scores: its images are {name!r}, a data set that is not known here; name the package of your own in plugins")
    data = {"_target_": f"{dataset.__module__}.{dataset.__qualname__}", **header["data"]["arguments"], **_root(dataset, config)}
    networks, recipe = nodes_of(header["supernet"]), {}
    if "shortcuts" in header["supernet"]:
        recipe = {"shortcuts": {"shortcuts": header["supernet"]["shortcuts"]}}
    try:
        recipe = {"standalone": _config_above(path)["standalone"]}
    except (InputError, KeyError):  # weights may come without their run
        print(f"{path} lies in no run, so that standalone= is the recipe; standalone=short is quicker than the default", file=sys.stderr)
    return {**networks, "data": data, **recipe}


def nodes_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """The config's ``space`` and ``network`` for the header of a family or a supernet."""
    space = type(space_from_header(header))
    network = None
    if is_traced(header):
        network = {
            **{key: header[key] for key in ("network", "widths", "fixed", "tie")},
            "classes_argument": None,
        }  # it is among the others
    return {"space": {"_target_": f"nas_lightning.space.{space.__name__}", **header["space"]}, "network": network}


def _root(dataset: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """The folder of the images, which no header names, for a data set that has one."""
    data = config.get("data")
    return {"root": data.get("root") if isinstance(data, Mapping) else None} if "root" in inspect.signature(dataset).parameters else {}


def _config_above(path: Path) -> Mapping[str, Any]:
    """The config of the run folder that a file lies in, up to three levels below."""
    for folder in list(path.resolve().parents)[:3]:
        if (config := folder / "config.yaml").is_file():
            content = read_yaml(config)
            if "checkpoint" in content or all(isinstance(content.get(group), Mapping) for group in GROUPS):
                return content
    raise InputError(f"scores: {path} lies in no run folder (a config.yaml at most three levels up); give space=, data= and standalone=")
