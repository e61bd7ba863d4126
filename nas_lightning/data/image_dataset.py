"""What every dataset of this room offers; derive from ImageDataset to bring your own."""

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor

from nas_lightning.data.arguments import check_integer
from nas_lightning.data.operations import normalize, to_unit


class LabelledImages(NamedTuple):
    """Images, uint8 (n, channels, H, W), possibly a strided view of a file, and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor


class ImageDataset(ABC):
    """A labelled image dataset held in memory or mapped from a file, with square images of one size.

    Attributes:
        name: how its header, and so a checkpoint, calls it.
        classes: labels are 0 .. classes - 1.
        channels: 1 or 3.
        resolution: height and width of an image, in pixels.
        mean: per channel, of images scaled to [0, 1]; what normalization subtracts.
        std: per channel, of images scaled to [0, 1]; what normalization divides by.
    """

    name: ClassVar[str]
    classes: int
    channels: int
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def train(self) -> LabelledImages:
        """The training split, read at the first call and kept."""
        return self._train

    def test(self) -> LabelledImages:
        """The test split, read at the first call and kept."""
        return self._test

    def header(self) -> dict[str, Any]:
        """What rebuilds this dataset, as plain JSON values; where its files lie is left out."""
        return {"name": self.name, "arguments": self.arguments()}

    @classmethod
    def rebuild(cls, arguments: dict[str, Any], root: str | None) -> Self:  # noqa: ARG003 - only datasets with files read root
        """The dataset that gave ``arguments``; ``root`` is where its files lie on this machine."""
        return cls(**arguments)

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, without ``root``, as plain JSON values."""

    @abstractmethod
    def read_train(self) -> LabelledImages:
        """Reads the training split; called once."""

    @abstractmethod
    def read_test(self) -> LabelledImages:
        """Reads the test split; called once."""

    @cached_property
    def _train(self) -> LabelledImages:
        return self.read_train()

    @cached_property
    def _test(self) -> LabelledImages:
        return self.read_test()


def fingerprint(split: LabelledImages) -> str:
    """The sha256, in hex, of the images' bytes in order, then of the labels'."""
    digest = hashlib.sha256()
    for images in split.images.split(1000):  # a mapped file is not copied whole
        digest.update(images.contiguous().numpy().data)
    digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()


def evaluation_images(dataset: ImageDataset, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first ``count`` test images (default: all), normalized float32, and their labels.

    Raises:
        InputError: if ``count`` is below 1 or above the number of test images.
    """
    images, labels = dataset.test()
    if count is not None:
        check_integer("ranking.images", count, 1, len(labels))
    return normalize(to_unit(images[:count]), dataset.mean, dataset.std), labels[:count]
