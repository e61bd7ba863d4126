"""``nas-compare``: how far two rankings of the same candidates agree, such as those of two seeds, and which known accuracies favour."""

import sys
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
    from nas_lightning.ranking.compare import compare_scores, compare_with_known, other_protocol

    first, second, space = Path(config.first), Path(config.second), Builder().build(config.space, "space")
    agreement = compare_scores(first, second, space, config.resamples)
    contents = {"agreement.json": agreement.to_json()}
    told = [f"Agreement of {agreement.n} candidates scored by both (95 % bootstrap intervals)\n{agreement.table()}"]
    if config.known_accuracies is not None:
        comparison = compare_with_known(first, second, Path(config.known_accuracies), space, config.resamples)
        contents["comparison.json"] = comparison.to_json()
        told.append(f"Agreement of each with {comparison.agreement.n} known accuracies\n{comparison.table()}")
    written = [] if config.run_dir is None else [Path(config.run_dir) / name for name in contents]
    for path in written:
        write_json(path, contents[path.name])
    if (difference := other_protocol(first, second)) is not None:
        print(f"warning: a comparison of different protocols: {difference}", file=sys.stderr)
    print("\n\n".join(told), *(f"written: {path}" for path in written), sep="\n")


def main() -> None:
    """The console entry."""
    start(task, "compare")


if __name__ == "__main__":
    main()
