"""Random operations on a whole batch: each draws its per-image parameters from a given generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas_lightning.config.fields import Checked, number
from nas_lightning.data import image_ops
from nas_lightning.errors import InputError

TRIES = 10
Operation = Callable[[Tensor, np.random.Generator], Tensor]  # uint8 (batch, channels, H, W) -> the same


@dataclass(frozen=True, slots=True)
class RandomCrop(Checked):
    """Takes a window of the image's size, uniform over those of the zero-padded image."""

    padding: int = number(least=0)  # pixels on every side

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws top, then left."""
        top, left = torch.from_numpy(rng.integers(2 * self.padding + 1, size=(2, len(images))))
        return image_ops.crop(images, top, left, self.padding)


@dataclass(frozen=True, slots=True)
class RandomResizedCrop(Checked):
    """Takes a window of random area and shape, uniform over the places where it fits, and enlarges it to the image's size.

    The area is a uniform share of the image's from ``least_area`` on; the logarithm of width / height is uniform within
    that of ``aspect`` either way. Of ``TRIES`` draws the first that fits counts; if none does, the whole image.
    """

    least_area: float = number(0.08, above=0, most=1)
    aspect: float = number(4 / 3, least=1)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws areas and shapes, then the places."""
        height, width = images.shape[2:]
        shape = (TRIES, len(images))
        area = height * width * rng.uniform(self.least_area, 1, shape)
        aspect = np.exp(rng.uniform(-np.log(self.aspect), np.log(self.aspect), shape))
        heights, widths = (np.maximum(np.rint(np.sqrt(side)).astype(np.int64), 1) for side in (area / aspect, area * aspect))
        fits = (heights <= height) & (widths <= width)
        first, columns = fits.argmax(axis=0), np.arange(len(images))
        heights = np.where(fits.any(axis=0), heights[first, columns], height)
        widths = np.where(fits.any(axis=0), widths[first, columns], width)
        top, left = rng.integers(height - heights + 1), rng.integers(width - widths + 1)
        return image_ops.resized_crop(images, *map(torch.from_numpy, (top, left, heights, widths)))


@dataclass(frozen=True, slots=True)
class RandomHorizontalFlip(Checked):
    """Mirrors left and right."""

    probability: float = number(0.5, least=0, most=1)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws which images to mirror."""
        return image_ops.flip(images, torch.from_numpy(rng.random(len(images)) < self.probability))


@dataclass(frozen=True, slots=True)
class RandomRotation(Checked):
    """Rotates by an angle uniform in [-degrees, degrees]; nearest pixel, 0 outside."""

    degrees: float = number(least=0, most=180)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws the angles."""
        return image_ops.rotate(images, torch.from_numpy(rng.uniform(-self.degrees, self.degrees, len(images))))


@dataclass(frozen=True, slots=True)
class Cutout(Checked):
    """Fills one square with 0, its centre uniform over the pixels, cut off at the borders."""

    size: int = number(least=1)  # pixels of its side; an odd one acts as the even number below it

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws the rows, then the columns of the centres."""
        height, width = images.shape[2:]
        centre_y = torch.from_numpy(rng.integers(height, size=len(images)))
        centre_x = torch.from_numpy(rng.integers(width, size=len(images)))
        return image_ops.cutout(images, centre_y, centre_x, self.size)


@dataclass(frozen=True, slots=True)
class ColorJitter(Checked):
    """With ``probability``, scales brightness and contrast, in either order, by factors uniform in 1 +- value."""

    brightness: float = number(least=0, most=1)
    contrast: float = number(least=0, most=1)
    probability: float = number(1.0, least=0, most=1)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Draws which images to change, both factors and the order; the number of draws is always the same."""
        count = len(images)
        applied = rng.random(count) < self.probability
        # A factor of 1 leaves a uint8 image unchanged, so skipped images and both orders need no branch.
        brightness = np.where(applied, rng.uniform(1 - self.brightness, 1 + self.brightness, count), 1)
        contrast = np.where(applied, rng.uniform(1 - self.contrast, 1 + self.contrast, count), 1)
        brightness_first = rng.random(count) < 0.5
        images = image_ops.adjust_brightness(images, _factors(np.where(brightness_first, brightness, 1)))
        images = image_ops.adjust_contrast(images, _factors(contrast))
        return image_ops.adjust_brightness(images, _factors(np.where(brightness_first, 1, brightness)))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Applies named operations in order to uint8 images, then scales to float32 in [0, 1]; skips null entries."""

    operations: Mapping[str, Operation | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = callable_entries("augmentation.operations", self.operations, "(images, generator)")
        object.__setattr__(self, "operations", kept)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """(batch, channels, H, W) uint8 -> the same shape in [0, 1]."""
        for operation in self.operations.values():
            images = operation(images, rng)  # type: ignore[misc]  # no entry is None after the check
        return image_ops.to_unit(images)


def callable_entries(argument: str, entries: Mapping[str, Any], takes: str) -> dict[str, Any]:
    """The non-null entries; raises InputError if they are no mapping, or naming the first that is not a function of ``takes``."""
    if not isinstance(entries, Mapping):
        raise InputError(f"{argument}: {entries!r} is no mapping of names; a null entry is left out, and augmentation=none has none")
    kept = {name: entry for name, entry in entries.items() if entry is not None}
    for name, entry in kept.items():
        if not callable(entry):
            raise InputError(f"{argument}.{name}: {entry!r} is not a function of {takes}")
    return kept


def _factors(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
