"""Explains an error of Hydra, OmegaConf or YAML to the user, in one line."""

import re
from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nas_lightning.console.conf_folder import conf_folder
from nas_lightning.errors import InputError, check_known

LOST_WORKER = frozenset({"BrokenProcessPool", "UncompletedJobError", "WorkerCrashedError"})
_PYTHON_HINTS = ("full_key", "object_type", "To append", "Set the env", "See https")


def in_one_line(error: Exception) -> str:
    """The message without the hints about Python."""
    if isinstance(error, InputError | YAMLError):
        return " ".join(str(error).split())
    causes = [str(cause) for cause in (error, error.__cause__) if cause is not None]
    lines = [line.strip() for text in causes for line in text.splitlines()]
    kept = [line for line in dict.fromkeys(lines) if line and not line.startswith(_PYTHON_HINTS)]
    options = [line for line in kept if line.startswith("Available options")]
    if options:
        start = kept.index(options[0])
        return f"{kept[0]}; known: {', '.join(kept[start + 1 :])}".split(", Config search path")[0]
    return "; ".join(kept[:2]) or type(error).__name__


def is_of_a_lost_worker(error: Exception) -> bool:
    """Whether a launcher (joblib, submitit, Ray, perhaps not installed) reports that a job's process is gone."""
    return not LOST_WORKER.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def unknown_key(error: Exception, config_name: str, arguments: Sequence[str]) -> str | None:
    """For an unknown key on the command line: its place and the closest known key; None for any other error.

    Args:
        arguments: of the command line.
    """
    match = re.match(r"Could not override '([\w.]+)'", str(error))
    if match is None or "is not in struct" not in f"{error} {error.__cause__}":
        return None
    place = match.group(1)
    *parents, key = place.split(".")
    groups = [argument for argument in arguments if re.match(r"[\w/]+(@[\w.]+)?=[\w/]+$", argument)]
    try:
        node = _composed(config_name, [argument for argument in groups if not argument.startswith(f"{place}=")], parents)
        while parents and node is None:  # the mistake is higher up
            key = parents.pop()
            node = _composed(config_name, [], parents)
        known = [str(name) for name in node or {} if parents or name != "hydra"]
        check_known(".".join([*parents, key]), key, known)
    except InputError as mistake:
        return str(mistake)
    except (HydraException, OmegaConfBaseException, ValueError):
        return None
    return None


def _composed(config_name: str, overrides: list[str], parents: list[str]) -> DictConfig | None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose(config_name, overrides=[arg for arg in overrides if "." not in arg.split("=")[0]], return_hydra_config=True)
    node = OmegaConf.select(config, ".".join(parents)) if parents else config
    return node if isinstance(node, DictConfig) else None
