"""``nas-train``, and ``python train.py`` in a checkout: stages, truth, ranking in one run."""

from typing import Any

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, run_folder, start


def task(cfg: DictConfig) -> dict[str, Any] | None:
    """One run."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import TrainConfig

    node = plain(cfg)
    config = read(TrainConfig, node)
    from nas_lightning.experiment.prepare import prepare
    from nas_lightning.experiment.run import run_experiment
    from nas_lightning.experiment.run_folder import claim_run_folder
    from nas_lightning.lock import only_owner

    run = prepare(config)
    if config.dry_run:
        from nas_lightning.experiment.dry_run import dry_run

        print(dry_run(config, run))
        return None
    run_dir = run_folder(config.run_dir, config.resume)
    with only_owner(run_dir):
        claim_run_folder(run_dir, node)
        print(f"run folder: {run_dir}")
        return run_experiment(config, run_dir, run)


def main() -> None:
    """The console entry."""
    start(task, "config")
