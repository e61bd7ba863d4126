"""Datasets, augmentation by batch or by image, and the data module (``data.data_module``, which needs Lightning)."""

from typing import Any

from nas_lightning.data.augmentation import (
    Augmentation,
    ColorJitter,
    Cutout,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
)
from nas_lightning.data.cifar import Cifar10, Cifar100
from nas_lightning.data.digits import Digits
from nas_lightning.data.image_dataset import ImageDataset, evaluation_images, fingerprint, known_datasets
from nas_lightning.data.image_folder import ImageFolder
from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.per_image import ImageCutout, PerImage
from nas_lightning.data.splits import LabelledImages
from nas_lightning.errors import InputError


def dataset_from_header(header: dict[str, Any], root: str | None) -> ImageDataset:
    """The dataset described by ``ImageDataset.header``; your own dataset is found once its class is imported.

    Args:
        header: as returned by ``header()``, also after a round trip through JSON.
        root: folder of its files on this machine; ignored by a dataset without files.

    Raises:
        InputError: if there is no dataset of that name, or it does not take the arguments.
    """
    name, arguments = header.get("name"), header.get("arguments", {})
    known = known_datasets()
    if name not in known:
        raise InputError(f"dataset {name!r} is not one of {', '.join(sorted(known))}; name the package of your own in plugins")
    try:
        return known[name].rebuild(arguments, root)
    except TypeError as error:
        raise InputError(f"dataset {name}: {arguments!r} are not its arguments ({error})") from error


__all__ = [
    "Augmentation",
    "Cifar10",
    "Cifar100",
    "ColorJitter",
    "Cutout",
    "Digits",
    "ImageCutout",
    "ImageDataset",
    "ImageFolder",
    "LabelledImages",
    "PerImage",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "dataset_from_header",
    "evaluation_images",
    "fingerprint",
    "known_datasets",
    "normalize",
    "to_unit",
]
