"""Recalibrates a candidate's norms on training images, so that a score does not depend on how test images are batched.

With batch statistics, the score of an image depends on the other test images in its batch. To recalibrate, the
candidate is cut out of the supernet, and its norms take mean and variance from unaugmented training images.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nas_lightning.data import ImageDataset, LabelledImages, fingerprint, normalize, to_unit
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet import cut_to_score
from nas_lightning.supernet.cpu_kernels import at_least_float32, check_several_values
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.layers import as_channels_last, check_norms


class Recalibration(NamedTuple):
    """Training images for the statistics of each candidate's norms before it is scored.

    The images run in batches, each normalised by its own statistics. Every norm then pools the statistics of the
    batches: the mean of their variances plus the variance of their means, weighted by size.
    """

    images: Tensor
    """(n, channels, H, W), normalised, in fixed order."""
    batch_size: int
    """Images per batch; the last may be smaller."""
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

    def logits(self, supernet: AnyModule, architectures: Sequence[Architecture], images: Tensor) -> Iterator[Tensor]:
        """Yields each candidate's logits, (batch, classes), of (batch, channels, H, W) images, on their device."""
        batches = self.images.to(images).split(self.batch_size)
        for architecture in architectures:
            yield _recalibrated(cut_to_score(supernet, architecture), batches)(images)

    def protocol(self) -> dict[str, object]:
        """Entries for ``protocol.json``."""
        return {
            "statistics": "recalibrated",
            "recalibration_images": len(self.images),
            "recalibration_batch": min(self.batch_size, len(self.images)),
            "recalibration_sha256": self.data,
        }


def _recalibrated(network: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """The network in evaluation mode, with the pooled statistics of the batches in place of its own."""
    check_norms(network)
    norms = [norm for norm in network.modules() if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)]
    moments: dict[nn.Module, list[tuple[int, Tensor, Tensor]]] = {norm: [] for norm in norms}

    def keep(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        check_several_values(inputs[0])
        over = [dim for dim in range(inputs[0].ndim) if dim != 1]
        moments[norm].append((len(inputs[0]), *torch.var_mean(at_least_float32(inputs[0]), dim=over, correction=0)))

    hooks = [norm.register_forward_pre_hook(keep) for norm in moments]
    as_channels_last(network.eval())  # dropout would be part of the statistics
    for each in norms:
        each.train()
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, of_calls in moments.items():  # one a batch, or several where the network uses the norm more than once
        if not of_calls:
            continue
        counts, *both = zip(*of_calls, strict=True)
        variances, means = map(torch.stack, both)
        sizes = torch.tensor(counts, device=means.device)[:, None]
        mean = (sizes * means).sum(0) / sizes.sum()
        norm.running_mean, norm.running_var = mean, (sizes * (variances + (means - mean).square())).sum(0) / sizes.sum()
    return network.eval()
