"""Statistics of a candidate's norms from training images, so that a score does not depend on which test images share a batch.

With the statistics of the batch a candidate is judged by how the other test images of the batch happen to lie. Recalibrated, every norm of
the candidate first takes mean and variance from the same unaugmented training images, and the test images are normalised with those. The
statistics of a layer depend on the layers before it alone, so candidates that agree on their first layers share them like features: the
training images simply run along, in front of the test images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from nas_lightning.data import ImageDataset, LabelledImages, fingerprint, normalize, to_unit
from nas_lightning.errors import InputError
from nas_lightning.supernet.network import Features


class Recalibration(NamedTuple):
    """Training images from which each candidate's norms take their statistics before it is scored.

    The images run in batches, and on its way each batch is normalised by its own statistics, as is usual. At every norm the statistics of
    the batches are pooled as if over all images: the mean of their variances plus the variance of their means, weighted by size.
    """

    images: Tensor
    """(n, channels, H, W), normalised, in fixed order."""
    batch_size: int
    """Images a batch; the last may be smaller."""
    data: str = ""
    """sha256 of the images and labels, for the protocol."""

    @classmethod
    def from_training(cls, dataset: ImageDataset, count: int, batch_size: int) -> "Recalibration":
        """The first ``count`` training images, unaugmented.

        Raises:
            InputError: if there are fewer.
        """
        images, labels = dataset.train()
        if count > len(labels):
            raise InputError(f"ranking.recalibration_images: {count} is more than the {len(labels)} training images")
        used = LabelledImages(images[:count], labels[:count])
        return cls(normalize(to_unit(used.images), dataset.mean, dataset.std), batch_size, fingerprint(used))

    def before(self, images: Tensor) -> Features:
        """What a candidate's layers start from: the training images, then (n, channels, H, W) images to be scored, on their device."""
        sizes = tuple(len(batch) for batch in self.images.split(self.batch_size))
        return Features(torch.cat([self.images.to(images), images]), calibration=sizes)

    def protocol(self) -> dict[str, object]:
        """What a score means beside the other entries of ``protocol.json``."""
        return {
            "statistics": "recalibrated",
            "recalibration_images": len(self.images),
            "recalibration_batch": min(self.batch_size, len(self.images)),
            "recalibration_sha256": self.data,
        }
