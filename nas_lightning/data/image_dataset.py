"""The interface of every dataset; derive from ImageDataset to bring your own."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Self

from torch import Tensor

from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.splits import LabelledImages, labelled_images
from nas_lightning.errors import InputError, check_at_least


class ImageDataset(ABC):
    """A labelled image dataset held in memory or mapped from a file, with square images of one size.

    ``read_train`` and ``read_test`` may return a pair of tensors or NumPy arrays, with labels of any integer type.

    Attributes:
        name: of the dataset in its header, and so in checkpoints; each class has its own.
        classes: labels are 0 .. classes - 1.
        channels: 1 or 3.
        resolution: height and width of an image, in pixels.
        mean: per channel, of images scaled to [0, 1]; subtracted by normalization.
        std: per channel, of images scaled to [0, 1]; the divisor of normalization.
    """

    name: ClassVar[str]
    classes: int
    channels: int
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def train(self) -> LabelledImages:
        """The training split, read and checked at the first call and kept."""
        return self._train

    def test(self) -> LabelledImages:
        """The test split, read and checked at the first call and kept."""
        return self._test

    def header(self) -> dict[str, Any]:
        """Plain JSON values that rebuild this dataset, without the folder of its files."""
        return {"name": self.name, "arguments": self.arguments()}

    @classmethod
    def rebuild(cls, arguments: dict[str, Any], root: str | None) -> Self:  # noqa: ARG003 - only datasets with files read root
        """The dataset that gave ``arguments``; ``root`` is the folder of its files on this machine."""
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
        return self._taken("train", self.read_train)

    @cached_property
    def _test(self) -> LabelledImages:
        return self._taken("test", self.read_test)

    def _taken(self, split: str, read: Callable[[], LabelledImages]) -> LabelledImages:
        place = f"data ({type(self).__name__}): {split}"
        try:
            split_read = read()
        except OSError as error:
            raise InputError(f"{place} split: cannot be read ({error})") from None
        return labelled_images(split_read, place, classes=self.classes, channels=self.channels, resolution=self.resolution)


def known_datasets() -> dict[str, type[ImageDataset]]:
    """Every dataset class by its name: those of this room, and any other imported one."""
    classes, by_name = [ImageDataset], {}
    while classes:
        derived = classes.pop().__subclasses__()
        classes += derived
        by_name.update({dataset.name: dataset for dataset in derived if "name" in vars(dataset)})
    return by_name


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
        check_at_least("ranking.images", count, 1, len(labels))
    return normalize(to_unit(images[:count]), dataset.mean, dataset.std), labels[:count]


def channel_values(argument: str, values: object, channels: int, *, positive: bool = False) -> tuple[float, ...]:
    """One finite number per channel, as a tuple; accepts any sequence, Hydra's lists included."""
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != channels or not all(math.isfinite(number) and (number > 0 or not positive) for number in numbers):
        kind = "positive numbers" if positive else "numbers"
        raise InputError(f"{argument}: {' '.join(repr(values).split())[:100]} is not {channels} {kind}, one per channel")
    return numbers
