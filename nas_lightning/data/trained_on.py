"""What a checkpoint keeps of its training images, by which it is refused where some of them are test images now."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from nas_lightning.data.image_dataset import ImageDataset, fingerprint
from nas_lightning.errors import InputError

SHA256 = "train_sha256"
"""Key in a checkpoint's ``data`` of the fingerprint of its training images; neither key is in files of older versions."""
SAMPLE = "train_sample"
"""Key of their number, and of the smallest of their hashes: a random sample, the same whatever their order."""
KEPT = 256
"""Hashes of a sample."""
FEWEST, SHARE = 3, 0.01
"""Images of a sample, and estimated share of the test images, from which on a test is none: CIFAR-100 has ten images in both splits."""


def trained_on(dataset: ImageDataset) -> dict[str, Any]:
    """The entries of a checkpoint's ``data`` on the training images."""
    split = dataset.train()
    return {SHA256: fingerprint(split), SAMPLE: _sample(split.images)}


def check_untrained(dataset: ImageDataset, data: Mapping[str, Any], place: str, path: Path) -> None:
    """Raises InputError if a checkpoint was trained on what are test images now, as after another split.

    Args:
        data: the checkpoint's.
        place: the key that names the checkpoint.
        path: its file.
    """
    sample = data.get(SAMPLE)
    if not (isinstance(sample, Mapping) and isinstance(count := sample.get("images"), int) and isinstance(sample.get("hashes"), list)):
        return
    tested = list(_hashes(dataset.test().images))
    found, share = _found(sample["hashes"], count, tested)
    if found >= FEWEST and share > SHARE + _of_its_own(dataset, tested):
        rest = "accuracies on them would be too high; give the images and the split of before"
        raise InputError(f"{place}: {path} was trained on about {min(share, 1):.0%} of what are test images of {dataset.name} now: {rest}")


def _found(hashes: Sequence[str], count: int, tested: Sequence[str]) -> tuple[int, float]:
    """How many test images are in a sample of so many images, and the estimated share of them that are among all of these."""
    kept = frozenset(map(str, hashes))
    found = sum(one in kept for one in tested)
    return found, found * count / max(1, len(kept)) / len(tested)


def _of_its_own(dataset: ImageDataset, tested: Sequence[str]) -> float:
    """The share of the test images that are also training images, as where a data set repeats itself."""
    sample = _sample(dataset.train().images)
    return _found(sample["hashes"], sample["images"], tested)[1]


def _sample(images: Tensor) -> dict[str, Any]:
    hashes = sorted(set(_hashes(images)))
    return {"images": len(hashes), "hashes": hashes[:KEPT]}


def _hashes(images: Tensor) -> Iterator[str]:
    for part in images.split(1000):  # a mapped file is not copied whole
        for image in part.contiguous().numpy():
            yield hashlib.blake2b(image.data, digest_size=8).hexdigest()
