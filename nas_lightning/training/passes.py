"""Ways to run the passes of a step, with the same gradients up to rounding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nas_lightning.space import Architecture
from nas_lightning.supernet import NormStatistics, Supernet
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.path_batched import batched_forward, check_batchable, stack_widths
from nas_lightning.supernet.recorded import recorded_forward
from nas_lightning.training.objectives import Objective, PathLoss

Batch = tuple[Tensor, Tensor]
"""Images (batch, channels, H, W), normalised, and labels (batch,)."""
Losses = Iterator[tuple[Tensor, list[PathLoss]]]
"""Sums of losses, each with its passes; run each backward before requesting the next."""


class PathExecution(Protocol):
    """Runs the passes of a step."""

    def check(self, supernet: AnyModule, place: str) -> None:
        """Raises InputError, naming the key at ``place``, if the supernet's paths cannot run this way."""
        ...

    def losses(self, objective: Objective, supernet: AnyModule, batch: Batch, paths: Sequence[Architecture]) -> Losses:
        """Runs the passes of a step."""
        ...


@dataclass(frozen=True)
class Sequential:
    """One sliced pass after another, each with its own backward: one graph is alive at a time."""

    def check(self, supernet: AnyModule, place: str) -> None:
        """See PathExecution."""

    def losses(self, objective: Objective, supernet: AnyModule, batch: Batch, paths: Sequence[Architecture]) -> Losses:
        """See PathExecution."""
        for done in objective(supernet, *batch, paths):
            yield done.loss, [done]


@dataclass(frozen=True)
class Batched:
    """All in one full-width pass with one backward: fewer and larger operations, all graphs alive at once.

    In a single process with a CUDA device, each shape's pass is recorded once and then launched whole.
    """

    def check(self, supernet: AnyModule, place: str) -> None:
        """See PathExecution."""
        check_batchable(supernet, place)

    def losses(self, objective: Objective, supernet: AnyModule, batch: Batch, paths: Sequence[Architecture]) -> Losses:
        """See PathExecution."""
        if not isinstance(supernet, Supernet):
            raise TypeError(f"{type(supernet).__name__} cannot run batched")
        images, architectures = batch[0], objective.architectures(paths)
        forward = recorded_forward if images.device.type == "cuda" and not torch.distributed.is_initialized() else batched_forward
        # Duplicate candidates share one set of logits; their gradients add up all the same.
        logits = dict(zip(architectures, forward(supernet, images, stack_widths(architectures, images.device)), strict=True))

        def network(given: Tensor, architecture: Architecture) -> Tensor:
            if given is not images or architecture not in logits:
                raise RuntimeError(f"{type(objective).__name__} asked for a pass that it had not told, or on other images")
            return logits[architecture]

        passes = list(objective(network, *batch, paths))
        yield torch.stack([done.loss for done in passes]).sum(), passes


@dataclass(frozen=True)
class Fastest:
    """Batched on a CUDA device if the supernet allows it, otherwise sequential: the faster one as measured on each."""

    def check(self, supernet: AnyModule, place: str) -> None:
        """See PathExecution."""

    def losses(self, objective: Objective, supernet: AnyModule, batch: Batch, paths: Sequence[Architecture]) -> Losses:
        """See PathExecution."""
        batches = batch[0].device.type == "cuda" and isinstance(supernet, Supernet) and supernet.norm is NormStatistics.BATCH
        return (Batched() if batches else Sequential()).losses(objective, supernet, batch, paths)
