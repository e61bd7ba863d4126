"""The interface of every dataset; derive from ImageDataset to bring your own."""

import hashlib
import math
from abc import ABC, abstractmethod
from functools import cached_property
from inspect import Parameter, signature
from typing import Any, ClassVar, Self, cast

import numpy as np
from torch import Tensor

from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.splits import LabelledImages, labelled_images
from nas_lightning.errors import InputError, check_at_least

OF_THIS_MACHINE = ("root", "cache", "download")
"""Arguments of a data set's constructor that say where its files lie, and stay out of a checkpoint."""


class Measured:
    """``mean`` or ``std`` of a data set that gives none: that of its training pixels, measured at the first use."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, dataset: "ImageDataset | None", owner: type) -> tuple[float, ...]:
        if dataset is None:
            raise AttributeError(self.name)  # so that no dataclass takes it for a default
        for name, values in zip(("mean", "std"), measured_scaling(dataset.train().images), strict=True):
            vars(dataset).setdefault(name, values)  # also of a frozen dataclass
        kept: tuple[float, ...] = vars(dataset)[self.name]
        return kept


class ImageDataset(ABC):
    """A labelled image dataset held in memory or mapped from a file, with square images of one size.

    A data set of your own gives the attributes and ``read``. Each argument of its constructor is kept under its own name, as
    a dataclass does: from these a checkpoint rebuilds the data set. A folder of files is named ``root``.

    Attributes:
        name: of the dataset in its header, and so in checkpoints; each class has its own.
        classes: labels are 0 .. classes - 1.
        channels: 1 or 3.
        resolution: height and width of an image, in pixels.
        mean: per channel, of images scaled to [0, 1]; subtracted by normalization. Measured unless given.
        std: per channel, of images scaled to [0, 1]; the divisor of normalization. Measured unless given.
    """

    name: ClassVar[str]
    classes: int
    channels: int
    resolution: int
    mean: tuple[float, ...] = cast(Any, Measured())
    std: tuple[float, ...] = cast(Any, Measured())

    @property
    def how_split(self) -> str:
        """How the test split was taken from images that have none of their own, in a sentence; empty if they have one."""
        return ""

    @abstractmethod
    def read(self, split: str) -> Any:
        """The images and labels of ``train`` or ``test``, as a pair of tensors or arrays; called once for each.

        Images are uint8, (n, channels, H, W) or (n, H, W, channels), greys also (n, H, W); labels are integers (n,).
        """

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
    def rebuild(cls, arguments: dict[str, Any], root: str | None) -> Self:
        """The dataset that gave ``arguments``; ``root`` is the folder of its files on this machine, if it has any."""
        parameter = signature(cls).parameters.get("root")
        if parameter is None or (root is None and parameter.default is not Parameter.empty):
            return cls(**arguments)
        if root is None:
            raise InputError(f"data.root: not given; it must be the folder that holds the files of {cls.name}")
        return cls(**{"root": root, **arguments})

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, without those ``OF_THIS_MACHINE``, as plain JSON values."""
        values: dict[str, Any] = {}
        for name, parameter in signature(type(self)).parameters.items():
            if name in OF_THIS_MACHINE or parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                continue
            if not hasattr(self, name):
                raise InputError(f"data.{name}: {type(self).__name__} takes it but does not keep it; write self.{name} = {name}")
            value = getattr(self, name)
            values[name] = list(value) if isinstance(value, tuple) else value
        return values

    @cached_property
    def _train(self) -> LabelledImages:
        return self._taken("train")

    @cached_property
    def _test(self) -> LabelledImages:
        return self._taken("test")

    def _taken(self, split: str) -> LabelledImages:
        place = f"data ({type(self).__name__}): {split}"
        try:
            found = self.read(split)
        except OSError as error:
            raise InputError(f"{place} split: cannot be read ({error})") from None
        return labelled_images(found, place, classes=self.classes, channels=self.channels, resolution=self.resolution)


def measured_scaling(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels, per channel, in [0, 1], to four digits.

    Args:
        images: (n, channels, H, W) uint8, possibly mapped from a file.
    """
    counts = np.zeros((images.shape[1], 256))
    for part in images.split(1000):
        for channel, seen in enumerate(counts):
            seen += np.bincount(part[:, channel].numpy().ravel(), minlength=256)
    shares, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    means = shares @ values
    deviations = np.sqrt(np.maximum(shares @ values**2 - means**2, 0))
    return tuple(np.round(means, 4).tolist()), tuple(np.round(deviations, 4).tolist())


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
