"""Refuses batches of one image if features end at 1x1 pixels: a norm would have a single value per channel."""

from collections.abc import Sequence
from itertools import count

from nas_lightning.commands.configs import RankingConfig
from nas_lightning.config.schema import LoaderConfig
from nas_lightning.data import ImageDataset
from nas_lightning.errors import InputError
from nas_lightning.space import SearchSpace
from nas_lightning.standalone.train_alone import TEST_BATCH, Recipe
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.training.stage import Stage


def check_stage_batches(
    loader: LoaderConfig, stages: Sequence[Stage], space: SearchSpace, norm: NormStatistics, training_images: int, processes: int
) -> None:
    """Checks the batches of the stages and of the monitor.

    Args:
        norm: source of the supernet's norm statistics in evaluation.
        training_images: of the training split, held-out images included.
        processes: that share the images.
    """
    share = "" if processes == 1 else f" of each of {processes} processes"
    for stage in stages:
        side = space.last_side(stage.side(0.0))
        trained_on = (training_images - loader.holdout) // processes
        _check("loader.batch_size", loader.batch_size, trained_on, f"images{share} that stage {stage.name} trains on", side)
    if stages and loader.holdout and norm is NormStatistics.BATCH:
        _check("loader.eval_batch_size", loader.eval_batch_size, loader.holdout, "held-out images (loader.holdout)", space.last_side())


def check_standalone_batches(recipe: Recipe, dataset: ImageDataset) -> None:
    """Checks the training and test batches of stand-alone candidates."""
    side, tested = recipe.family.space.last_side(), len(dataset.test().labels)
    _check("standalone.batch_size", recipe.batch_size, len(dataset.train().labels), "training images", side)
    if NormStatistics(recipe.norm) is NormStatistics.BATCH and side == 1 and _leaves_one(tested, TEST_BATCH):
        _refuse(f"standalone.norm: batch, with {TEST_BATCH} images a pass,", tested, "test images", "standalone.norm=running")


def check_ranking_batches(config: RankingConfig, space: SearchSpace, norm: NormStatistics, dataset: ImageDataset) -> None:
    """Checks the batches that score candidates, or that recalibrate their norms.

    Args:
        norm: source of the supernet's norm statistics in evaluation.
    """
    if config.statistics == "recalibrated":
        recalibrated_on = min(config.recalibration_images, len(dataset.train().labels))
        _check("ranking.recalibration_batch", config.recalibration_batch, recalibrated_on, "training images", space.last_side())
    elif norm is NormStatistics.BATCH:
        scored_on = config.images or len(dataset.test().labels)
        _check("ranking.batch_size", config.scorer.batch_size or scored_on, scored_on, "test images", space.last_side())


def _check(key: str, batch_size: int, images: int, which: str, side: int) -> None:
    if side == 1 and _leaves_one(images, batch_size):
        larger = next(size for size in count(batch_size + 1) if images == 1 or not _leaves_one(images, size))
        _refuse(f"{key}: {batch_size}", images, which, "at least 2 images" if images == 1 else f"{key}={larger}")


def _leaves_one(images: int, batch_size: int) -> bool:
    return 1 in (images, batch_size) or images % batch_size == 1


def _refuse(setting: str, images: int, which: str, remedy: str) -> None:
    raise InputError(
        f"{setting} leaves a batch of one of the {images:,} {which}, and features end at 1x1 pixels: "
        f"a norm cannot take statistics from one value a channel; use {remedy}"
    )
