"""Explains an error of Hydra, OmegaConf or YAML to the user, in one line."""

import re
from importlib.metadata import version
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue
from yaml import YAMLError

from nas_lightning.config.declared import COMMANDS, schema_of
from nas_lightning.errors import InputError, check_known, nearest

LOST_WORKER = frozenset({"BrokenProcessPool", "UncompletedJobError", "WorkerCrashedError"})
_PYTHON_HINTS = ("full_key", "object_type", "To append", "Set the env", "See https")


def in_one_line(error: Exception) -> str:
    """The message without the hints about Python."""
    if isinstance(error, InputError | YAMLError):
        return " ".join(str(error).split())
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"{error.full_key}: must be given"
    causes = [str(cause) for cause in (error, error.__cause__) if cause is not None]
    lines = [line.strip() for text in causes for line in text.splitlines()]
    kept = [line for line in dict.fromkeys(lines) if line and not line.startswith(_PYTHON_HINTS)]
    if kept and (ambiguous := re.match(r"Ambiguous value for argument '([^=]*)=(.*)'", kept[0])):
        return f"{ambiguous[1]}: {ambiguous[2]} are several values; add -m to run each, or write a list as {ambiguous[1]}=[{ambiguous[2]}]"
    options = [line for line in kept if line.startswith("Available options")]
    if options:
        known = [
            line for line in kept[kept.index(options[0]) + 1 :] if "Config search path" not in line and not line.startswith("provider=")
        ]
        if missing := re.search(r"Could not find '(.+)/([^/']+)'", kept[0]):
            hint, every = nearest(missing[2], known), f"known: {', '.join(known)}"
            return f"{missing[1]}: {missing[2]} is none of its options; {hint if hint == every else f'{hint} {every}'}"
        return f"{kept[0]}; known: {', '.join(known)}"
    return "; ".join(kept[:2]) or type(error).__name__


def is_of_a_lost_worker(error: Exception) -> bool:
    """Whether a launcher (joblib, submitit, Ray, perhaps not installed) reports that a job's process is gone."""
    return not LOST_WORKER.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def unknown_key(error: Exception) -> str | None:
    """For an unknown key on the command line: its place and the closest known key; None for any other error."""
    cause: Any = error.__cause__
    known = cause.parent_node if isinstance(cause, ConfigKeyError | ConfigAttributeError) else None
    if not isinstance(known, DictConfig) or not known:
        return None
    place = str(cause.full_key)
    try:
        groups = () if "." in place else ("experiment", "sweep")  # choices that are no keys
        check_known(place, place.rpartition(".")[2], [*groups, *(str(name) for name in known if name != "hydra")])
    except InputError as mistake:
        return str(mistake)
    return None


def unknown_group(error: Exception, command: str) -> str | None:
    """For an option of a group that the command does not have: the keys there that it has; None for any other error.

    Args:
        command: the name of its config.
    """
    places = re.search(r"Could not override '([^']*)'\.\s+Did you mean to override one of ([^?]*)\?", str(error))
    if places is not None:
        return f"{places[1]}: several keys take such an option; give one of {places[2]}, each followed by =OPTION"
    found = re.search(r"Could not override '([^']*)'\. No match in the defaults list", str(error))
    if found is None:
        return None
    declared = next((key.schema for key in schema_of(*COMMANDS[command]).keys if key.name == found[1] and key.schema), None)
    keys = "--help lists groups and keys" if declared is None else f"give {', '.join(f'{found[1]}.{key.name}' for key in declared.keys)}"
    return f"{found[1]}: this command has no such group of options; {keys}"


def misfit(error: Exception) -> str | None:
    """For a torchvision made for another torch, which fails on import: both versions; None for any other error."""
    if not (isinstance(error, RuntimeError) and "torchvision::" in str(error)):
        return None
    versions = " and ".join(f"{name} {version(name)}" for name in ("torch", "torchvision"))
    reinstall = "pip install --force-reinstall torch torchvision, both from one index"
    return f"torchvision: cannot be imported ({' '.join(str(error).split())}); {versions} do not fit: {reinstall}"
