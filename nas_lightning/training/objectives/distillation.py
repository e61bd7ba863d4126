"""Paths that learn the answers of a teacher, by a divergence that conf/ chooses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from nas_lightning.config.fields import Checked, number
from nas_lightning.data import ImageDataset
from nas_lightning.data.check import check_trained_on
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Space
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.supernet.network_weights import is_network, load_network
from nas_lightning.training.objectives.divergences import Divergence, KLDivergence
from nas_lightning.training.objectives.objectives import Network, PathLoss, check_label_smoothing, cross_entropy


@dataclass(frozen=True)
class SandwichDistillation(Checked, place="objective"):
    """The largest network learns the labels, and every other path learns the largest network's answers.

    As with the sandwich rule (Yu and Huang 2019; BigNAS, Yu et al. 2020). The largest is a path of its own if the sampler
    draws it, and otherwise one more pass.
    """

    space: Space
    divergence: Divergence = KLDivergence()
    hard_weight: float = number(0.0, least=0)
    """Of the labels, for the other paths."""
    soft_weight: float = number(1.0, least=0)
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.divergence, self.label_smoothing)

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        """See Objective."""
        return [self.space.largest, *(path for path in paths if path != self.space.largest)]

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        """See Objective."""
        largest, *others = self.architectures(paths)
        teacher = network(images, largest)
        yield PathLoss(cross_entropy(teacher, labels, self.label_smoothing), teacher, is_student=largest in paths)
        yield from _students(self, network, images, labels, others, teacher.detach())


@dataclass(frozen=True)
class FixedTeacher(Checked, place="objective"):
    """Each path learns the labels and the answers of a trained network, which does not change.

    The teacher sees the step's images, augmented and normalised as the paths see them, in evaluation mode: with running
    averages if its norms have them, and with the statistics of the batch if it is a supernet trained without.

    Args:
        checkpoint: a supernet's supernet.safetensors or last.ckpt, whose largest candidate teaches, or
            the network.safetensors of nas-export.
        dataset: the run's images.
    """

    checkpoint: str
    dataset: ImageDataset
    divergence: Divergence = KLDivergence()
    hard_weight: float = number(0.5, least=0)
    soft_weight: float = number(0.5, least=0)
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self.divergence, self.label_smoothing)
        _ = self._teacher  # fails before the run starts if it cannot teach

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """The teacher's logits (batch, classes), on the device and in the precision of the images."""
        network, architecture = self._teacher
        logits: Tensor = network.to(images)(images, *architecture)
        return logits

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        """See Objective."""
        return list(paths)

    def __call__(self, network: Network, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        """See Objective."""
        yield from _students(self, network, images, labels, paths, self.answers(images))

    @cached_property
    def _teacher(self) -> tuple[torch.nn.Module, list[Architecture]]:
        """The network, in evaluation mode, and what to call it with besides the images."""
        path = Path(self.checkpoint)
        try:
            if is_network(path):
                saved = load_network(path, "checkpoint", free_sides=True)  # the stage's images may be smaller
                check_trained_on(self.dataset, {"supernet": saved.family.header(), "data": saved.data}, "checkpoint", path)
                return saved.network, []
            supernet, header = load_supernet(path, free_sides=True)
            check_trained_on(self.dataset, header, "checkpoint", path)
            return supernet, [supernet.space.largest]
        except InputError as error:
            raise InputError(f"objective.{error}") from None


def _students(
    objective: SandwichDistillation | FixedTeacher,
    network: Network,
    images: Tensor,
    labels: Tensor,
    paths: Sequence[Architecture],
    teacher: Tensor,
) -> Iterator[PathLoss]:
    """The passes of paths that learn the labels and the answers of a teacher, (batch, classes) logits without a graph."""
    for architecture in paths:
        logits = network(images, architecture)
        hard = cross_entropy(logits, labels, objective.label_smoothing)
        soft = objective.divergence(logits, teacher)
        yield PathLoss(objective.hard_weight * hard + objective.soft_weight * soft, logits, is_student=True)


def _check(divergence: Divergence, label_smoothing: float) -> None:
    check_label_smoothing(label_smoothing)
    if not callable(divergence):
        raise InputError(f"objective.divergence: {divergence!r} must be an object with a _target_, such as KLDivergence")
