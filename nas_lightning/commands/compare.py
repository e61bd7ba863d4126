"""``nas-compare``: the agreement of two rankings of the same candidates, and which of them known accuracies favour."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nas_lightning.console.start import plain, start
from nas_lightning.errors import InputError

if TYPE_CHECKING:
    from nas_lightning.space import Space

NAMES = ("agreement.json", "comparison.json")
"""Files written into ``run_dir``."""


def task(cfg: DictConfig) -> None:
    """Prints, and with ``run_dir`` writes, the agreement of two score tables."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import CompareConfig

    config = read(CompareConfig, plain(cfg))
    from nas_lightning.agreement.compare import ACC, compare_scores, compare_with_known, other_protocol
    from nas_lightning.commands.screen import fitted
    from nas_lightning.config.build import Builder
    from nas_lightning.config.fields import Target
    from nas_lightning.config.roles import SPACE
    from nas_lightning.runs.made_from import KEY, hashes, remove
    from nas_lightning.runs.writing import write_json

    first, second = Path(config.first), Path(config.second)
    is_typed = any(word.partition("=")[0].partition(".")[0] == "space" for word in HydraConfig.get().overrides.task)
    space = _space_of(first) or _space_of(second)
    if space is None:
        of_run = None if is_typed else _residual_space(first) or _residual_space(second)
        space = Builder().build(config.space if of_run is None else Target(of_run, SPACE), "space")
    if config.run_dir is not None and (Path(config.run_dir) / "scores.csv").is_file():
        raise InputError(f"run_dir: {config.run_dir} holds a ranking, whose own agreement.json would be lost; give another folder")
    sources = {"first": first, "second": second}
    agreement = compare_scores(first, second, space, config.resamples)
    contents = {"agreement.json": {**agreement.to_json(), KEY: hashes(sources)}}
    compared = "ranking with the first" if ACC in agreement.scores else "ranking's scores with the same scores of the first"
    paragraphs = [f"Agreement of the second {compared}\n{agreement.table()}"]
    if config.known_accuracies is not None:
        known = Path(config.known_accuracies)
        comparison = compare_with_known(first, second, known, space, config.resamples)
        contents["comparison.json"] = {**comparison.to_json(), KEY: hashes({**sources, "known_accuracies": known})}
        known_of = f"{comparison.agreement.n:,} of {comparison.candidates:,} architectures have a known accuracy"
        paragraphs = [f"Agreement of each with known accuracies\n{known_of}\n{comparison.table()}", comparison.verdict()]
    if config.run_dir is not None:
        folder = Path(config.run_dir)
        remove(folder / name for name in NAMES)  # they may be of other tables
        for name, content in contents.items():
            write_json(folder / name, content)
        paragraphs.append(f"written: {folder}/{', '.join(contents)}")
    else:
        paragraphs.append("run_dir=DIR writes every statistic into a file")
    if (difference := other_protocol(first, second)) is not None:
        print(f"warning: a comparison of different protocols: {difference}", file=sys.stderr)
    print(fitted(paragraphs))


def _space_of(table: Path) -> "Space | None":
    """The candidates of a traced network, whose choices the protocol next to a table names; None of other tables."""
    from nas_lightning.runs.reading import read_json
    from nas_lightning.space import ListedSpace

    path = table.with_name("protocol.json")
    choices = read_json(path).get("choices") if path.is_file() else None
    if not isinstance(choices, dict):
        return None
    if not all(isinstance(widths, list) for widths in choices.values()):
        raise InputError(f"{path}: choices: must be lists of widths by name")
    try:
        return ListedSpace(table.parent.name, tuple(choices), tuple(choices.values()), 1)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _residual_space(table: Path) -> dict[str, Any] | None:
    """That of the run whose ranking a table is; None of other tables."""
    from nas_lightning.runs.reading import read_yaml

    path = table.parent.parent / "config.yaml"
    node = read_yaml(path).get("space") if table.parent.name == "ranking" and path.is_file() else None
    if not isinstance(node, dict) or not str(node.get("_target_")).startswith("nas_lightning."):
        return None
    return {**node, "resolution": node.get("resolution") or 1}


main = partial(start, task, "compare")
"""The console entry."""


if __name__ == "__main__":
    main()
