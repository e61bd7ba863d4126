"""The score of a candidate: how its slice of the supernet does on fixed images, without any calibration."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet import Supernet


class Score(NamedTuple):
    """Of one candidate on n images."""

    top1: float
    """Fraction of the images whose label has the highest logit."""
    top5: float
    """Fraction of the images whose label is among the five highest."""
    cross_entropy: float
    """Mean over the images, in nats."""


@torch.inference_mode()
def score(supernet: Supernet, architecture: Architecture, images: Tensor, labels: Tensor, batch_size: int | None = None) -> Score:
    """Evaluates one candidate.

    With batch statistics the norms use those of each batch: ``batch_size`` is part of what the score means.

    Args:
        images: (n, channels, H, W), normalised, in fixed order.
        labels: (n,) integers.
        batch_size: images a pass; None takes all n in one, the original protocol.

    Raises:
        InputError: if the architecture is not in the supernet's space, or a score is not finite.
    """
    supernet.space.check(architecture)
    top1 = top5 = cross_entropy = torch.zeros((), dtype=torch.float64, device=images.device)
    size = batch_size or len(images)
    for batch, wanted in zip(images.split(size), labels.split(size), strict=True):
        logits = supernet(batch, architecture)
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == wanted[:, None]
        top1 = top1 + ranked[:, 0].sum()
        top5 = top5 + ranked.sum()
        cross_entropy = cross_entropy + F.cross_entropy(logits, wanted, reduction="none").double().sum()
    sums = torch.stack([top1, top5, cross_entropy]).tolist()
    result = Score(*(value / len(images) for value in sums))
    if not all(map(math.isfinite, result)):
        raise InputError(f"checkpoint: the score of {architecture} is not finite; the supernet's weights have diverged")
    return result


def rank(
    supernet: Supernet,
    architectures: Sequence[Architecture],
    images: Tensor,
    labels: Tensor,
    batch_size: int | None = None,
) -> list[Score]:
    """Evaluates candidates one after the other, in their order, on the device of the images; arguments as ``score``'s."""
    supernet = supernet.to(images.device).eval()
    return [score(supernet, architecture, images, labels, batch_size) for architecture in architectures]
