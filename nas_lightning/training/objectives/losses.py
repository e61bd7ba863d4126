"""Losses as pure functions of tensors, in float32 at least, whatever the precision of the network."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over the batch, in nats.

    Args:
        logits: (batch, classes).
        labels: (batch,) integers.
    """
    return F.cross_entropy(at_least_float32(logits), labels, label_smoothing=label_smoothing)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross entropy against a distribution, mean over the batch, in nats.

    Args:
        logits: (batch, classes) of the student.
        probabilities: (batch, classes) of the teacher, rows summing to 1.
        temperature: divides the logits; the teacher's must have been divided already.
    """
    return -(probabilities * F.log_softmax(at_least_float32(logits) / temperature, dim=1)).sum(dim=1).mean()


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32 if its precision is lower."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
