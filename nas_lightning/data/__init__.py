"""Images: datasets, augmentation by batch or by image, and the data module (``nas_lightning.data.data_module``, which needs Lightning)."""

from typing import Any

from nas_lightning.data.augmentation import Augmentation, ColorJitter, Cutout, RandomCrop, RandomHorizontalFlip, RandomRotation
from nas_lightning.data.cifar import Cifar10, Cifar100
from nas_lightning.data.digits import Digits
from nas_lightning.data.image_dataset import ImageDataset, evaluation_images, fingerprint, known_datasets
from nas_lightning.data.image_ops import normalize, to_unit
from nas_lightning.data.per_image import ImageCutout, PerImage
from nas_lightning.data.splits import LabelledImages
from nas_lightning.errors import InputError


def dataset_from_header(header: dict[str, Any], root: str | None) -> ImageDataset:
    """The dataset that ``ImageDataset.header`` described; a dataset of your own is found once its class is imported.

    Args:
        header: as ``header()`` returned it, also after a trip through JSON.
        root: where its files lie on this machine; ignored by a dataset without files.

    Raises:
        InputError: if there is no dataset of that name, or the arguments are not what it takes.
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
    "LabelledImages",
    "PerImage",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "dataset_from_header",
    "evaluation_images",
    "fingerprint",
    "known_datasets",
    "normalize",
    "to_unit",
]
