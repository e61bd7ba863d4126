"""Checks of a run's Trainer beyond single arguments: it takes steps, evaluates the panel, can clip the gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision

from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.devices.trainer import limited
from nas_lightning.errors import InputError
from nas_lightning.training.stage import Stage


def check_batches(trainer: pl.Trainer, data: ImageDataModule) -> int:
    """The steps of an epoch; checks that Lightning's limits leave at least one training and one validation batch."""
    training, validation = data.batches(trainer.world_size)
    if training == 0:
        raise InputError(f"trainer.devices: {trainer.world_size} devices cannot share the training images, there are fewer")
    steps = limited(training, trainer.limit_train_batches)
    for name, batches, limit in (("train", training, trainer.limit_train_batches), ("val", validation, trainer.limit_val_batches)):
        if batches and limit and limited(batches, limit) == 0:
            raise InputError(f"trainer.limit_{name}_batches: {limit} of {batches} batches is less than one; give 1 for a single one")
    interval = trainer.val_check_interval
    if validation and trainer.limit_val_batches and isinstance(interval, int) and interval > steps:
        raise InputError(
            f"trainer.val_check_interval: {interval} is more than an epoch's {steps} steps; monitor.every_epochs counts epochs"
        )
    return steps


def check_panel_is_evaluated(trainer: pl.Trainer, steps: int, last: Stage, every_epochs: int) -> None:
    """Refuses a run that would end without the panel's cross entropy.

    Args:
        steps: of an epoch.
    """
    if trainer.limit_val_batches == 0:
        raise InputError("returns: panel_cross_entropy needs a panel, and trainer.limit_val_batches=0 evaluates none")
    interval = trainer.val_check_interval
    first = (every_epochs - 1) * steps + (interval if isinstance(interval, int) else max(1, int(steps * interval)))
    if first > last.steps(steps):
        raise InputError(
            f"returns: panel_cross_entropy needs a panel, which would be evaluated after step {first} of {last.steps(steps)} of "
            f"stages.{last.name} for the first time (monitor.every_epochs, trainer.val_check_interval)"
        )


def check_clipping(trainer: pl.Trainer, arguments: Mapping[str, Any], stages: Sequence[Stage]) -> None:
    """Refuses to clip gradients that a fused optimizer unscales itself."""
    if arguments.get("gradient_clip_val") is None or not isinstance(trainer.precision_plugin, MixedPrecision):
        return
    for stage in stages:
        optimizer = stage.optimizer([torch.nn.Parameter(torch.ones(2))])
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            raise InputError(
                f"stages.{stage.name}.optimizer.fused: true cannot be clipped in mixed precision (trainer.gradient_clip_val, "
                "trainer.precision); give fused=false"
            )
