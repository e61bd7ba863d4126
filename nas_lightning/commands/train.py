"""``nas-train``, and ``python train.py`` in a checkout: stages, truth, ranking in one run."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nas_lightning.console.multirun import job_name
from nas_lightning.console.start import announce, hold, plain, run_folder, start
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.process import limit_threads
from nas_lightning.devices.progress import duration, one_of_many, report
from nas_lightning.errors import InputError


def task(cfg: DictConfig) -> float | None:
    """Runs once; returns the metric that ``returns`` names, for a sweeper."""
    node = plain(cfg)
    return _job(node) if HydraConfig.get().mode == RunMode.MULTIRUN else _run(node)


def _job(node: dict[str, Any]) -> float | None:
    """Runs a job of a multirun, unless it is finished, and prints one line for it."""
    from nas_lightning.commands.configs import TrainConfig
    from nas_lightning.commands.outcome import describe_value, finished
    from nas_lightning.config.read import read

    config = read(TrainConfig, node)
    run_dir, began = run_folder(config.run_dir, config.resume), time.monotonic()
    if is_rank_zero() and HydraConfig.get().job.num == 0:
        print(f"multirun folder: {run_dir.parent}")
    how = ", finished before"
    if (done := finished(run_dir, node)) is not None:
        value, seconds = done["value"], float(done["seconds"])
    else:
        try:
            with one_of_many():
                value, how = _run(node), ""
        except InputError as error:
            if is_rank_zero():
                print(f"{job_name()}: failed, {error}")
            raise
        seconds = time.monotonic() - began
    if is_rank_zero() and not config.dry_run:
        print(f"{job_name()}: {describe_value(config.returns, value)}, {duration(seconds)}{how}")
    return value


def _run(node: dict[str, Any]) -> float | None:
    announced = None if node["dry_run"] is True else announce(node)
    from nas_lightning.commands.configs import TrainConfig
    from nas_lightning.config.read import read

    config = read(TrainConfig, node)
    began = time.monotonic()
    run_dir = run_folder(config.run_dir, config.resume)
    from nas_lightning.commands.outcome import finished, value_of, write_outcome
    from nas_lightning.commands.prepare import prepare
    from nas_lightning.commands.report import write_page
    from nas_lightning.commands.run import run_experiment
    from nas_lightning.commands.screen import closing, show_split
    from nas_lightning.commands.truth_recipe import check_truth_recipe, keep_truth_recipe
    from nas_lightning.runs.claim import claim_config, renew_config
    from nas_lightning.runs.sessions import timed_session

    limit_threads(config.threads)
    run = prepare(config)
    if config.dry_run:
        from nas_lightning.commands.dry_run import dry_run
        from nas_lightning.runs.claim import check_config

        check_config(run_dir, node)
        print(dry_run(config, run, run_dir))
        return None
    with hold(run_dir, config.resume) as run_dir:
        decided = None if run.truth is None else check_truth_recipe(run_dir / "standalone", node, run.truth[1].family, run.dataset)
        claim_config(run_dir, node, images=run.dataset.how_split, classes=run.dataset.classes)
        if is_rank_zero() and run_dir != announced:
            report(f"run folder: {run_dir}", to_stdout=True)
        if decided is not None and is_rank_zero():
            keep_truth_recipe(run_dir / "standalone", decided)
        show_split(run.dataset.how_split)
        with timed_session(run_dir, began) as seconds:
            agreement = run_experiment(config, run_dir, run)
            if not is_rank_zero():
                return None
            renew_config(run_dir, node)
            value = value_of(run_dir, node, agreement)
            if finished(run_dir, node) is None:
                write_outcome(run_dir, node, value, seconds())
        page = write_page(run_dir) if config.ranking.enabled and config.ranking.shard is None else ""
        report(f"\n{closing(run_dir, page, sys.argv, node)}", to_stdout=True)
        return value


def _print_sweep(folder: Path) -> None:
    """The headline of a multirun, and its page."""
    if not any(folder.rglob("finished.json")):  # dry runs
        return
    from nas_lightning.commands.report import write_page

    if shown := write_page(folder, is_sweep=True):
        print(f"\n{shown}", end="")


main = partial(start, task, "config", _print_sweep)
"""The console entry."""


if __name__ == "__main__":
    main()
