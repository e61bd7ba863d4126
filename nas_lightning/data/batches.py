"""Which images form which batch: samplers that yield whole batches of indices, and the dataset that such an index reads."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from nas_lightning.data.image_dataset import LabelledImages
from nas_lightning.draws import generator

# Both samplers are DistributedSamplers in name: Lightning leaves those alone, and would deal out any other over the processes once more.


class IndexedImages(Dataset[tuple[Tensor, Tensor]]):
    """Images read a batch at a time."""

    def __init__(self, split: LabelledImages) -> None:
        self.split = split

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """(batch,) -> uint8 (batch, channels, H, W) and labels (batch,)."""
        return self.split.images[indices], self.split.labels[indices]

    def __len__(self) -> int:
        return len(self.split.labels)


class EpochBatches(DistributedSampler[Tensor]):
    """Each epoch its own order, dealt out so that every process has equally many images and none is seen twice.

    Up to world_size - 1 images of an epoch's order are left out for that, different ones each epoch; the last batch may be short.

    Args:
        indices: (n,) of the images to go through.
        batch_size: images of a batch, per process.
        seed, stage_index: what the order depends on, beside the epoch.
        rank, world_size: which process this is, and of how many.
    """

    def __init__(self, indices: Tensor, batch_size: int, *, seed: int, stage_index: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = indices
        self.batch_size = batch_size
        self.seed = seed
        self.stage_index = stage_index
        self.rank = rank
        self.world_size = world_size
        self.images = len(indices) // world_size  # of this process, an epoch
        self.epoch = 0

    def __iter__(self) -> Iterator[Tensor]:
        order = generator(self.seed, "order", self.stage_index, self.epoch).permutation(len(self.indices))
        mine = self.indices[torch.from_numpy(order[: self.images * self.world_size][self.rank :: self.world_size])]
        return iter(mine.split(self.batch_size)) if len(mine) else iter(())

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)


class FixedBatches(DistributedSampler[Tensor]):
    """The same batches in the same order, in every epoch and process: batch statistics do not depend on how many processes there are."""

    def __init__(self, indices: Tensor, batch_size: int) -> None:
        self.batches = indices.split(batch_size)
        self.epoch = 0

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
