"""Wires the joining of shards: folders become one ranking's files."""

import glob
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas_lightning.config.schema import MergeConfig
from nas_lightning.errors import InputError
from nas_lightning.experiment.rank_one import check_enough_known
from nas_lightning.experiment.tell_ranking import Known, tell_ranking
from nas_lightning.ranking.protocol import ORDERED_BY, claim
from nas_lightning.ranking.shards import NAME, check_shard_folder, join_shards
from nas_lightning.ranking.smoothing import smoothed_cross_entropies
from nas_lightning.space import read_accuracies


def merge(config: MergeConfig, run_dir: Path) -> dict[str, Any] | None:
    """Joins, writes, prints.

    Returns:
        The agreement with known accuracies, where there are any.
    """
    folders = [Path(found) / "ranking" for found in sorted(glob.glob(config.shards))]
    folders = [folder for folder in folders if (folder / NAME).is_file() and (folder / "scores.csv").is_file()]
    if not folders:
        raise InputError(f"shards: {config.shards} names no folder with a finished shard (ranking/{NAME} and scores.csv)")
    table, protocol = join_shards(folders, config.score)
    score = protocol[ORDERED_BY]
    if score == "smoothed" and not config.smoothing:
        raise InputError("score: smoothed needs smoothing=true")
    if config.smoothing:
        distinct = len(table.population.distinct_rows)
        if distinct < config.smoothing_candidates:
            raise InputError(f"smoothing: the list has {distinct} candidates, smoothing_candidates asks for {config.smoothing_candidates}")
        table = replace(table, smoothed=smoothed_cross_entropies(table.population, table.scores, len(table.population)))
    known = None
    if config.known_accuracies is not None:
        known = Known(read_accuracies(Path(config.known_accuracies), table.population.space, config.max_mib))
        check_enough_known(known.accuracies, table.population, config.known_accuracies)
    folder = run_dir / "ranking"
    check_shard_folder(folder, None)
    claim(folder, protocol)
    agreement = tell_ranking(table, folder, score, config.budgets, config.resamples, known)
    print(f"joined: {len(folders)} shards, {len(table.population):,} candidates")
    return agreement
