"""Passes a dataset to Lightning: batch order, hold-out, and augmentation on the training device or in the loader."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nas_lightning.data.arguments import check_integer
from nas_lightning.data.batches import AugmentedImages, EpochBatches, FixedBatches, IndexedImages
from nas_lightning.data.image_dataset import ImageDataset
from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.per_image import PerImage
from nas_lightning.data.splits import LabelledImages
from nas_lightning.devices.signals import leave_to_parent
from nas_lightning.errors import InputError
from nas_lightning.rng import generator

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
        batch_size: training images of a step, per process; at least 2, as norms use batch statistics. The last batch of
            an epoch is kept and may be shorter, down to a single image.
        holdout: training images set aside for validation, drawn with the seed, the same in every stage.
        eval_batch_size: images of a validation batch.
        workers: processes that read ahead; 0 reads in the main process.
        resident: whether the training images stay on the training device, so that a step moves only indices; None does
            so on a GPU without workers or PerImage.
        seed: the run's.
        stage_index: index of the stage; stages share neither order nor augmentation.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        augmentation: BatchAugmentation | PerImage,
        *,
        batch_size: int,
        holdout: int = 0,
        eval_batch_size: int = 500,
        workers: int = 0,
        resident: bool | None = None,
        seed: int = 0,
        stage_index: int = 0,
    ) -> None:
        super().__init__()
        check_integer("loader.batch_size", batch_size, 2)
        check_integer("loader.holdout", holdout, 0)
        check_integer("loader.eval_batch_size", eval_batch_size, 1)
        check_integer("loader.workers", workers, 0)
        self.dataset = dataset
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.holdout = holdout
        self.eval_batch_size = eval_batch_size
        if resident and (workers or isinstance(augmentation, PerImage)):
            other = f"workers={workers}" if workers else "an augmentation of single images"
            raise InputError(f"loader.resident: true cannot go with {other}, which reads images on the CPU")
        self.workers = workers
        self.resident = resident
        self.seed = seed
        self.stage_index = stage_index

    @cached_property
    def _split(self) -> tuple[Tensor, Tensor]:
        """Ascending indices of the images to train on, and of those held out."""
        count = len(self.dataset.train().labels)
        check_integer("loader.holdout", self.holdout, 0, count - 1)
        order = torch.from_numpy(generator(self.seed, "holdout").permutation(count))
        return order[self.holdout :].sort().values, order[: self.holdout].sort().values

    def batches(self, devices: int) -> tuple[int, int]:
        """Training batches per epoch and device, and validation batches, all of which every device has."""
        training = EpochBatches(self._split[0], self.batch_size, seed=self.seed, stage_index=self.stage_index, world_size=devices)
        return len(training), len(FixedBatches(self._split[1], self.eval_batch_size)) if self.holdout else 0

    def prepare_data(self) -> None:
        """Lets one process download missing files before the others need them."""
        self.dataset.train()

    def setup(self, stage: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Disables validation without held-out images: Lightning would warn about an empty list of loaders."""
        if self.holdout == 0 and self.trainer is not None:
            self.trainer.limit_val_batches = 0

    def train_dataloader(self) -> DataLoader[Batch]:
        """Every training image once per epoch, split over the processes."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        batches = EpochBatches(
            self._split[0], self.batch_size, seed=self.seed, stage_index=self.stage_index, rank=rank, world_size=world_size
        )
        if self.trainer is not None:
            # On resume, Lightning starts the first epoch's iterator before it calls set_epoch.
            epoch: Any = self.trainer.fit_loop.epoch_progress.current
            batches.set_epoch(epoch.processed)
            if epoch.started > epoch.processed:  # it resumes within the epoch
                progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
                batches.skip(epoch.processed, progress.processed)
        return self._loader(self._training_images(), batches)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """All held-out images in a fixed order, in every process; no loader if none are held out."""
        if self.holdout == 0:
            return []
        return self._loader(IndexedImages(self.dataset.train()), FixedBatches(self._split[1], self.eval_batch_size))

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

    def _training_images(self) -> IndexedImages:
        split = self.dataset.train()
        if (device := self._resident_on()) is not None:
            return IndexedImages(LabelledImages(split.images.to(device), split.labels.to(device)))
        if not isinstance(self.augmentation, PerImage):
            return IndexedImages(split)
        self.augmentation.check(split.images[:1])
        return AugmentedImages(split, self.augmentation, seed=self.seed, stage_index=self.stage_index)

    def _resident_on(self) -> torch.device | None:
        """The device where the training images stay; None if they are read on the CPU."""
        possible = self.resident or torch.cuda.is_available()
        if self.trainer is None or not possible or self.workers or isinstance(self.augmentation, PerImage):
            return None
        device = self.trainer.strategy.root_device
        return device if self.resident or (self.resident is None and device.type == "cuda") else None

    def _loader(self, images: IndexedImages, batches: EpochBatches | FixedBatches) -> DataLoader[Batch]:
        return ResumableLoader(
            images,
            sampler=batches,
            batch_size=None,  # the sampler yields whole batches
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            worker_init_fn=leave_to_parent,  # a worker ended by a signal would fail the step that its parent saves
            generator=torch.Generator(),  # for the workers' unused global seeds; leaves torch's own alone
            pin_memory=torch.cuda.is_available() and images.split.images.device.type == "cpu",
        )
