"""The rules of a step: how gradients add up, who trains which candidates, how the rate scales, what a bad loss does."""

import math
from dataclasses import dataclass
from typing import Protocol

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError


class GradientRule(Protocol):
    """How the gradients of a step's passes combine; the effective learning rate differs by the number of paths."""

    def share(self, paths: int) -> float:
        """Factor of each loss in a step of ``paths`` paths."""
        ...


@dataclass(frozen=True)
class Sum:
    """Added up: more paths make a larger step."""

    def share(self, paths: int) -> float:  # noqa: ARG002
        """See GradientRule."""
        return 1.0


@dataclass(frozen=True)
class Mean:
    """Their mean over the paths."""

    def share(self, paths: int) -> float:
        """See GradientRule."""
        return 1 / paths


class PathsAcrossDevices(Protocol):
    """Which candidates the devices train at a step."""

    def rank(self, device: int) -> int:
        """The rank that keys the draws of a device."""
        ...


@dataclass(frozen=True)
class Same:
    """All the same, on different images: one device with their joined batch, except for the norms' statistics."""

    def rank(self, device: int) -> int:  # noqa: ARG002
        """See PathsAcrossDevices."""
        return 0


@dataclass(frozen=True)
class Different:
    """Each its own: N times more candidates per step on N devices, each on one device's images."""

    def rank(self, device: int) -> int:
        """See PathsAcrossDevices."""
        return device


@dataclass(frozen=True)
class Power(Checked, place="rate_scaling"):
    """How the learning rate grows with the number of devices, as N of them see N times more images per step: a power of N.

    Args:
        exponent: 0 keeps the rate; 1 is linear (Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.1); 0.5
            is the square root (Krizhevsky, One weird trick for parallelizing convolutional networks, 2014, section 5).
    """

    exponent: float = number(least=0, most=1)

    def factor(self, devices: int) -> float:
        """Of the configured rate."""
        return math.pow(devices, self.exponent)


class NonFiniteLoss(InputError):
    """A loss is nan or infinite: the message names step, candidates and learning rate."""


class NonFiniteRule(Protocol):
    """What happens at a step whose loss is nan or infinite."""

    decides_the_step: bool
    """Whether every loss must be known before its step, which makes a GPU wait."""

    def meet(self, loss: NonFiniteLoss) -> None:
        """Raises it, or returns to have the step skipped and counted."""
        ...


@dataclass(frozen=True)
class Stop:
    """Ends the stage with one line; weights and the last checkpoint are from before the step."""

    decides_the_step = False

    def meet(self, loss: NonFiniteLoss) -> None:
        """See NonFiniteRule."""
        raise loss


@dataclass(frozen=True)
class Skip:
    """Leaves the weights as they are and counts the step."""

    decides_the_step = True

    def meet(self, loss: NonFiniteLoss) -> None:
        """See NonFiniteRule."""
