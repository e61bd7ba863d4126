"""``nas-search``: finds the best candidates under budgets, by the scores of a checkpoint."""

from functools import partial

from omegaconf import DictConfig

from nas_lightning.console.start import announce, hold, plain, run_folder, start
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.process import limit_threads


def task(cfg: DictConfig) -> None:
    """Searches, or resumes what the folder holds of this search."""
    node = plain(cfg)
    announced = announce(node, "search")
    from nas_lightning.commands.search_keys import SearchCommandConfig
    from nas_lightning.config.build import Builder, import_plugins
    from nas_lightning.config.read import read

    import_plugins(read(SearchCommandConfig, node).plugins)
    config = read(SearchCommandConfig, node, make=Builder(tuple(node["plugins"])).build)
    from nas_lightning.commands.screen import show_split
    from nas_lightning.commands.searching import prepare_search, search_checkpoint
    from nas_lightning.runs.claim import claim_config

    limit_threads(config.threads)
    prepared = prepare_search(config)
    with hold(run_folder(config.run_dir, config.resume, "search"), config.resume) as run_dir:
        claim_config(run_dir / "search", node, images=prepared.dataset.how_split)
        if is_rank_zero() and run_dir != announced:
            print(f"run folder: {run_dir}")
        show_split(prepared.dataset.how_split)
        search_checkpoint(prepared, config, node, run_dir)


main = partial(start, task, "search")
"""The console entry."""


if __name__ == "__main__":
    main()
