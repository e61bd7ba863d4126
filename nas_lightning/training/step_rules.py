"""What a stage may do in one way or another at a step: add up gradients, share out candidates, scale its rate, meet a bad loss."""

import math
from dataclasses import dataclass
from typing import Protocol

from nas_lightning.errors import InputError


class GradientRule(Protocol):
    """How the gradients of a step's passes become one; the effective learning rate differs by the number of paths."""

    def share(self, paths: int) -> float:
        """What each loss of a step of that many paths is multiplied by."""
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
    """All the same, on different images: what one device with their joined batch would train, but for the norms' statistics."""

    def rank(self, device: int) -> int:  # noqa: ARG002
        """See PathsAcrossDevices."""
        return 0


@dataclass(frozen=True)
class Different:
    """Each its own: as many times more candidates a step, each on one device's images."""

    def rank(self, device: int) -> int:
        """See PathsAcrossDevices."""
        return device


class RateScaling(Protocol):
    """How the learning rate grows with the number of devices, as a step sees that many times more images."""

    def factor(self, devices: int) -> float:
        """What the configured rate is multiplied by."""
        ...


@dataclass(frozen=True)
class Power:
    """A power of their number.

    Args:
        exponent: 0 leaves the rate; 1 is linear (Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.1); 0.5 is the square root
            (Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, section 5).
    """

    exponent: float

    def factor(self, devices: int) -> float:
        """See RateScaling."""
        return math.pow(devices, self.exponent)


class NonFiniteLoss(InputError):
    """A loss is nan or infinite: the message names step, candidates and learning rate."""


class NonFiniteRule(Protocol):
    """What happens at a step whose loss is nan or infinite."""

    decides_the_step: bool
    """Whether every loss must be known before its step, for which a GPU waits."""

    def meet(self, loss: NonFiniteLoss) -> None:
        """Raises it, or returns: then the step is skipped and counted."""
        ...


@dataclass(frozen=True)
class Stop:
    """The stage ends with a line; weights and the last checkpoint are from before the step."""

    decides_the_step = False

    def meet(self, loss: NonFiniteLoss) -> None:
        """See NonFiniteRule."""
        raise loss


@dataclass(frozen=True)
class Skip:
    """The weights stay as they are, and the step is counted."""

    decides_the_step = True

    def meet(self, loss: NonFiniteLoss) -> None:
        """See NonFiniteRule."""
