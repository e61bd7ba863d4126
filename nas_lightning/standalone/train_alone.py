"""Trains one candidate from scratch, without a supernet, and tests it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy

from nas_lightning.config import roles
from nas_lightning.config.fields import choice, made, number, target
from nas_lightning.data import Augmentation, ImageDataset, PerImage, evaluation_images
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.devices.trainer import end_at_once, make_trainer
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.cpu_faults import safe_convolutions
from nas_lightning.supernet.families import Family
from nas_lightning.supernet.layers import as_channels_last
from nas_lightning.training.schedules import Schedule

TEST_BATCH = 1000
"""Most images per pass of the test, which are of about equal size; matters only to norms with batch statistics."""
TAKEN = (
    "accelerator",
    "strategy",
    "devices",
    "num_nodes",
    "precision",
    "plugins",
    "deterministic",
    "benchmark",
    "gradient_clip_val",
    "gradient_clip_algorithm",
)
"""The pl.Trainer arguments of device, speed and precision; others belong to a stage or would cut a training short."""
SHARED = ("log_every_n_steps",)
"""Arguments that the shipped configs give to every command; ignored here."""


class Diverged(InputError):
    """A training has nan or infinite loss, weights or test logits, and so no accuracy."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a candidate is trained stand-alone; its keys are among those of ``standalone``."""

    epochs: int = number(least=1)
    """Passes over the training split."""
    batch_size: int = number(128, least=2)
    """Training images per step."""
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = target(roles.OPTIMIZER, is_partial=True)
    """The optimizer; its ``lr`` is the schedule's peak."""
    schedule: Schedule = target(roles.SCHEDULE)
    """The learning rate over the training."""
    augmentation: Augmentation | PerImage = target(roles.AUGMENTATION)
    """What happens to training images."""
    norm: str = choice("running", among=("batch", "running"))
    """As ``supernet.norm``."""
    family: Family = made()
    """Builds the networks to train."""


def check_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Refuses pl.Trainer arguments that stand-alone training does not take.

    Raises:
        InputError: naming the first.
    """
    for key, value in arguments.items():
        if key not in (*TAKEN, *SHARED) and not (value is None or value is False or value == []):
            raise InputError(
                f"trainer.{key}: {value!r} cannot be given here: it belongs to the stages of nas-train; a candidate is trained alone for "
                f"all of standalone.epochs, and takes of trainer only {', '.join(TAKEN)}"
            )


def train_alone(
    architecture: Architecture,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    trainer_arguments: Mapping[str, Any],
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """The test accuracy, a fraction, of a candidate trained from scratch.

    Args:
        seed: of weights, batch order and augmentation.
        trainer_arguments: of pl.Trainer; only ``TAKEN`` are used.
        after_epoch: called after each.

    Raises:
        Diverged: if the loss, a weight or a test logit is nan or infinite.
        InputError: if something ended the training before its last step.
    """
    network = recipe.family.alone(architecture, recipe.norm, seed)
    return train_network(network, recipe.family.space.text(architecture), dataset, recipe, seed, trainer_arguments, after_epoch)


def train_network(
    network: nn.Module,
    name: str,
    dataset: ImageDataset,
    recipe: Recipe,
    seed: int,
    trainer_arguments: Mapping[str, Any],
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """The test accuracy of a network after a training from the weights that it has; as ``train_alone``.

    Args:
        name: of the network, for errors.
    """
    taken = {key: value for key, value in trainer_arguments.items() if key in TAKEN}
    network = as_channels_last(network.train())  # on a CPU, a step takes 0.7 of the time
    module = _StandaloneTraining(network, recipe, (taken.get("gradient_clip_val"), taken.get("gradient_clip_algorithm")), after_epoch)
    data = ImageDataModule(dataset, recipe.augmentation, batch_size=recipe.batch_size, seed=seed)
    trainer = make_trainer(taken, max_epochs=recipe.epochs, enable_checkpointing=False)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)  # dropout draws from the global generator
        with safe_convolutions(network, trainer.strategy.root_device):
            trainer.fit(module, datamodule=data)
    steps, due = trainer.global_step, recipe.epochs * -(-len(dataset.train().labels) // recipe.batch_size)
    if steps < due:
        raise InputError(
            f"standalone: {name} with seed {seed} was stopped after {steps} of {due} steps, as "
            "Lightning's Trainer was asked to stop; it counts as not trained, and the same command trains it again"
        )
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise Diverged("a weight is nan or infinite after the last step")
    images, labels = evaluation_images(dataset, None)
    return _test(network.eval(), images, labels, module.device)


def _dtype(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


class _StandaloneTraining(pl.LightningModule):
    def __init__(self, network: nn.Module, recipe: Recipe, clip: tuple[float | None, str | None], after_epoch: Callable[[], None]) -> None:
        super().__init__()
        self.network, self.recipe, self.clip, self.after_epoch = network, recipe, clip, after_epoch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.recipe.optimizer(self.network.parameters())
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    def on_train_start(self) -> None:
        end_at_once(self.trainer)  # there is nothing to keep

    def on_train_epoch_start(self) -> None:
        self.total = torch.zeros((), device=self.device)

    def on_train_epoch_end(self) -> None:
        # Only once per epoch, as reading a number from a GPU waits for all its work.
        if not self.total.isfinite():
            raise Diverged(f"the loss is nan or infinite in epoch {self.current_epoch + 1} of {self.recipe.epochs}")
        self.after_epoch()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        elapsed = self.current_epoch + batch_idx / self.trainer.num_training_batches
        for group, peak in zip(self.trainer.optimizers[0].param_groups, self.peaks, strict=True):
            group["lr"] = self.recipe.schedule.rate(peak, elapsed, self.recipe.epochs)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.clip_gradients(optimizer, *self.clip)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self.network(images.to(_dtype(self.network))), labels)
        self.total += loss.detach()
        return loss


@torch.inference_mode()
def _test(network: nn.Module, images: Tensor, labels: Tensor, device: torch.device) -> float:
    network = network.to(device)
    logits = torch.cat([network(batch.to(device, _dtype(network))) for batch in images.tensor_split(-(-len(images) // TEST_BATCH))])
    if not logits.isfinite().all():
        raise Diverged("a logit of the test is nan or infinite")
    return float(multiclass_accuracy(logits, labels.to(device), logits.shape[1], average="micro"))
