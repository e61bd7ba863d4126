"""Wires one ranking: a checkpoint, a list and images become the files below ``ranking/`` and the tables on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from nas_lightning.config.schema import RankingConfig
from nas_lightning.data import ImageDataset, evaluation_images, fingerprint
from nas_lightning.data.image_dataset import LabelledImages
from nas_lightning.durable import write_json
from nas_lightning.errors import InputError
from nas_lightning.ranking.predict import rank_to_folder
from nas_lightning.ranking.protocol import claim, make_protocol
from nas_lightning.ranking.summary import agreement_with, summary
from nas_lightning.ranking.table import ScoreTable
from nas_lightning.space import Architecture, Population, SearchSpace, read_accuracies
from nas_lightning.supernet.checkpoint import load_supernet


def rank_checkpoint(
    checkpoint: Path,
    config: RankingConfig,
    dataset: ImageDataset,
    run_dir: Path,
    trainer_arguments: Mapping[str, Any],
    *,
    population: Population | None = None,
    known: Mapping[Architecture, float] | None = None,
    folder_name: str = "ranking",
) -> dict[str, Any] | None:
    """Ranks, writes, prints.

    Args:
        population: the list where the config names none.
        known: accuracies where the config names none.

    Returns:
        The agreement with known accuracies, where there are any.
    """
    supernet, _ = load_supernet(checkpoint)
    candidates = choose_candidates(config, supernet.space, population)
    if config.known_accuracies is not None:
        known = read_accuracies(Path(config.known_accuracies), supernet.space)
        check_enough_known(known, candidates, config.known_accuracies)
    images, labels = evaluation_images(dataset, config.images)
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
        precision=str(trainer_arguments.get("precision") or "32-true"),
    )
    claim(folder, protocol)
    scores = rank_to_folder(
        supernet,
        candidates,
        images,
        labels,
        folder / "parts",
        batch_size=config.batch_size,
        prefix_memory=config.prefix_memory,
        chunk_size=config.chunk_size,
        trainer_arguments=trainer_arguments,
        label=folder_name,
    )
    table = ScoreTable.of(candidates, scores, classes=supernet.classes, channels=supernet.channels, shortcuts=supernet.shortcuts)
    table.write(folder / "scores.csv")
    table.write_submission(folder / "submission.json", config.score)
    rank_zero_only(print)(f"\n{summary(table, config.score, config.budgets)}")
    result = None
    if known is not None:
        agreement = agreement_with(table, known, config.resamples)
        result = agreement.to_json()
        write_json(folder / "agreement.json", result)
        rank_zero_only(print)(f"\nAgreement with {agreement.n} known accuracies (95 % bootstrap intervals)\n{agreement.table()}")
        rank_zero_only(print)(
            f"\nProbability, over the same resamples, that a score orders better than a baseline\n{agreement.beats_table()}"
        )
    rank_zero_only(print)(f"\nwritten: {folder}/scores.csv, submission.json{', agreement.json' if known is not None else ''}")
    return result


def check_ranking(config: RankingConfig, dataset: ImageDataset, candidates: Population) -> None:
    """Reads everything that a ranking will need, so that a wrong value stops a run before it trains."""
    evaluation_images(dataset, config.images)
    if config.known_accuracies is not None:
        check_enough_known(read_accuracies(Path(config.known_accuracies), candidates.space), candidates, config.known_accuracies)


def check_enough_known(known: Mapping[Architecture, float], candidates: Population, place: str) -> None:
    """Raises InputError if too few candidates have a known accuracy."""
    shared = sum(architecture in known for architecture in set(candidates.architectures))
    if shared < 3:
        raise InputError(f"{place}: has accuracies of {shared} of the {len(candidates)} candidates; agreement needs at least 3")


def choose_candidates(config: RankingConfig, space: SearchSpace, population: Population | None) -> Population:
    """The candidates to score: the config's list, else the run's, and of it the configured number."""
    if config.list is not None:
        population = Population.read(Path(config.list), space)
    if population is None:
        raise InputError("ranking.list: is missing; name a file of candidates in the challenge's format")
    return population if config.count is None else population.sample(config.count, config.seed, "ranking sample")
