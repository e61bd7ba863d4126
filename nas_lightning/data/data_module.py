"""Passes a dataset to Lightning: batch order, hold-out, and augmentation on the training device or in the loader."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nas_lightning.config.schema import LoaderConfig
from nas_lightning.data.batches import EpochBatches, FixedBatches, IndexedImages
from nas_lightning.data.image_dataset import ImageDataset
from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.per_image import PerImage
from nas_lightning.data.splits import LabelledImages
from nas_lightning.devices.signals import leave_to_parent
from nas_lightning.errors import InputError, check_at_least
from nas_lightning.rng import generator

TRIED = 16
"""Most images to try an augmentation on."""
Batch = tuple[Tensor, Tensor]  # images, labels
BatchAugmentation = Callable[[Tensor, np.random.Generator], Tensor]  # uint8 (batch, channels, H, W) -> float32 in [0, 1]


class ResumableLoader(DataLoader[Batch]):
    """Lets Lightning resume within an epoch; the data module reads the position from Lightning's own progress."""

    def state_dict(self) -> dict[str, int]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to take."""


class ImageDataModule(pl.LightningDataModule):
    """Batches of ``dataset``; draws depend on the seed and the position alone, so that a resumed run repeats them.

    Args:
        dataset: source of the images.
        augmentation: of training images only; PerImage works in the loader, others on batches on the training device.
        seed: the run's.
        stage_index: index of the stage; stages share neither order nor augmentation.
        loader: the keys of LoaderConfig.
    """

    def __init__(
        self, dataset: ImageDataset, augmentation: BatchAugmentation | PerImage, *, seed: int = 0, stage_index: int = 0, **loader: Any
    ) -> None:
        super().__init__()
        self.dataset, self.augmentation, self.loader = dataset, augmentation, LoaderConfig(**loader)
        self.seed, self.stage_index = seed, stage_index
        self.reads_on_cpu = self.loader.workers > 0 or isinstance(augmentation, PerImage)
        if self.loader.resident and self.reads_on_cpu:
            other = f"workers={self.loader.workers}" if self.loader.workers else "an augmentation of single images"
            raise InputError(f"loader.resident: true cannot go with {other}, which reads images on the CPU")

    @cached_property
    def _split(self) -> tuple[Tensor, Tensor]:
        """Ascending indices of the images to train on, and of those held out."""
        count = len(self.dataset.train().labels)
        check_at_least("loader.holdout", self.loader.holdout, 0, count - 1)
        order = torch.from_numpy(generator(self.seed, "holdout").permutation(count))
        return order[self.loader.holdout :].sort().values, order[: self.loader.holdout].sort().values

    def batches(self, devices: int) -> tuple[int, int]:
        """Training batches per epoch and device, and validation batches, all of which every device has."""
        return len(self._epoch_batches(0, devices)), len(self._held_out_batches()) if self.loader.holdout else 0

    def last_batch(self, devices: int) -> int:
        """Images in the last training batch of an epoch, on each device."""
        batches = self._epoch_batches(0, devices)
        return batches.images % batches.batch_size or batches.batch_size

    def setup(self, stage: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Disables validation without held-out images: Lightning would warn about an empty list of loaders."""
        if self.loader.holdout == 0 and self.trainer is not None:
            self.trainer.limit_val_batches = 0

    def train_dataloader(self) -> DataLoader[Batch]:
        """Every training image once per epoch, split over the processes."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        batches = self._epoch_batches(rank, world_size)
        if self.trainer is not None:
            # On resume, Lightning starts the first epoch's iterator before it calls set_epoch.
            epoch: Any = self.trainer.fit_loop.epoch_progress.current
            batches.set_epoch(epoch.processed)
            if epoch.started > epoch.processed:  # it resumes within the epoch
                progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
                batches.done = epoch.processed, progress.processed
        return self._loader(self._training_images(), batches)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """All held-out images in a fixed order, in every process; no loader if none are held out."""
        if self.loader.holdout == 0:
            return []
        return self._loader(IndexedImages(self.dataset.train()), self._held_out_batches())

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002 - Lightning's signature
        """Images from the loader -> normalized float32, augmented in training, on the same device."""
        images, labels = batch
        if self.trainer is not None and self.trainer.training and not isinstance(self.augmentation, PerImage):
            position = (self.stage_index, self.trainer.current_epoch, self.trainer.global_step, self.trainer.global_rank)
            images = self.augmentation(images, generator(self.seed, "augmentation", *position))
        else:
            images = to_unit(images)
        images = normalize(images, self.dataset.mean, self.dataset.std)
        # Lightning has converted the batch to its precision already, but that leaves integers alone.
        return images if self.trainer is None else self.trainer.precision_plugin.convert_input(images), labels

    def _epoch_batches(self, rank: int, world_size: int) -> EpochBatches:
        place = {"rank": rank, "world_size": world_size}
        return EpochBatches(self._split[0], self.loader.batch_size, seed=self.seed, stage_index=self.stage_index, **place)

    def _held_out_batches(self) -> FixedBatches:
        return FixedBatches(self._split[1], self.loader.eval_batch_size)

    def _training_images(self) -> IndexedImages:
        split = self.dataset.train()
        self._check_leaves_images(split.images)
        if isinstance(self.augmentation, PerImage):
            return IndexedImages(split, self.augmentation, seed=self.seed, stage_index=self.stage_index)
        if self.trainer is not None and self.loader.resident is not False and not self.reads_on_cpu:
            device = self.trainer.strategy.root_device
            if self.loader.resident or device.type == "cuda":
                split = LabelledImages(split.images.to(device), split.labels.to(device))
        return IndexedImages(split)

    def _check_leaves_images(self, images: Tensor) -> None:
        """Raises InputError if transforms fail, or nothing of a few training images is left, as of small ones under a large Cutout."""
        some = images[:: -(-len(images) // TRIED)].clone()  # an augmentation may write into what it is given
        if isinstance(self.augmentation, PerImage):
            self.augmentation.check(some[:1])
            augmented = self.augmentation(some, range(len(some)))
        else:
            augmented = self.augmentation(some, generator(self.seed, "augmentation check"))
        if _are_plain(augmented) and not _are_plain(some):
            raise InputError(
                f"augmentation: leaves one colour of each of {len(some)} images of {some.shape[2]}x{some.shape[3]} pixels, so that nothing "
                "can be learnt; a Cutout must be smaller than they are"
            )

    def _loader(self, images: IndexedImages, batches: EpochBatches | FixedBatches) -> DataLoader[Batch]:
        return ResumableLoader(
            images,
            sampler=batches,
            batch_size=None,  # the sampler yields whole batches
            num_workers=self.loader.workers,
            persistent_workers=self.loader.workers > 0,
            worker_init_fn=leave_to_parent,  # a worker ended by a signal would fail the step that its parent saves
            generator=torch.Generator(),  # for the workers' unused global seeds; leaves torch's own alone
            pin_memory=torch.cuda.is_available() and images.split.images.device.type == "cpu",
        )


def _are_plain(images: Tensor) -> bool:
    """Whether each image has a single value."""
    values = images.flatten(1)
    return bool((values.amax(1) == values.amin(1)).all())
