"""Checks the ``hydra:`` section of a composed config, before Hydra makes anything of it."""

import copy
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from nas_lightning.config.read import walk
from nas_lightning.errors import InputError

TARGETS = {
    "launcher": (
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
        "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
        "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    ),
    "sweeper": ("hydra._internal.core_plugins.basic_sweeper.BasicSweeper",),
    "callbacks": ("hydra.experimental.callbacks.LogJobReturnCallback",),
}
"""What Hydra may make, besides the classes of the user's plugins."""
LOGS = ("hydra_logging", "job_logging")
LOGGING = ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter", "logging.Filter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
TYPED = ("job.env_set", "job.env_copy", "launcher.setup", "launcher.additional_parameters", "launcher.ray")
"""Keys only for the command line: variables (one can preload a library), a batch script's commands, a cluster."""
OUTPUT = "OUTPUT"
"""Placeholder for the folder of a job's output, which has no name yet."""


def check_hydra(config: DictConfig, typed: Mapping[str, Any], plugins: Collection[str]) -> None:
    """Refuses unlisted classes, and values that only the command line may set.

    Args:
        config: as composed.
        typed: the values of the command line by dotted key.
        plugins: packages whose classes the user allows.
    """
    hydra = _resolved(config)
    for section, allowed in TARGETS.items():
        for place, key, value in walk(hydra.get(section), f"hydra.{section}"):
            if key == "_target_" and not _is_allowed(value, allowed, plugins):
                raise InputError(f"{place}: {value} is not allowed (known: {', '.join(allowed)}; the command line's plugins add your own)")
            if isinstance(value, str) and "${" in value and value not in map(str, typed.values()):  # it would be resolved again
                raise InputError(f"{place}: {value} must not be written with a backslash, except on the command line")
    for place, _, value in walk(hydra.get("launcher"), "hydra.launcher"):
        if isinstance(value, str) and not value.isprintable():
            raise InputError(f"{place}: {value!r} must be one line, as it may stand in a batch script")
    for section in LOGS:
        _check_logging(hydra.get(section), f"hydra.{section}", plugins)
    for name in hydra["job"]["env_copy"]:  # Hydra adds them to env_set
        hydra["job"]["env_set"].pop(name, None)
    for section in TYPED:
        node: Any = hydra
        for part in section.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        typed_here = {
            (key, str(value))  # Hydra turns variables into strings
            for name, given in typed.items()
            if f"{name}.".startswith(f"hydra.{section}.")
            for _, key, value in walk(given, "", name.rpartition(".")[2])
        }
        for place, key, value in walk(node, f"hydra.{section}"):
            if not isinstance(value, Mapping | list | None) and (key, str(value)) not in typed_here:
                raise InputError(f"{place}: {value!r} comes from a file; only the command line may set it")
    if (folder := hydra.get("output_subdir")) not in (None, ".hydra", typed.get("hydra.output_subdir")):
        raise InputError(f"hydra.output_subdir: {folder!r} comes from a file; only the command line may name another than .hydra")


def _resolved(config: DictConfig) -> dict[str, Any]:
    """The parts to check as plain containers, as a job will see them."""
    config, singleton = copy.deepcopy(config), HydraConfig.instance()
    with read_write(config), open_dict(config):
        config.hydra.runtime.output_dir, config.hydra.job.num, config.hydra.job.id = OUTPUT, 0, "0"
    before = singleton.cfg
    singleton.set_config(config)
    try:
        nodes = {key: config.hydra[key] for key in (*TARGETS, *LOGS, "job", "output_subdir")}
        return {key: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node for key, node in nodes.items()}
    except (OmegaConfBaseException, ValueError) as error:
        raise InputError(f"hydra: cannot be resolved ({str(error).splitlines()[0]})") from None
    finally:
        singleton.cfg = before


def _is_allowed(name: Any, allowed: Collection[str], plugins: Collection[str]) -> bool:
    return name in allowed or any(str(name).startswith(f"{plugin}.") for plugin in plugins)


def _check_logging(node: Any, place: str, plugins: Collection[str]) -> None:
    for where, key, value in walk(node, place):
        if key in ("class", "()") and not _is_allowed(value, LOGGING, plugins):
            raise InputError(f"{where}: {value} is not allowed (known: {', '.join(LOGGING)}; the command line's plugins add your own)")
        if key == "filename" and (PurePath(str(value)).parts[:1] != (OUTPUT,) or ".." in PurePath(str(value)).parts):
            raise InputError(f"{where}: must lie below ${{hydra.runtime.output_dir}}")
        fixed = {"mode": ("a",), "style": ("%",), "stream": STREAMS}.get(str(key))  # no file is overwritten, no attribute is read
        if fixed is not None and value not in fixed:
            raise InputError(f"{where}: {value!r} is not one of {', '.join(fixed)}")
        if key == "." or (isinstance(value, str) and value.startswith(("ext://", "cfg://")) and value not in STREAMS):
            raise InputError(f"{where}: {value!r} is not allowed; a logger's parts are plain values")
