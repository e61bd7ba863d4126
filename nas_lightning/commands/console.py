"""How every console entry starts Hydra, and how it ends when the user made a mistake: one line and exit code 2."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import nas_lightning
from yaml import YAMLError

from nas_lightning.errors import InputError

Task = Callable[[DictConfig], Any]
RUN_DIR_VARIABLE = "NAS_LIGHTNING_RUN_DIR"
"""Carries the run folder to the processes that Lightning starts for further devices, whose own clock would name another."""


def conf_folder() -> Path:
    """The configs: the checkout's where there is one, else the copy in the wheel."""
    package = Path(nas_lightning.__file__).parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"


def start(task: Task, config_name: str) -> None:
    """Runs ``task`` on the composed config."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets errors through to the lines below
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=config_name)(task)()
    except InputError as error:
        _stop(str(error))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        _stop(_first_line(error))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The composed config as plain containers, interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def run_folder(configured: str) -> Path:
    """The run's folder: as configured, in a multirun the job's own."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.MULTIRUN:
        return Path(hydra_config.runtime.output_dir)
    if "LOCAL_RANK" in os.environ and RUN_DIR_VARIABLE in os.environ:
        return Path(os.environ[RUN_DIR_VARIABLE])
    os.environ[RUN_DIR_VARIABLE] = configured
    return Path(configured)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for one in (error, error.__cause__) if one is not None for line in str(one).splitlines() if line.strip()]
    kept = [line for line in dict.fromkeys(lines) if not line.startswith(("full_key", "object_type", "To append", "Set the env"))]
    return "; ".join(kept[:2]) or type(error).__name__


def _stop(line: str) -> None:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)
