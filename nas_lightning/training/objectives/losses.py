"""Losses as pure functions of tensors, in float32 at least, whatever the precision of the network."""

from torch import Tensor
from torch.nn import functional as F

from nas_lightning.supernet.cpu_kernels import at_least_float32


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
