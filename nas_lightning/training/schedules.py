"""The learning rate as a pure function of a stage's progress: nothing to step, nothing to save."""

import math
from dataclasses import dataclass
from typing import Protocol

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError


class Schedule(Protocol):
    """Sets the learning rate of a step."""

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        """The learning rate.

        Args:
            peak: the optimizer's configured learning rate.
            elapsed: epochs since the stage began, including the fraction of the current one.
            epochs: the stage's whole length, in epochs.
        """
        ...


@dataclass(frozen=True)
class EpochwiseCosine(Checked, place="schedule"):
    """The authors' cosine: constant within an epoch, and epochs 0 and 1 share the full rate."""

    final_lr: float = number(0.0, least=0)

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        """See Schedule."""
        epoch = max(0, math.floor(elapsed) - 1)
        return self.final_lr + (peak - self.final_lr) / 2 * (1 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class Cosine(Checked, place="schedule"):
    """A cosine, updated at every step, after a linear warm-up over the first ``warmup`` share of the stage."""

    final_lr: float = number(0.0, least=0)
    warmup: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warmup < 1:
            raise InputError(f"schedule.warmup: {self.warmup} must be a share from 0 to below 1")

    def rate(self, peak: float, elapsed: float, epochs: float) -> float:
        """See Schedule."""
        progress = elapsed / epochs
        if progress < self.warmup:
            return peak * progress / self.warmup
        fall = (progress - self.warmup) / (1 - self.warmup)
        return self.final_lr + (peak - self.final_lr) / 2 * (1 + math.cos(math.pi * fall))


@dataclass(frozen=True)
class LowFirst(Checked, place="low_resolution"):
    """Trains on smaller images in the first part of a stage, where a step costs less in proportion to the pixels."""

    side: int = number(least=4)
    """Height and width in the first part, in pixels."""
    share: float = number(above=0, most=1)
    """Share of the stage that the first part takes."""

    def check(self, resolution: int, place: str) -> None:
        """Raises InputError, naming the key at ``place``, unless the images are larger."""
        if self.side >= resolution:
            raise InputError(f"{place}.side: {self.side} must be below the images' {resolution} pixels")

    def side_at(self, progress: float) -> int | None:
        """The side when this share of the stage is over; None for whole images."""
        return self.side if progress < self.share else None

    @property
    def parts(self) -> list[tuple[float, float]]:
        """Start and length of the two parts, as shares of the stage."""
        return [(0.0, self.share), (self.share, 1 - self.share)]
