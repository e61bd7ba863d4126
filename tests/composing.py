"""A config as a command composes it: the keys that no file gives have their defaults."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas_lightning.console.foreign import checked
from nas_lightning.console.start import conf_folder, plain


def composed(name: str, *overrides: str) -> dict[str, Any]:
    return plain(composed_by_hydra(name, *overrides))


def composed_by_hydra(name: str, *overrides: str, with_hydra: bool = False) -> DictConfig:
    with checked(overrides, name), initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=with_hydra)
