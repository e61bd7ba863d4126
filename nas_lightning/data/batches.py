"""Forms batches: samplers that yield the indices of whole batches, and the datasets that read one."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from nas_lightning.data.per_image import PerImage
from nas_lightning.data.splits import LabelledImages
from nas_lightning.rng import generator

# Both samplers derive from DistributedSampler, which Lightning leaves alone; it would split any other again.


class BatchIndices(NamedTuple):
    """The images of a batch, (batch,), and its epoch, which a worker process, alive for many epochs, needs to know."""

    images: Tensor
    epoch: int


class IndexedImages(Dataset[tuple[Tensor, Tensor]]):
    """Reads images a batch at a time, and may augment them one by one.

    Args:
        split: the images.
        augmentation: of each image.
        seed, stage_index: keys of an image's draws, besides the epoch and its index.
    """

    def __init__(self, split: LabelledImages, augmentation: PerImage | None = None, *, seed: int = 0, stage_index: int = 0) -> None:
        self.split, self.augmentation, self.seed, self.stage_index = split, augmentation, seed, stage_index

    def __getitem__(self, indices: BatchIndices) -> tuple[Tensor, Tensor]:
        """Uint8 or, augmented, float32 in [0, 1], (batch, channels, H, W), and labels (batch,)."""
        chosen = indices.images.to(self.split.images.device, non_blocking=True)
        images = self.split.images[chosen]
        if self.augmentation is not None:
            place = (self.stage_index, indices.epoch)
            draws = [generator(self.seed, "image augmentation", *place, index) for index in indices.images.tolist()]
            images = self.augmentation(images, [int(draw.integers(2**32)) for draw in draws])
        return images, self.split.labels[chosen]

    def __len__(self) -> int:
        return len(self.split.labels)


class EpochBatches(DistributedSampler[BatchIndices]):
    """Shuffles every epoch and splits it so that every process has equally many images and none is seen twice.

    This leaves out up to world_size - 1 images, different ones each epoch; the last batch may be short.

    Args:
        indices: (n,) of the images of an epoch.
        batch_size: images of a batch, per process.
        seed, stage_index: keys of the order, besides the epoch.
        rank, world_size: of this process, and the number of processes.
    """

    def __init__(self, indices: Tensor, batch_size: int, *, seed: int, stage_index: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices, self.batch_size, self.rank, self.world_size = indices, batch_size, rank, world_size
        self.seed, self.stage_index = seed, stage_index
        self.images = len(indices) // world_size  # of this process, per epoch
        self.epoch = 0
        self.done = (0, 0)
        """An epoch, and the number of its first batches that a resumed run has had."""

    def __iter__(self) -> Iterator[BatchIndices]:
        order = generator(self.seed, "order", self.stage_index, self.epoch).permutation(len(self.indices))
        mine = self.indices[torch.from_numpy(order[: self.images * self.world_size][self.rank :: self.world_size])]
        batches = [BatchIndices(images, self.epoch) for images in mine.split(self.batch_size)] if len(mine) else []
        epoch, done = self.done
        return iter(batches[done:] if self.epoch == epoch else batches)

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)


class FixedBatches(DistributedSampler[BatchIndices]):
    """The same batches and order in every epoch and process, so that batch statistics do not depend on processes."""

    def __init__(self, indices: Tensor, batch_size: int) -> None:
        self.batches = indices.split(batch_size)
        self.epoch = 0

    def __iter__(self) -> Iterator[BatchIndices]:
        return iter([BatchIndices(images, self.epoch) for images in self.batches])

    def __len__(self) -> int:
        return len(self.batches)
