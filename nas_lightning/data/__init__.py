"""Images: datasets, batched augmentation, and the data module (``nas_lightning.data.data_module``, which needs Lightning)."""

from typing import Any

from nas_lightning.data.augmentation import Augmentation, ColorJitter, Cutout, RandomCrop, RandomHorizontalFlip, RandomRotation
from nas_lightning.data.cifar import Cifar10, Cifar100
from nas_lightning.data.digits import Digits
from nas_lightning.data.image_dataset import ImageDataset, LabelledImages, evaluation_images, fingerprint
from nas_lightning.data.operations import normalize, to_unit
from nas_lightning.errors import InputError

DATASETS: dict[str, type[ImageDataset]] = {dataset.name: dataset for dataset in (Cifar100, Cifar10, Digits)}


def dataset_from_header(header: dict[str, Any], root: str | None) -> ImageDataset:
    """The dataset that ``ImageDataset.header`` described; add a dataset of your own to DATASETS to have it found here.

    Args:
        header: as ``header()`` returned it, also after a trip through JSON.
        root: where its files lie on this machine; ignored by a dataset without files.

    Raises:
        InputError: if there is no dataset of that name, or the arguments are not what it takes.
    """
    name, arguments = header.get("name"), header.get("arguments", {})
    if name not in DATASETS:
        raise InputError(f"dataset {name!r} is not one of {', '.join(sorted(DATASETS))}")
    try:
        return DATASETS[name].rebuild(arguments, root)
    except TypeError as error:
        raise InputError(f"dataset {name}: {arguments!r} are not its arguments ({error})") from error


__all__ = [
    "DATASETS",
    "Augmentation",
    "Cifar10",
    "Cifar100",
    "ColorJitter",
    "Cutout",
    "Digits",
    "ImageDataset",
    "LabelledImages",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "dataset_from_header",
    "evaluation_images",
    "fingerprint",
    "normalize",
    "to_unit",
]
