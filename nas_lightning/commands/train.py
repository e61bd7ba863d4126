"""``nas-train``, and ``python train.py`` in a checkout: stages, truth, ranking in one run."""

import time
from functools import partial

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nas_lightning.console.start import hold, plain, run_folder, start
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report


def task(cfg: DictConfig) -> float | None:
    """Runs once; returns the metric that ``returns`` names, for a sweeper."""
    from nas_lightning.commands.configs import TrainConfig
    from nas_lightning.config.read import read

    node = plain(cfg)
    config = read(TrainConfig, node)
    from nas_lightning.commands.outcome import finished, value_of, write_outcome

    began = time.monotonic()
    run_dir = run_folder(config.run_dir, config.resume)
    if HydraConfig.get().mode == RunMode.MULTIRUN and (done := finished(run_dir, node)) is not None:
        print(f"finished before: {run_dir}")
        return done["value"]
    from nas_lightning.commands.prepare import prepare
    from nas_lightning.commands.run import run_experiment
    from nas_lightning.commands.screen import closing
    from nas_lightning.runs.claim import claim_config

    run = prepare(config)
    if config.dry_run:
        from nas_lightning.commands.dry_run import dry_run

        print(dry_run(config, run))
        return None
    with hold(run_dir, config.resume) as run_dir:
        claim_config(run_dir, node)
        if is_rank_zero():
            print(f"run folder: {run_dir}")
        agreement = run_experiment(config, run_dir, run)
        if not is_rank_zero():
            return None
        value = value_of(run_dir, node, agreement)
        if finished(run_dir, node) is None:
            write_outcome(run_dir, node, value, time.monotonic() - began)
        report(f"\n{closing(run_dir, node['data'].get('root'))}", to_stdout=True)
        return value


main = partial(start, task, "config")
"""The console entry."""


if __name__ == "__main__":
    main()
