"""``nas-rank``: scores a list of candidates with a checkpoint, or with several and compares the rankings."""

from typing import Any

from omegaconf import DictConfig

from nas_lightning.console.start import announce, hold, is_folder_given, plain, run_folder, start
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.process import limit_threads
from nas_lightning.errors import InputError


def task(cfg: DictConfig) -> dict[str, Any]:
    """Makes one ranking for each checkpoint that the path or pattern names."""
    node = plain(cfg)
    announced = announce(node, "ranking")
    from nas_lightning.commands.configs import RankConfig
    from nas_lightning.config.read import read

    config = read(RankConfig, node)
    from nas_lightning.commands.rank_many import prepare_rankings, rank_checkpoints
    from nas_lightning.commands.ranking import choose_shard
    from nas_lightning.commands.screen import show_split
    from nas_lightning.runs.claim import claim_config
    from nas_lightning.runs.lock import claiming

    if not config.ranking.enabled:
        raise InputError("ranking.enabled: false leaves this command nothing to do; it is for nas-train")
    limit_threads(config.threads)
    checkpoints = prepare_rankings(config)
    shard = choose_shard(config.ranking)
    if shard is not None and not (is_folder_given() or config.resume):
        raise InputError(f"ranking.shard: {shard} needs run_dir, the one folder that all shards share; no multirun can give it")
    run_dir = run_folder(config.run_dir, config.resume, "ranking")
    part = "" if shard is None else shard.name
    with hold(run_dir, config.resume, part) as run_dir:
        dataset = checkpoints[0].dataset
        claim_config(run_dir / "ranking", node, claiming(run_dir, part), images=dataset.how_split, classes=dataset.classes)
        if is_rank_zero() and run_dir != announced:
            print(f"run folder: {run_dir}")
        show_split(dataset.how_split)
        return rank_checkpoints(checkpoints, config, run_dir, node)


def main() -> None:
    """The console entry."""
    start(task, "rank")


if __name__ == "__main__":
    main()
