"""``nas-tune``: searches over values of train.py's keys."""

from dataclasses import replace

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, start
from nas_lightning.commands.overrides import readable


def task(cfg: DictConfig) -> None:
    """Runs trials until the study has as many as were asked for."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import TuneConfig

    config = read(TuneConfig, plain(cfg))
    config = replace(config, overrides=readable(config.overrides))
    from nas_lightning.experiment.tune import tune

    tune(config)


def main() -> None:
    """The console entry."""
    start(task, "tune")


if __name__ == "__main__":
    main()
