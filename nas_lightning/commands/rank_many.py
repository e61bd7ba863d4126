"""Ranks with each of several checkpoints and shows how their rankings agree."""

import glob
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from nas_lightning.agreement import kendall_tau
from nas_lightning.commands.configs import RankConfig
from nas_lightning.commands.ranking import check_ranking, choose_candidates, rank_checkpoint
from nas_lightning.commands.report import write_page
from nas_lightning.commands.screen import closing
from nas_lightning.config.build import Builder, import_plugins
from nas_lightning.data import ImageDataset, dataset_from_header
from nas_lightning.data.check import check_dataset, check_trained_on
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import one_of_many, report
from nas_lightning.devices.trainer import make_trainer, start_processes
from nas_lightning.errors import InputError
from nas_lightning.runs.claim import renew_config
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.table import LABELS, read_table
from nas_lightning.space import Architecture, Space
from nas_lightning.supernet.checkpoint import read_header
from nas_lightning.supernet.families import space_from_header

LONGEST_LABEL, LONGEST_SHOWN = 100, 36
"""Characters of a folder's name, as file systems take some 255 bytes; and of it in the table."""


def find_checkpoints(pattern: str) -> list[Path]:
    """The file, or the files that the pattern matches.

    Raises:
        InputError: if there is none.
    """
    paths = [Path(pattern)] if Path(pattern).is_file() else [Path(name) for name in glob.glob(pattern, recursive=True)]
    if not paths:
        raise InputError(f"checkpoint: {pattern} names no file")
    return sorted(paths)


class Checkpoint(NamedTuple):
    """A file to rank with, its header, and the images that it was trained on."""

    path: Path
    header: dict[str, Any]
    dataset: ImageDataset


def prepare_rankings(config: RankConfig) -> list[Checkpoint]:
    """Reads and checks everything that the rankings need, so that a mistake stops them before a folder is claimed.

    Returns:
        The config's checkpoints, in training order.
    """
    import_plugins(config.plugins)
    make_trainer(Builder(tuple(config.plugins)).build_values(config.trainer, "trainer"), enable_checkpointing=False)
    paths, headers = _in_training_order(find_checkpoints(config.checkpoint))
    return [Checkpoint(*fields) for fields in zip(paths, headers, _datasets(paths, headers, config), strict=True)]


def rank_checkpoints(checkpoints: Sequence[Checkpoint], config: RankConfig, run_dir: Path, node: Mapping[str, Any]) -> dict[str, Any]:
    """Ranks with each: a single one into ``ranking/``, several into ``ranking/<checkpoint>/``, with a comparison.

    Args:
        node: the config as plain values.
    """
    builder = Builder(tuple(config.plugins))
    start_processes(builder.build_values(config.trainer, "trainer"))
    results: dict[str, Any] = {}
    for (path, _, dataset), label in zip(checkpoints, _labels([checkpoint.path for checkpoint in checkpoints]), strict=True):
        folder = "ranking" if len(checkpoints) == 1 else f"ranking/{label}"
        if is_rank_zero():
            report(str(path), to_stdout=True)
        arguments = builder.build_values(config.trainer, "trainer")  # a strategy serves only one Trainer
        with one_of_many() if len(checkpoints) > 1 else nullcontext():
            results[label] = rank_checkpoint(path, config.ranking, dataset, run_dir, arguments, folder_name=folder)
    if config.ranking.shard is None and is_rank_zero():
        renew_config(run_dir / "ranking", node)
        if len(checkpoints) > 1:
            _compare(space_from_header(checkpoints[-1].header["supernet"]), results, run_dir, config.ranking.score)
        else:
            report(f"\n{closing(run_dir, write_page(run_dir), sys.argv, {'checkpoint': config.checkpoint})}", to_stdout=True)
    return results


def _datasets(checkpoints: Sequence[Path], headers: Sequence[dict[str, Any]], config: RankConfig) -> list[ImageDataset]:
    """The images of each checkpoint, checked against its supernet; checkpoints of the same images share them.

    Raises:
        InputError: also if the checkpoints would rank different candidates, whose places cannot be compared.
    """
    read: dict[str, ImageDataset] = {}
    datasets: list[ImageDataset] = []
    first: tuple[Architecture, ...] = ()
    for path, header in zip(checkpoints, headers, strict=True):
        data = {"name": header["data"]["name"], "arguments": header["data"]["arguments"]}
        if (key := repr(data)) not in read:
            read[key] = dataset_from_header(data, config.data.root)
            check_dataset(read[key])
        check_trained_on(read[key], header, "checkpoint", path)
        space = space_from_header(header["supernet"])
        population = choose_candidates(config.ranking, space, None)
        check_ranking(config.ranking, read[key], population)
        first = first or population.architectures
        if population.architectures != first:
            raise InputError(
                f"checkpoint: {checkpoints[0]} and {path} are of different spaces, which draw different candidates; "
                "give ranking.list=FILE with candidates of both"
            )
        datasets.append(read[key])
    return datasets


def _in_training_order(checkpoints: list[Path]) -> tuple[list[Path], list[dict[str, Any]]]:
    """Checkpoints by stage, then by the epoch in their names, ``last.ckpt`` last; with their headers."""
    headers = {path: read_header(path) for path in checkpoints}

    def position(path: Path) -> tuple[Any, ...]:
        epoch = re.fullmatch(r"epoch_(\d+)", path.stem)
        return headers[path].get("stage_index", 0), epoch is None, int(epoch.group(1)) if epoch else 0, path

    ordered = sorted(checkpoints, key=position)
    return ordered, [headers[path] for path in ordered]


def _compare(space: Space, results: dict[str, Any], run_dir: Path, score: str) -> None:
    tables = {label: read_table(run_dir / "ranking" / label / "scores.csv", space) for label in results}
    qualities = {label: table.quality(score)[list(table.population.distinct_rows)] for label, table in tables.items()}
    last = list(qualities.values())[-1]
    rows = []
    for label, result in results.items():
        known = {} if result is None else {name: statistics["kendall"]["value"] for name, statistics in result["scores"].items()}
        rows.append({"checkpoint": label, "kendall with the last": _kendall(qualities[label], last), **known})
    write_json(run_dir / "ranking" / "by_checkpoint.json", rows)
    shown = {"with the last": [row["kendall with the last"] for row in rows]}
    if all(results.values()):
        shown["with known accuracies"] = [row[LABELS[score]] for row in rows]
    short = [label if len(label) <= LONGEST_SHOWN else f"…{label[1 - LONGEST_SHOWN :]}" for label in results]
    report(f"\nKendall of {LABELS[score]}, by checkpoint", to_stdout=True)
    report(tabulate({"checkpoint": short, **shown}, headers="keys", floatfmt=".3f", missingval="undefined"), to_stdout=True)
    report(f"\nwritten: {run_dir}/ranking/by_checkpoint.json", to_stdout=True)


def _kendall(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float | None:
    try:
        return kendall_tau(first, second)
    except ValueError:  # a single candidate, or all equal: no order
        return None


def _labels(checkpoints: list[Path]) -> list[str]:
    """Distinct names of the files: stage and file, cut to their end if long, numbered if still ambiguous."""
    labels = [f"{path.parent.name}_{path.stem}"[-LONGEST_LABEL:] for path in checkpoints]
    return labels if len(set(labels)) == len(labels) else [f"{number}_{label}" for number, label in enumerate(labels, start=1)]
