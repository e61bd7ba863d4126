"""Checks a whole data set before it is used: its attributes, both splits, and its match with a checkpoint."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas_lightning.data import dataset_from_header
from nas_lightning.data.image_dataset import ImageDataset, channel_values, known_datasets
from nas_lightning.data.trained_on import check_untrained
from nas_lightning.errors import InputError

LEAST_STD = 1 / 255
"""One step of a pixel. A smaller spread of images in [0, 1] comes from scaling twice."""
EXPECTED = 20
"""Images of a class from which on it counts as a mistake if half of a split, or all images, have none of it; of all images the mean."""
ROUNDING = 2e-4
"""Maximum difference of a measured mean or std between two machines."""


def check_dataset(dataset: ImageDataset) -> None:
    """Reads both splits and checks everything that a run needs.

    Raises:
        InputError: naming the place, the value and the rule.
    """
    kind = type(dataset).__name__
    for name, least in {"name": None, "classes": 2, "channels": 1, "resolution": 1}.items():
        if not hasattr(dataset, name):
            raise InputError(f"data.{name}: is missing; {kind} must have it, as every nas_lightning.data.ImageDataset")
        if least is not None and (type(value := getattr(dataset, name)) is not int or value < least):
            raise InputError(f"data.{name}: {value!r} is not an int of at least {least}")
    known = known_datasets().get(str(dataset.name))
    if known is not type(dataset):
        other = "not that of a class" if known is None else f"that of {known.__module__}.{known.__name__}"
        raise InputError(f"data.name: {dataset.name!r} is {other}; give {kind} a name of its own, by which a checkpoint finds its images")
    for value in channel_values("data.mean", dataset.mean, dataset.channels):
        if not 0 <= value <= 1:
            raise InputError(f"data.mean: {value:g} is not in 0..1; images are scaled to [0, 1], so divide by 255")
    for value in channel_values("data.std", dataset.std, dataset.channels, positive=True):
        if not LEAST_STD <= value <= 1:
            raise InputError(f"data.std: {value:g} is not in 1/255..1; it is that of images scaled to [0, 1]")
    describe(dataset)
    highest, images = -1, 0
    for split, read in {"train": dataset.train, "test": dataset.test}.items():
        labels = read().labels
        _check_mixed(labels, dataset.classes, f"data ({kind}): {split}")
        highest, images = max(highest, int(labels.max())), images + len(labels)
    if highest + 1 < dataset.classes and images >= EXPECTED * dataset.classes:
        raise InputError(
            f"data.classes: {dataset.classes}, but the highest label of all {images:,} images is {highest}; labels count from 0"
        )


def _check_mixed(labels: Tensor, classes: int, place: str) -> None:
    """Raises InputError if the images come class by class: the first ones, or a batch in order, would stand for a few classes."""
    whole, first = (torch.bincount(some, minlength=classes) for some in (labels, labels[: len(labels) // 2]))
    for label in torch.nonzero((whole >= EXPECTED) & ((first == 0) | (first == whole))).flatten().tolist():
        half = "second" if first[label] == 0 else "first"
        raise InputError(
            f"{place}: all {int(whole[label]):,} images of class {label} are in the {half} half; mix the classes, in the same order "
            "at every call: the first images stand for all where only some are scored"
        )


def describe(dataset: ImageDataset) -> dict[str, Any]:
    """A checkpoint's description of its images, as plain values: name, arguments, mean, std.

    Raises:
        InputError: if the data set's arguments are not plain JSON values.
    """
    try:
        header = json.loads(json.dumps(dataset.header()))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"data.arguments: {type(dataset).__name__} does not return plain JSON values ({error})") from None
    if not isinstance(header.get("arguments"), dict):
        raise InputError(f"data.arguments: {type(dataset).__name__} does not return a dict of its constructor's arguments")
    return {**header, "mean": [float(value) for value in dataset.mean], "std": [float(value) for value in dataset.std]}


def images_of(header: Mapping[str, Any], root: str | None, place: str, path: Path) -> ImageDataset:
    """The images that a network was trained on, read and checked; arguments as for ``dataset_from_header`` and ``check_trained_on``."""
    dataset = dataset_from_header(header["data"], root)
    check_dataset(dataset)
    check_trained_on(dataset, header, place, path)
    return dataset


def check_trained_on(dataset: ImageDataset, header: Mapping[str, Any], place: str, path: Path) -> None:
    """Raises InputError, naming both values, if a checkpoint was trained on images of another kind or scaling, or on test images.

    Args:
        header: the checkpoint's.
        place: the key that names the checkpoint.
        path: its file.
    """
    network, data = header["supernet"], header["data"]
    check_untrained(dataset, data, place, path)
    trained = {
        "classes": network["classes"],
        "channels": network["channels"],
        "resolution": network["space"]["resolution"],
        "mean": data.get("mean"),
        "std": data.get("std"),
    }
    here = describe(dataset)
    for key, before in trained.items():
        now = here[key] if key in here else getattr(dataset, key)
        if not _agree(before, now):
            raise InputError(f"{place}: {path} was trained on images with {key} {before!r}, but those of {dataset.name} have {now!r}")


def _agree(before: Any, now: Any) -> bool:
    if not isinstance(now, list):
        return bool(before == now)
    try:
        return all(math.isclose(old, new, rel_tol=0, abs_tol=ROUNDING) for old, new in zip(before, now, strict=True))
    except (TypeError, ValueError):  # of different length, or not numbers
        return False
