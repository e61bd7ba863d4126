"""Converts the images and labels of a data set's own code where unambiguous; refuses the rest in one line."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nas_lightning.errors import InputError

SAMPLED = 1000
"""Images, spread over the split, whose pixels are checked."""


class LabelledImages(NamedTuple):
    """Images, uint8 (n, channels, H, W), possibly a strided view of a file, and their labels, int64 (n,)."""

    images: Tensor
    labels: Tensor


def labelled_images(found: Any, place: str, *, classes: int, channels: int, resolution: int) -> LabelledImages:
    """The split, as tensors on the CPU.

    Args:
        found: a pair of images, uint8 (n, channels, H, W), (n, H, W, channels) or of one channel (n, H, W), and labels,
            integers (n,), as tensors or array-likes.
        place: name of the split in errors, such as ``data (Mine): train``.
        classes: labels are 0 .. classes - 1.
        channels: of an image.
        resolution: height and width of an image, in pixels.

    Raises:
        InputError: naming the place, the value and the rule.
    """
    if not isinstance(found, tuple | list) or len(found) != 2:
        kind = f"{len(found)} values" if isinstance(found, tuple | list) else f"an object of type {type(found).__name__}"
        raise InputError(f"{place} split: is {kind}; give a pair (images, labels)")
    images, labels = (_tensor(part, f"{place} {name}") for part, name in zip(found, LabelledImages._fields, strict=True))
    images = _channels_first(images, channels, resolution)
    _check_images(images, f"{place} images", channels, resolution)
    return LabelledImages(images, _class_numbers(labels, f"{place} labels", len(images), classes))


def _tensor(values: Any, place: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {type(values).__name__} is not an array of numbers ({' '.join(str(error).split())[:100]})") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{place}: {type(values).__name__} of dtype {array.dtype} is not an array of numbers")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # some files, such as IDX, are big-endian
    if any(stride < 0 for stride in array.strides):  # a flipped view, which torch does not support
        array = array.copy()
    with warnings.catch_warnings(action="ignore"):  # of read-only arrays, such as mapped files: nothing here writes
        return torch.from_numpy(array)


def _channels_first(images: Tensor, channels: int, resolution: int) -> Tensor:
    """(n, channels, H, W) of images whose channels come last, or that have none, where the shape leaves no doubt."""
    sides = (resolution, resolution)
    if channels == 1 and images.ndim == 3 and images.shape[1:] == sides:
        return images.unsqueeze(1)
    if images.ndim == 4 and images.shape[1:] == (*sides, channels) and images.shape[1] != channels:
        return images.permute(0, 3, 1, 2).contiguous()  # other layouts in memory would round differently
    return images


def _check_images(images: Tensor, place: str, channels: int, resolution: int) -> None:
    shape = tuple(images.shape)
    if shape[:1] == (0,):
        raise InputError(f"{place}: there are 0; give at least 1")
    if images.ndim != 4:
        raise InputError(f"{place}: shape {shape} is not (n, channels, height, width)")
    if images.dtype != torch.uint8:
        raise InputError(f"{place}: dtype {_name(images.dtype)} is not uint8; give pixels from 0 to 255, as they are scaled here")
    if shape[1] != channels:
        if shape[3] == channels:
            raise InputError(f"{place}: {shape[1]}x{shape[2]} pixels, but data.resolution is {resolution}")
        raise InputError(f"{place}: shape {shape} has {shape[1]} channels, but data.channels is {channels}")
    if shape[2:] != (resolution, resolution):
        raise InputError(f"{place}: {shape[2]}x{shape[3]} pixels, but data.resolution is {resolution}")
    if int(images[:: -(-len(images) // SAMPLED)].max()) == 1:
        raise InputError(f"{place}: no pixel is above 1; give pixels from 0 to 255")


def _class_numbers(labels: Tensor, place: str, images: int, classes: int) -> Tensor:
    """The labels as int64."""
    numbers = f"give (n,) class numbers 0..{classes - 1}"
    if labels.ndim != 1:
        hint = ": of one-hot rows, labels.argmax(1)" if labels.ndim == 2 and labels.shape[1] == classes else ""
        raise InputError(f"{place}: shape {tuple(labels.shape)} is not (n,); {numbers}{hint}")
    if labels.is_floating_point() or labels.is_complex():
        raise InputError(f"{place}: dtype {_name(labels.dtype)} is not an integer type; {numbers}")
    if len(labels) != images:
        raise InputError(f"{place}: {len(labels):,} for {images:,} images; give one for each image")
    labels = labels.long()
    low, high = (int(end) for end in labels.aminmax())
    if low < 0 or high >= classes:
        hint = "; subtract 1" if (low, high) == (1, classes) else ""
        raise InputError(f"{place}: {low}..{high} are not all in 0..{classes - 1}, as data.classes is {classes}{hint}")
    return labels


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def interleave_classes(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All indices in a random order in which every prefix holds each class in proportion, to within one image."""
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(position, kind="stable")
