"""A stage as data: what trains, how, for how long."""

import re
from dataclasses import dataclass

from nas_lightning.errors import InputError
from nas_lightning.objective import Objective
from nas_lightning.sampling import Sampler
from nas_lightning.schedule import LowResolutionFirst, Schedule
from nas_lightning.training import GradientRule, MakeOptimizer, NonFiniteRule, PathExecution, PathsAcrossDevices, RateScaling


@dataclass(frozen=True)
class Stage:
    """One entry of the run's recipe; it starts from the weights of the one before.

    Args:
        name: also the name of its folder.
        index: its place in the recipe, from 0; keys its draws.
        epochs: passes over the training split.
        max_steps: ends the stage after so many optimizer steps instead, and the schedule with it.
        keep_every: keeps a checkpoint every so many epochs, beside the last one.
        gradients: sum over a step's paths, or mean.
        path_execution: how a step's passes run.
        across_devices: which candidates several devices train at a step.
        rate_scaling: how the learning rate grows with the devices.
        non_finite: what happens at a step whose loss is nan or infinite.
        low_resolution: trains on smaller images first; None never does.
    """

    name: str
    index: int
    epochs: int
    sampler: Sampler
    objective: Objective
    make_optimizer: MakeOptimizer
    schedule: Schedule
    gradients: GradientRule = GradientRule.SUM
    path_execution: PathExecution = PathExecution.SEQUENTIAL
    across_devices: PathsAcrossDevices = PathsAcrossDevices.SAME
    rate_scaling: RateScaling = RateScaling.NONE
    non_finite: NonFiniteRule = NonFiniteRule.STOP
    low_resolution: LowResolutionFirst | None = None
    max_steps: int | None = None
    keep_every: int | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?", self.name):
            shown = self.name if len(self.name) <= 100 else f"{self.name[:100]}..."
            raise InputError(
                f"stages.{shown}: a stage's name is letters, digits, '_', '-' and '.', up to 100, no '.' at an end, as it names a folder"
            )

    def steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of the whole stage."""
        steps = self.epochs * steps_per_epoch
        return steps if self.max_steps is None else min(steps, self.max_steps)
