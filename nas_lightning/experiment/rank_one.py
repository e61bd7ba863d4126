"""Wires one ranking: a checkpoint, a list and images become the files below ``ranking/`` and the tables on the terminal."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nas_lightning.config.schema import RankingConfig
from nas_lightning.data import ImageDataset, evaluation_images, fingerprint
from nas_lightning.data.splits import LabelledImages
from nas_lightning.durable import write_json
from nas_lightning.errors import InputError
from nas_lightning.processes import is_first
from nas_lightning.ranking.cheap_first import Level, Losses, Z, make_levels, rank_cheap_first
from nas_lightning.ranking.predict import rank_to_folder, read_losses
from nas_lightning.ranking.protocol import claim, make_protocol
from nas_lightning.ranking.recalibrate import Recalibration
from nas_lightning.ranking.score import Score
from nas_lightning.ranking.shards import Shard, check_shard_folder, write_shard
from nas_lightning.ranking.smoothing import FEWEST, further_candidates, smoothed_cross_entropies
from nas_lightning.ranking.summary import agreement_summary, agreement_with, summary
from nas_lightning.ranking.table import ScoreTable
from nas_lightning.space import Architecture, Population, SearchSpace, read_accuracies
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.trainer import precision_of


def rank_checkpoint(
    checkpoint: Path,
    config: RankingConfig,
    dataset: ImageDataset,
    run_dir: Path,
    trainer_arguments: Mapping[str, Any],
    *,
    population: Population | None = None,
    known: Mapping[Architecture, float] | None = None,
    by_seed: npt.NDArray[np.float64] | None = None,
    folder_name: str = "ranking",
) -> dict[str, Any] | None:
    """Ranks, writes, prints.

    Args:
        population: the list where the config names none.
        known: accuracies where the config names none.
        by_seed: (n, s) the accuracies of the training seeds whose means are the known ones, a row an architecture, where there are such.

    Returns:
        The agreement with known accuracies, where there are any.
    """
    supernet, _ = load_supernet(checkpoint)
    candidates = whole = choose_candidates(config, supernet.space, population)
    if (shard := choose_shard(config)) is not None:
        rows = shard.rows(whole)
        candidates = Population(whole.space, tuple(whole[row] for row in rows))
    elif config.known_accuracies is not None:
        known, by_seed = read_accuracies(Path(config.known_accuracies), supernet.space, config.max_mib), None
        check_enough_known(known, candidates, config.known_accuracies)
    check_smoothing(config, supernet.space)
    images, labels = evaluation_images(dataset, config.images)
    levels, recalibration = plan_levels(config, len(images)), make_recalibration(config, dataset)
    test = dataset.test()
    used = LabelledImages(test.images[: len(images)], test.labels[: len(images)])
    folder = run_dir / folder_name
    protocol = make_protocol(
        checkpoint,
        data=fingerprint(used),
        images=len(images),
        batch_size=config.batch_size,
        norm=str(supernet.norm),
        shortcuts=str(supernet.shortcuts),
        precision=precision_of(trainer_arguments),
        recalibration=None if recalibration is None else recalibration.protocol(),
        cheap_first=None if levels is None else {"keep": config.cheap_first_keep, "z": Z},
    )
    check_shard_folder(folder, shard)
    claim(folder, protocol)
    ranking = partial(
        rank_to_folder,
        supernet,
        batch_size=config.batch_size,
        prefix_memory=config.prefix_memory,
        chunk_size=config.chunk_size,
        trainer_arguments=trainer_arguments,
        recalibration=recalibration,
        label=folder_name,
    )
    smoothed = None
    if levels is not None:
        scores = _rank_cheap_first(ranking, candidates, levels, config.cheap_first_keep, (images, labels), folder)
    elif config.smoothing:
        further = further_candidates(candidates, config.smoothing_candidates, config.seed)
        fitted_on = Population(supernet.space, (*candidates, *further))
        all_scores = ranking(fitted_on, images, labels, folder / "parts")
        scores, smoothed = all_scores[: len(candidates)], smoothed_cross_entropies(fitted_on, all_scores, len(candidates))
    else:
        scores = ranking(candidates, images, labels, folder / "parts")
    table = ScoreTable.of(
        candidates, scores, classes=supernet.classes, channels=supernet.channels, shortcuts=supernet.shortcuts, smoothed=smoothed
    )
    if not is_first():
        return None
    if shard is not None:
        table.write(folder / "scores.csv")
        write_shard(folder, shard, whole, rows)
        print(
            f"\nshard {shard}: {len(table.population):,} of {len(whole):,} candidates; nas-merge joins them\nwritten: {folder}/scores.csv"
        )
        return None
    return tell_ranking(table, folder, config.score, config.budgets, config.resamples, known, by_seed)


def tell_ranking(
    table: ScoreTable,
    folder: Path,
    score: str,
    budgets: Sequence[int] | None,
    resamples: int,
    known: Mapping[Architecture, float] | None,
    by_seed: npt.NDArray[np.float64] | None = None,
) -> dict[str, Any] | None:
    """Writes and prints a whole ranking; arguments as the config's and ``rank_checkpoint``'s.

    Returns:
        The agreement with known accuracies, where there are any.
    """
    table.write(folder / "scores.csv")
    table.write_submission(folder / "submission.json", score)
    shown, written, result = [summary(table, score, budgets)], ["scores.csv", "submission.json"], None
    if known is not None:
        agreement = agreement_with(table, known, resamples, by_seed=by_seed)
        result = agreement.to_json()
        write_json(folder / "agreement.json", result)
        with_known = Population(table.population.space, tuple(one for one in table.population if one.architecture in known))
        with_known.write(folder / "known_accuracies.json", (known[architecture] for architecture in with_known.architectures))
        shown.append(f"Agreement with {agreement.n} known accuracies (95 % bootstrap intervals)\n{agreement_summary(agreement)}")
        written += ["agreement.json", "known_accuracies.json"]
    print("\n" + "\n\n".join([*shown, f"written: {folder}/{', '.join(written)}"]))
    return result


def _rank_cheap_first(
    ranking: Callable[..., list[Score]],
    candidates: Population,
    levels: Sequence[Level],
    keep: float,
    images: tuple[Tensor, Tensor],
    folder: Path,
) -> list[Score]:
    """Each level has its own folder of parts, so that a stopped ranking goes on; writes ``cheap_first.json``."""

    def evaluate(some: Population, first: int, end: int) -> tuple[list[Score], Losses]:
        parts = folder / "parts" / f"{first}-{end - 1}"
        scores = ranking(some, *(part[first:end] for part in images), parts, keep_losses=True)
        return scores, read_losses(parts, some.architectures)

    found = rank_cheap_first(candidates, levels, keep, evaluate)
    if is_first():
        write_json(folder / "cheap_first.json", found.to_json())
        print(f"\n{found}")
    return found.scores


def check_ranking(config: RankingConfig, dataset: ImageDataset, candidates: Population) -> None:
    """Reads everything that a ranking will need, so that a wrong value stops a run before it trains."""
    plan_levels(config, len(evaluation_images(dataset, config.images)[1]))
    make_recalibration(config, dataset)
    check_smoothing(config, candidates.space)
    choose_shard(config)
    if config.known_accuracies is not None:
        known = read_accuracies(Path(config.known_accuracies), candidates.space, config.max_mib)
        check_enough_known(known, candidates, config.known_accuracies)


def plan_levels(config: RankingConfig, images: int) -> list[Level] | None:
    """The levels of a ranking that gives most candidates few images; None where all are given all.

    Raises:
        InputError: if another key does not go with that.
    """
    if not config.cheap_first:
        return None
    if config.score != "cross_entropy" or config.smoothing:
        wrong = f"score: {config.score}" if config.score != "cross_entropy" else "smoothing: true"
        raise InputError(f"ranking.{wrong} cannot go with cheap_first, whose final order is that of the plain cross entropies")
    if config.statistics != "batch":
        raise InputError(
            f"ranking.statistics: {config.statistics} cannot go with cheap_first: the training images would run again with every batch"
        )
    return make_levels(images, config.batch_size)


def make_recalibration(config: RankingConfig, dataset: ImageDataset) -> Recalibration | None:
    """The training images that the norms take their statistics from; None where they take those of the batch."""
    if config.statistics == "batch":
        return None
    return Recalibration.from_training(dataset, config.recalibration_images, config.recalibration_batch)


def check_smoothing(config: RankingConfig, space: SearchSpace) -> None:
    """Raises InputError if smoothing is asked for where it cannot be, or is needed and not asked for."""
    if config.score == "smoothed" and not config.smoothing:
        raise InputError("ranking.score: smoothed needs ranking.smoothing=true")
    if config.smoothing and space.size < FEWEST:
        raise InputError(f"ranking.smoothing: needs {FEWEST} candidates to fit on; space {space.name} has {space.size}")


def choose_shard(config: RankingConfig) -> Shard | None:
    """The part of the list that is scored alone; None for the whole.

    Raises:
        InputError: if another key needs the whole list.
    """
    if config.shard is None:
        return None
    if config.cheap_first:
        raise InputError(
            f"ranking.cheap_first: true cannot go with shard={config.shard}: which candidates may be among the best, all decide"
        )
    if config.smoothing:
        raise InputError(f"ranking.smoothing: true cannot go with shard={config.shard}; nas-merge smooths over the whole list")
    return Shard.parse(config.shard)


def check_enough_known(known: Mapping[Architecture, float], candidates: Population, place: str) -> None:
    """Raises InputError if too few candidates have a known accuracy."""
    shared = sum(architecture in known for architecture in set(candidates.architectures))
    if shared < 3:
        raise InputError(f"{place}: has accuracies of {shared} of the {len(candidates)} candidates; agreement needs at least 3")


def choose_candidates(config: RankingConfig, space: SearchSpace, population: Population | None) -> Population:
    """The candidates to score: the config's list, else the run's, and of it the configured number."""
    if config.list is not None:
        population = Population.read(Path(config.list), space, config.max_mib)
    if population is None:
        raise InputError("ranking.list: is missing; name a file of candidates in the challenge's format")
    return population if config.count is None else population.sample(config.count, config.seed, "ranking sample")
