"""``nas-tune``: searches over values of train.py's keys."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from omegaconf import DictConfig

from nas_lightning.console.overrides import readable
from nas_lightning.console.start import plain, start
from nas_lightning.errors import InputError


def task(cfg: DictConfig) -> None:
    """Runs trials until the study has the configured number."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import TuneConfig

    if find_spec("optuna") is None:
        raise InputError("nas-tune needs Optuna: pip install 'nas_lightning[tune]'")
    config = read(TuneConfig, plain(cfg))
    config = replace(config, overrides=readable(config.overrides))
    from nas_lightning.commands.study import tune

    tune(config)


main = partial(start, task, "tune")
"""The console entry."""


if __name__ == "__main__":
    main()
