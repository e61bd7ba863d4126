"""What a supernet of any kind of network offers to training, scoring and search."""

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from torch import Tensor

from nas_lightning.space import Architecture, Space, Structure
from nas_lightning.supernet.layers import NormStatistics


class AnyFeatures(Protocol):
    """What a candidate's first choices determine, enough to continue from there."""

    @property
    def outputs(self) -> Mapping[int, Tensor]:
        """The tensors that are kept."""

    def narrowed(self, width: int, /) -> Self:
        """The same, with only the first channels of the last layer."""

    def bytes_if_extended(self, width: int, /) -> float:
        """Upper bound on the bytes of a next layer of ``width`` channels."""


F = TypeVar("F", bound=AnyFeatures)


class AnySupernet(Protocol[F]):
    """Weights of every candidate of a space; which one runs is an argument. See ``Supernet`` for what each method does."""

    classes: int
    channels: int
    norm: NormStatistics

    @property
    def space(self) -> Space:
        """The candidates."""

    @property
    def structure(self) -> Structure:
        """What gives the costs of candidates."""

    @property
    def draws(self) -> bool:
        """Whether a path draws random numbers in training, as dropout does."""

    @property
    def skips_parameters(self) -> bool:
        """Whether a path may leave whole tensors without a gradient."""

    def __call__(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""

    def begin(self, images: Tensor) -> F:
        """The images before any layer."""

    def extend(self, features: F, layer: int, width: int) -> F:
        """Adds the next choice."""

    def nests(self, features: F, layer: int, width: int, /) -> bool:
        """Whether ``extend`` gives the first channels of a wider output."""

    def classify(self, features: F) -> Tensor:
        """The features of all choices -> logits (batch, classes)."""

    def header(self) -> dict[str, Any]:
        """Plain values that describe it without its weights."""
