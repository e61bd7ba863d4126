"""Trains one candidate alone, from scratch, and tests it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy

from nas_lightning.data import Augmentation, ImageDataset, PerImage, evaluation_images
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.schedule import Schedule
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import SingleNetwork
from nas_lightning.trainer import end_at_once, make_trainer

TEST_BATCH = 1000
"""Images a pass of the test; they matter only where the norms use batch statistics."""


@dataclass(frozen=True)
class Recipe:
    """How a candidate is trained alone; arguments as a stage's and the supernet's."""

    epochs: int
    batch_size: int
    make_optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    schedule: Schedule
    augmentation: Augmentation | PerImage
    shortcuts: str = "where_needed"
    norm: str = "running"


def train_alone(
    space: SearchSpace,
    architecture: Architecture,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    trainer_arguments: Mapping[str, Any],
) -> float:
    """The test accuracy, a fraction, of a candidate trained from scratch.

    Args:
        seed: of weights, batch order and augmentation.
        trainer_arguments: of pl.Trainer.
    """
    network = SingleNetwork(space, architecture, dataset.classes, dataset.channels, recipe.shortcuts, recipe.norm, seed)
    network = network.to(memory_format=torch.channels_last)  # on a CPU 0.7 of the time a step
    clip = (trainer_arguments.get("gradient_clip_val"), trainer_arguments.get("gradient_clip_algorithm") or "norm")
    module = _Alone(network, recipe, clip)
    data = ImageDataModule(dataset, recipe.augmentation, batch_size=recipe.batch_size, seed=seed)
    trainer = make_trainer(trainer_arguments, max_epochs=recipe.epochs, enable_checkpointing=False)
    trainer.fit(module, datamodule=data)
    images, labels = evaluation_images(dataset, None)
    return _test(network.eval(), images, labels, module.device)


class _Alone(pl.LightningModule):
    def __init__(self, network: SingleNetwork, recipe: Recipe, clip: tuple[float | None, str]) -> None:
        super().__init__()
        self.network, self.recipe, self.clip = network, recipe, clip

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.recipe.make_optimizer(self.network.parameters())
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    def on_train_start(self) -> None:
        end_at_once(self.trainer)  # there is nothing to keep

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        elapsed = self.current_epoch + batch_idx / self.trainer.num_training_batches
        for group, peak in zip(self.trainer.optimizers[0].param_groups, self.peaks, strict=True):
            group["lr"] = self.recipe.schedule.rate(peak, elapsed, self.recipe.epochs)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.clip[0] is not None:
            self.clip_gradients(optimizer, gradient_clip_val=self.clip[0], gradient_clip_algorithm=self.clip[1])

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)


@torch.inference_mode()
def _test(network: SingleNetwork, images: Tensor, labels: Tensor, device: torch.device) -> float:
    network = network.to(device)
    logits = torch.cat([network(batch.to(device)) for batch in images.split(TEST_BATCH)])
    return float(multiclass_accuracy(logits, labels.to(device), logits.shape[1], average="micro"))
