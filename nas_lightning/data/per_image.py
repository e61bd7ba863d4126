"""Random transforms of one image at a time, such as torchvision's, applied in the loader while images are read."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas_lightning.config.fields import Checked, number
from nas_lightning.data import image_ops
from nas_lightning.data.augmentation import callable_entries
from nas_lightning.errors import InputError

Transform = Callable[[Any], Any]  # one image (channels, H, W); the first of a chain is given uint8

TRIED = 8
"""Draws of a check: a transform may act only now and then."""
OVERSHOOT = 1e-4
"""How far a float image may leave [0, 1] by rounding in interpolation."""


@dataclass(frozen=True, slots=True)
class PerImage:
    """Applies named transforms in order to each image, in the loader's workers if it has any; skips null entries.

    They draw from the global generators of torch, NumPy or ``random``, as torchvision's do: these are seeded for each
    image, and restored afterwards. The chain maps a uint8 image to one of the same shape, uint8 or float in [0, 1].
    """

    transforms: Mapping[str, Transform | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = callable_entries("augmentation.transforms", self.transforms, "an image")
        object.__setattr__(self, "transforms", kept)

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """uint8 (batch, channels, H, W) -> the same, or float32 in [0, 1] if the transforms end in floats.

        Args:
            seeds: one per image, in 0 .. 2**32 - 1.

        Raises:
            InputError: if a transform fails, or the result is not such an image.
        """
        with _borrowed_generators():
            augmented = [self._augment(image, seed) for image, seed in zip(images, seeds, strict=True)]
        if any(image.dtype != torch.uint8 for image in augmented):
            augmented = [image_ops.to_unit(image) for image in augmented]
        return torch.stack(augmented)

    def check(self, image: Tensor) -> None:
        """Raises InputError if a few draws fail on ``image`` (uint8); an error in a worker would take many lines."""
        self(image.repeat(TRIED, 1, 1, 1), range(TRIED))

    def _augment(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too
        np.random.seed(seed)
        random.seed(seed)
        result: Any = image
        for name, transform in self.transforms.items():
            try:
                result = transform(result)  # type: ignore[misc]  # no entry is None after the check
            except (TypeError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"augmentation.transforms.{name}: fails on an image ({' '.join(str(error).split()).rstrip('.')})"
                ) from error
        if not _is_image(result, image.shape):
            rule = f"must end in a uint8 image or a float image in [0, 1], of shape {tuple(image.shape)}"
            raise InputError(f"augmentation.transforms: {rule}, not in {_described(result)}")
        return result.as_subclass(Tensor)  # torchvision has subclasses of its own


@dataclass(frozen=True, slots=True)
class ImageCutout(Checked):
    """Fills one square of one image with 0, its centre uniform over the pixels, cut off at the borders.

    The square of torchvision's RandomErasing, in contrast, always lies wholly inside the image.
    """

    size: int = number(least=1)  # pixels of its side; an odd one acts as the even number below it

    def __call__(self, image: Tensor) -> Tensor:
        """(channels, H, W) of any dtype -> the same; draws the centre's row, then column, from torch's generator."""
        centre_y, centre_x = (torch.randint(extent, (1,)) for extent in image.shape[-2:])
        return image_ops.cutout(image.unsqueeze(0), centre_y, centre_x, self.size)[0]


@contextmanager
def _borrowed_generators() -> Iterator[None]:
    """Restores the states of the global generators."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _is_image(result: Any, shape: torch.Size) -> bool:
    if not isinstance(result, Tensor) or result.shape != shape:
        return False
    if not result.is_floating_point():
        return result.dtype == torch.uint8
    low, high = result.aminmax()
    return bool(low >= -OVERSHOOT and high <= 1 + OVERSHOOT)  # false for nan too


def _described(result: Any) -> str:
    if not isinstance(result, Tensor):
        return f"an object of type {type(result).__name__}"
    kind = f"{str(result.dtype).removeprefix('torch.')} of shape {tuple(result.shape)}"
    if result.numel() == 0 or not result.is_floating_point():
        return kind
    return f"{kind} from {float(result.min()):g} to {float(result.max()):g}"
