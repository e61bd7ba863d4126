"""What the candidates of a step learn: one loss per pass, so that only one graph is alive at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional as F

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Space
from nas_lightning.supernet.cpu_kernels import at_least_float32

Network = Callable[[Tensor, Architecture], Tensor]


class PathLoss(NamedTuple):
    """One forward pass; run its loss backward before requesting the next."""

    loss: Tensor
    """Scalar; the losses of a step add up to the step's objective."""
    logits: Tensor
    """(batch, classes)."""
    is_student: bool
    """False for a pass that serves the paths, such as the teacher's."""


class Objective(Protocol):
    """Yields the losses of a step."""

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        """The candidates of a step's passes, in order."""
        ...

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        """Yields one step's passes on the same batch; requests only ``architectures(paths)`` from ``network``."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """Each path learns the labels."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_label_smoothing(self.label_smoothing)

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        """See Objective."""
        return list(paths)

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        """See Objective."""
        for architecture in paths:
            logits = network(images, architecture)
            yield PathLoss(cross_entropy(logits, labels, self.label_smoothing), logits, is_student=True)


@dataclass(frozen=True)
class InplaceDistillation(Checked, place="objective"):
    """Each path learns the labels and the outputs of the largest network, which learns the labels at the same time.

    Per path: hard_weight * (CE(path) + CE(largest)) + soft_weight * T^2 * soft-CE(path / T, softmax(largest / T), detached), with the
    temperature T squared so that it does not weigh too (Hinton et al. 2015, section 2).
    The largest network is the same for all paths of a step, so one pass whose cross entropy weighs paths * hard_weight is exactly
    the sum over the paths.
    """

    space: Space
    hard_weight: float = number(0.5, least=0)
    soft_weight: float = number(2.0, least=0)
    temperature: float = number(1.0, above=0)

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        """See Objective."""
        return [self.space.largest, *paths]

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        """See Objective."""
        teacher = network(images, self.space.largest)
        yield PathLoss(len(paths) * self.hard_weight * cross_entropy(teacher, labels), teacher, is_student=False)
        probabilities = (at_least_float32(teacher.detach()) / self.temperature).softmax(dim=1)
        for architecture in paths:
            logits = network(images, architecture)
            hard = cross_entropy(logits, labels)
            soft = self.temperature**2 * soft_cross_entropy(logits, probabilities, self.temperature)
            yield PathLoss(self.hard_weight * hard + self.soft_weight * soft, logits, is_student=True)


def check_label_smoothing(value: float) -> None:
    """Raises InputError unless it is a share of the label that can be spread over all classes."""
    if not 0 <= value < 1:
        raise InputError(f"objective.label_smoothing: {value} must be from 0 to below 1")


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over the batch, in nats; in float32 at least, whatever the precision of the network.

    Args:
        logits: (batch, classes).
        labels: (batch,) integers.
    """
    return F.cross_entropy(at_least_float32(logits), labels, label_smoothing=label_smoothing)


def soft_cross_entropy(logits: Tensor, probabilities: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross entropy against a distribution, likewise.

    Args:
        logits: (batch, classes) of the student.
        probabilities: (batch, classes) of the teacher, rows summing to 1.
        temperature: divides the logits; the teacher's must have been divided already.
    """
    return -(probabilities * F.log_softmax(at_least_float32(logits) / temperature, dim=1)).sum(dim=1).mean()
