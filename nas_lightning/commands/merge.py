"""``nas-merge``: joins the shards of one ranking."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, start


def task(cfg: DictConfig) -> dict[str, Any] | None:
    """Writes what one ranking of the whole list would have written."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import MergeConfig

    config = read(MergeConfig, plain(cfg))
    from nas_lightning.experiment.merge import merge
    from nas_lightning.lock import only_owner

    run_dir = Path(config.run_dir)
    with only_owner(run_dir, holds_runs=True):
        return merge(config, run_dir)


def main() -> None:
    """The console entry."""
    start(task, "merge")


if __name__ == "__main__":
    main()
