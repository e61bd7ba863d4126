"""Wires one ranking: from a checkpoint, a list and images to the files in ``ranking/`` and the printed tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nas_lightning.agreement import kendall_tau
from nas_lightning.agreement.estimate import FEWEST_ARCHITECTURES
from nas_lightning.commands.configs import RankingConfig
from nas_lightning.commands.write_ranking import Known, write_and_print
from nas_lightning.data import ImageDataset, evaluation_images, fingerprint
from nas_lightning.data.splits import LabelledImages
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report
from nas_lightning.devices.trainer import precision_of
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import claiming
from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.halves import Halves, read_losses_of_halves
from nas_lightning.scoring.meanings import worse_than_guessing
from nas_lightning.scoring.predict import rank_to_folder, read_losses
from nas_lightning.scoring.predictors import FEWEST, extra_candidates, predict
from nas_lightning.scoring.protocol import claim, make_protocol
from nas_lightning.scoring.score import Scorer
from nas_lightning.scoring.shards import Shard, check_no_older_shard
from nas_lightning.scoring.table import NOT_SCORED, Score, ScoreTable, read_parts
from nas_lightning.search.successive_halving import STANDARD_ERRORS, Halving, Losses, Rung, make_rungs, successive_halving
from nas_lightning.space import Architecture, CandidateRows, Population, Space, read_accuracies
from nas_lightning.supernet.checkpoint import load_supernet

DRAWN = 1000
"""Candidates of a list that is drawn, as none is given, unless ``ranking.count`` says how many."""
DRAWN_LIST = "list.json"


def rank_checkpoint(
    checkpoint: Path,
    config: RankingConfig,
    dataset: ImageDataset,
    run_dir: Path,
    trainer_arguments: Mapping[str, Any],
    *,
    population: Population | None = None,
    known: Known | None = None,
    folder_name: str = "ranking",
) -> dict[str, Any] | None:
    """Ranks, writes, prints.

    Args:
        population: the list, if the config names none; without either one is drawn, and written.
        known: accuracies, if the config names none.

    Returns:
        The agreement with known accuracies, if there are any.
    """
    supernet, _ = load_supernet(checkpoint)
    candidates = choose_candidates(config, supernet.space, population)
    if (shard := choose_shard(config)) is None and config.known_accuracies is not None:
        known = Known(read_accuracies(Path(config.known_accuracies), supernet.space))
        check_enough_known(known.accuracies, candidates, config.known_accuracies)
    check_predictor(config, candidates)
    scored = to_score(config, candidates)
    if is_rank_zero() and (others := for_the_fit(scored, candidates)):
        report(others, to_stdout=True)
    part = scored if shard is None else shard.of(scored)
    images, labels = choose_images(config, dataset)
    rungs, scorer = plan_rungs(config, len(images)), make_scorer(config, dataset)
    test = dataset.test()
    used = LabelledImages(test.images[: len(images)], test.labels[: len(images)])
    folder = run_dir / folder_name
    protocol = make_protocol(
        checkpoint,
        data=fingerprint(used),
        images=len(images),
        batch_size=scorer.batch_size,
        norm=str(supernet.norm),
        structure=supernet.structure.protocol(),
        precision=precision_of(trainer_arguments),
        recalibration=None if scorer.recalibration is None else scorer.recalibration.protocol(),
        cheap_first=None if rungs is None else {"keep": config.cheap_first_keep, "z": STANDARD_ERRORS},
    )
    check_no_older_shard(folder)
    name = "" if shard is None else shard.name
    with claiming(run_dir, name):
        claim(folder, protocol)
    if config.list is None and population is None and is_rank_zero():
        candidates.write(folder / DRAWN_LIST)
        print(f"no ranking.list: {candidates.count} of the space drawn with ranking.seed={config.seed}, written to {folder / DRAWN_LIST}")
    ranking = partial(rank_to_folder, supernet, scorer=scorer, trainer_arguments=trainer_arguments, label=folder_name, shard=name)
    cheap_first, predicted, prediction = None, None, None
    if shard is not None:
        ranking(part, images, labels, folder / "parts")
        _report_shard(shard, len(part), scored, folder)
        return None
    if rungs is not None:
        cheap_first = _rank_cheap_first(ranking, scored, rungs, config.cheap_first_keep, (images, labels), folder)
        scores = cheap_first.scores
    else:
        scores = ranking(scored, images, labels, folder / "parts")
    if not is_rank_zero():
        return None
    if config.predictor is not None:
        predicted, prediction = predict(config.predictor, supernet.structure, scored, scores, candidates, config.seed)
    by_architecture = dict(zip(scored.architectures, scores, strict=True))
    listed = [by_architecture.get(architecture, NOT_SCORED) for architecture in candidates.architectures]
    table = ScoreTable.of(candidates, listed, supernet.structure, predicted)
    halves = None if rungs is not None else compare_halves(folder / "parts", table, supernet.space)
    doubt = worse_than_guessing((score.cross_entropy for score in scores), supernet.structure.classes)
    return write_and_print(table, folder, config.score, config.budgets, config.resamples, known, cheap_first, prediction, halves, doubt)


def compare_halves(parts: Path, table: ScoreTable, space: Space) -> Halves | None:
    """How far two halves of the images order the scored candidates of a list alike; None if the parts of some lack halves."""
    rows = [row for row in table.population.distinct_rows if table.is_scored[row]]
    kept = read_losses_of_halves(parts, space)
    losses = [kept[architecture] for row in rows if (architecture := table.population[row].architecture) in kept]
    if len(losses) < len(rows):
        return None
    try:
        return Halves(kendall_tau(*np.array(losses, dtype=np.float64).T), len(losses))
    except ValueError:  # a single candidate, or all equal
        return Halves(None, len(losses))


def to_score(config: RankingConfig, candidates: Population) -> Population:
    """The candidates of the list that are scored, and others of the space that the predictor is fitted on as well."""
    if config.scored is not None and config.scored < len(candidates):
        candidates = candidates.sample(config.scored, config.seed, "scored")
    if config.predictor is None:
        return candidates
    return Population(candidates.space, (*candidates, *extra_candidates(candidates, config.fitted_on, config.seed)))


def for_the_fit(scored: Population, candidates: Population) -> str:
    """How many candidates outside the list are scored as well; empty if none is."""
    others = len({*scored.architectures} - {*candidates.architectures})
    return f"{others:,} candidates besides the list's are scored too, to fit the predictor" if others else ""


def _report_shard(shard: Shard, scored: int, whole: Population, folder: Path) -> None:
    """Prints how much of the list all shards have scored."""
    if not is_rank_zero():
        return
    done = read_parts(folder / "parts", whole.space)
    count = sum(architecture in done for architecture in whole.architectures)
    left = "" if count == len(whole) else "once the other shards are done, "
    print(
        f"\nshard {shard}: {scored:,} candidates scored; {count:,} of {len(whole):,} in all shards\n"
        f"{left}the same command without ranking.shard makes the ranking"
    )


def _rank_cheap_first(
    ranking: Callable[..., list[Score]],
    candidates: Population,
    rungs: Sequence[Rung],
    keep: float,
    images: tuple[Tensor, Tensor],
    folder: Path,
) -> Halving:
    """Each rung has its own folder of parts, so that a stopped ranking resumes."""

    def evaluate(some: Population, first: int, end: int) -> tuple[list[Score], Losses]:
        parts = folder / "parts" / f"{first}-{end - 1}"
        scores = ranking(some, *(part[first:end] for part in images), parts, keep_losses=True)
        return scores, read_losses(parts, some.architectures)

    return successive_halving(candidates, rungs, keep, evaluate)


def check_ranking(config: RankingConfig, dataset: ImageDataset, candidates: Population) -> None:
    """Reads everything that a ranking will need, so that a wrong value stops a run before it trains."""
    choose_shard(config)
    plan_rungs(config, len(choose_images(config, dataset)[1]))
    make_scorer(config, dataset)
    check_predictor(config, candidates)
    if config.known_accuracies is not None:
        known = read_accuracies(Path(config.known_accuracies), candidates.space)
        check_enough_known(known, candidates, config.known_accuracies)


def plan_rungs(config: RankingConfig, images: int) -> list[Rung] | None:
    """The rungs of a ranking that gives most candidates few images; None where all are given all.

    Raises:
        InputError: if another key conflicts with it.
    """
    if not config.cheap_first:
        return None
    if config.score != "cross_entropy" or config.predictor is not None:
        raise InputError(
            "ranking.cheap_first: true gives most candidates few images, and its order is that of the plain cross entropies; "
            "it needs ranking.predictor=none ranking.score=cross_entropy"
        )
    if config.statistics != "batch":
        raise InputError(
            f"ranking.statistics: {config.statistics} cannot go with cheap_first: the training images would run again with every batch"
        )
    return make_rungs(images, config.scorer.batch_size)


def make_scorer(config: RankingConfig, dataset: ImageDataset) -> Scorer:
    """The configured scorer, with its training images if statistics are recalibrated."""
    if config.statistics == "batch":
        return config.scorer
    recalibration = Recalibration.from_training(dataset, config.recalibration_images, config.recalibration_batch)
    return replace(config.scorer, recalibration=recalibration)


def check_predictor(config: RankingConfig, candidates: Population) -> None:
    """Raises InputError if a predictor is chosen but impossible, or needed but not chosen."""
    space = candidates.space
    if config.predictor is None:
        if config.score == "predicted":
            raise InputError("ranking.score: predicted needs a ranking.predictor; without one give ranking.score=cross_entropy")
        if config.scored is not None:
            raise InputError(f"ranking.scored: {config.scored} needs a ranking.predictor, for the others of the list")
    elif space.size < FEWEST:
        raise InputError(
            f"ranking.predictor: needs {FEWEST} candidates to fit on, but {space.name} has {space.size}; more widths make more, or order "
            "by their own scores: ranking=cross_entropy"
        )
    if config.scored is not None and config.scored < len(candidates) and config.score != "predicted":
        raise InputError(f"ranking.score: {config.score} cannot order a list of which only ranking.scored={config.scored} are scored")


def choose_shard(config: RankingConfig) -> Shard | None:
    """The part of the list to score; None for the whole.

    Raises:
        InputError: if another key needs the whole list.
    """
    if config.shard is None:
        return None
    if config.cheap_first:
        raise InputError(
            f"ranking.cheap_first: true cannot go with shard={config.shard}: which candidates may be among the best, all decide"
        )
    return Shard.parse(config.shard)


def check_enough_known(known: Mapping[Architecture, float], candidates: CandidateRows, place: str) -> None:
    """Raises InputError if too few candidates have a known accuracy."""
    distinct = set(candidates.architectures)
    shared = sum(architecture in known for architecture in distinct)
    if shared < FEWEST_ARCHITECTURES:
        copies = f" ({len(candidates)} names)" if len(distinct) < len(candidates) else ""
        raise InputError(
            f"{place}: has accuracies of {shared} of the {len(distinct)} candidates{copies}, where an acc of 0 is unknown; "
            f"agreement needs at least {FEWEST_ARCHITECTURES}"
        )


def choose_images(config: RankingConfig, dataset: ImageDataset) -> tuple[Tensor, Tensor]:
    """The test images to score on, normalized, and their labels."""
    count = config.images
    if count is None and config.most_images is not None:
        count = min(config.most_images, len(dataset.test().labels))
    return evaluation_images(dataset, count)


def choose_candidates(config: RankingConfig, space: Space, population: Population | None) -> Population:
    """The candidates to score: the configured number from the config's list, or else from the run's, or drawn from the space."""
    if config.list is not None:
        population = Population.read(Path(config.list), space)
    if population is None:
        return Population.draw(space, config.count or min(DRAWN, space.size), config.seed)
    return population if config.count is None else population.sample(config.count, config.seed, "ranking sample")
