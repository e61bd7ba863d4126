"""Gives a network norms that do not depend on the images of a batch, and measures what that changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.data import ImageDataset, LabelledImages, fingerprint, normalize, to_unit
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.supernet.layers import check_norms


class Quality(NamedTuple):
    """Of a network on test images."""

    top1: float
    cross_entropy: float
    images: int


def calibrate(network: nn.Module, dataset: ImageDataset, count: int, batch_size: int) -> dict[str, Any]:
    """Lets the norms keep the mean of the statistics of ``count`` training images in equal batches; leaves evaluation mode on.

    All else is in evaluation mode meanwhile, unlike in PyTorch's ``update_bn``: dropout would be part of the statistics.

    Returns:
        What it did, for header and card.
    """
    check_norms(network)
    images, labels = dataset.train()
    chosen = torch.from_numpy(generator(0, "export calibration").permutation(len(labels))[:count])
    batches = chosen.tensor_split(-(-count // batch_size))  # a smaller last batch would weigh as much as the others
    norms = [layer for layer in network.eval().modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # a plain mean
    with torch.no_grad(), _naming_the_batch():
        for batch in batches:
            network(scaled(dataset, images[batch]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise InputError("checkpoint: after calibration a norm is nan or infinite; the supernet has diverged on its training images")
    return {"images": count, "batches": len(batches), "sha256": fingerprint(LabelledImages(images[chosen], labels[chosen]))}


@torch.inference_mode()
def evaluate(network: nn.Module, dataset: ImageDataset, count: int | None, batch_size: int) -> Quality:
    """Top-1 and mean cross entropy on the first ``count`` test images, in equal batches."""
    images, labels = dataset.test()
    images, labels = images[:count], labels[:count]
    parts = -(-len(labels) // batch_size)
    right, loss = 0, 0.0
    for batch, truth in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        with _naming_the_batch():
            logits = network(scaled(dataset, batch))
        right += int((logits.argmax(1) == truth).sum())
        loss += float(F.cross_entropy(logits, truth, reduction="sum"))
    return Quality(right / len(labels), loss / len(labels), len(labels))


def sizes(count: int, batch_size: int) -> str:
    """Those of the equal batches that ``evaluate`` makes, in words."""
    each, left = divmod(count, -(-count // batch_size))
    return f"{each:,} or {each + 1:,}" if left else f"{each:,}"


@contextmanager
def _naming_the_batch() -> Iterator[None]:
    """Names the keys where PyTorch's norms refuse a single value a channel, of one image that has shrunk to a pixel."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, InputError) or "more than 1 value per channel" not in str(error):
            raise
        keys = "export.batch_size, with export.images and export.calibration_images"
        raise InputError(f"{keys}: leave a batch of one image, of which a norm has one value a channel; give larger ones") from None


def scaled(dataset: ImageDataset, images: Tensor) -> Tensor:
    """Uint8 images as the network takes them."""
    return normalize(to_unit(images), dataset.mean, dataset.std)
