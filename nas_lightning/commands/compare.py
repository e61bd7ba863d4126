"""``nas-compare``: how far two rankings of the same candidates agree, such as those of two seeds."""

from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, start


def task(cfg: DictConfig) -> None:
    """Prints and, where asked, writes the agreement of two score tables."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import CompareConfig

    config = read(CompareConfig, plain(cfg))
    from nas_lightning.config.build import Builder
    from nas_lightning.durable import write_json
    from nas_lightning.ranking.compare import compare_scores

    agreement = compare_scores(Path(config.first), Path(config.second), Builder().build(config.space, "space"), config.resamples)
    print(f"Agreement of {agreement.n} candidates scored by both (95 % bootstrap intervals)\n{agreement.table()}")
    if config.run_dir is not None:
        path = Path(config.run_dir) / "agreement.json"
        write_json(path, agreement.to_json())
        print(f"written: {path}")


def main() -> None:
    """The console entry."""
    start(task, "compare")
