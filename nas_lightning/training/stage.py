"""A stage as data: what trains, how, for how long. Declares each key of ``stages.<name>``, and takes the step."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.config import roles
from nas_lightning.config.fields import made, number, target, word
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.families import AnyModule, check_side
from nas_lightning.training import step_rules as rules
from nas_lightning.training.objectives import Objective
from nas_lightning.training.passes import Batch, Batched, Fastest, PathExecution, Sequential
from nas_lightning.training.samplers import Sampler
from nas_lightning.training.schedules import LowFirst, Schedule

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One entry of the run's recipe; starts from the weights of the previous entry."""

    name: str = made("stage")
    """Also the name of its folder."""
    index: int = made(0)
    """Position in the recipe, from 0; part of the key of its draws, so that stages do not share them."""
    epochs: int = number(least=1)
    """Passes over the training split."""
    sampler: Sampler = target(roles.SAMPLER)
    """Which candidates train at a step."""
    objective: Objective = target(roles.OBJECTIVE)
    """What the candidates learn."""
    optimizer: MakeOptimizer = target(roles.OPTIMIZER, is_partial=True)
    """The optimizer; its ``lr`` is the schedule's peak."""
    schedule: Schedule = target(roles.SCHEDULE)
    """The learning rate over the stage."""
    gradients: rules.GradientRule = word("sum", among={"sum": rules.Sum(), "mean": rules.Mean()})
    """How gradients combine over the passes of a step; with sum the effective rate grows with the paths."""
    path_execution: PathExecution = word("fastest", among={"fastest": Fastest(), "sequential": Sequential(), "batched": Batched()})
    """A step's passes one after another, or in one full-width pass; the same gradients to rounding. The fastest is one pass
    on a CUDA device, several elsewhere."""
    across_devices: rules.PathsAcrossDevices = word("same", among={"same": rules.Same(), "different": rules.Different()})
    """Whether several devices train the same candidates at a step, or each its own; images always differ."""
    rate_scaling: rules.Power = word("none", among={"none": rules.Power(0), "linear": rules.Power(1), "sqrt": rules.Power(0.5)})
    """How the learning rate grows with the number of devices; each sees ``loader.batch_size`` images per step."""
    non_finite: rules.NonFiniteRule = word("stop", among={"stop": rules.Stop(), "skip": rules.Skip()})
    """At a step whose loss is nan or infinite: end the stage, or skip and count the step."""
    low_resolution: LowFirst | None = None
    """Smaller images in the first part; None trains on whole images throughout."""
    max_steps: int | None = number(None, least=1)
    """Ends the stage, and its schedule, after N optimizer steps."""
    keep_every: int | None = number(None, least=1)
    """Keeps a checkpoint every N epochs, besides the last one."""

    def __post_init__(self) -> None:
        check_name(self.name)

    def check(self, supernet: AnyModule) -> None:
        """Raises InputError, naming the key, if the stage cannot train the supernet."""
        self.path_execution.check(supernet, f"stages.{self.name}.path_execution")
        if self.low_resolution is not None:
            place = f"stages.{self.name}.low_resolution"
            self.low_resolution.check(supernet.space.resolution, place)
            check_side(supernet, self.low_resolution.side, f"{place}.side")

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole stage."""
        steps = self.epochs * steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def side(self, progress: float) -> int | None:
        """Height and width of the reduced images when this share of the stage is over; None for whole images."""
        return None if self.low_resolution is None else self.low_resolution.side_at(progress)

    @property
    def parts(self) -> list[tuple[float, float]]:
        """Start and length of each part with one image size, as shares of the stage."""
        return [(0.0, 1.0)] if self.low_resolution is None else self.low_resolution.parts

    def run_passes(
        self,
        supernet: AnyModule,
        batch: Batch,
        paths: Sequence[Architecture],
        progress: float,
        backward: Callable[[Tensor, bool], None],
        *,
        stops_at_non_finite: bool = False,
    ) -> tuple[Tensor, list[Tensor], Sequence[Architecture]]:
        """The forward and backward passes of one step.

        Args:
            progress: the share of the stage before this step, in [0, 1).
            backward: takes each loss, and whether it is the step's last.
            stops_at_non_finite: whether to look at each loss and end at one that is nan or infinite.

        Returns:
            The loss of all passes that ran, added up; the logits (batch, classes) of each path; and the candidates of
            the passes, or only of the non-finite loss that ended the step early. Tensors are detached.
        """
        if (side := self.side(progress)) is not None:
            batch = (F.interpolate(batch[0], size=(side, side), mode="area"), batch[1])
        share, total = self.gradients.share(len(paths)), torch.zeros((), device=batch[0].device)
        architectures, done = self.objective.architectures(paths), 0
        logits: list[Tensor] = []
        for loss, group in self.path_execution.losses(self.objective, supernet, batch, paths):
            done += len(group)
            backward(share * loss, done == len(architectures))
            total += loss.detach()
            if stops_at_non_finite and not total.isfinite():
                return total, logits, architectures[done - len(group) : done]
            logits += [path.logits.detach() for path in group if path.is_student]
        if done != len(architectures):
            raise RuntimeError(f"{type(self.objective).__name__} yielded {done} passes, not the {len(architectures)} it told")
        return total, logits, architectures


def check_name(name: str) -> None:
    """Raises InputError if a stage's folder cannot have this name."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?", name):
        start = name if len(name) <= 100 else f"{name[:100]}..."
        raise InputError(
            f"stages.{start}: a stage's name is letters, digits, '_', '-' and '.', up to 100, no '.' at an end, as it names a folder"
        )
