"""The residual networks of a space as data, for code that builds, runs, cuts or costs them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from nas_lightning.space.architecture import Architecture
from nas_lightning.space.search_space import SearchSpace
from nas_lightning.space.space import Space

Integers = npt.NDArray[np.int64]
T = TypeVar("T")
IMAGES = -1
"""Source of a unit that reads the images, not a layer."""


class ShortcutRule(StrEnum):
    """When the shortcut of a residual block is a 1x1 convolution with norm instead of the identity."""

    ALWAYS = "always"
    """In every block, even if the widths agree: a finding of the 2nd-place solution."""

    WHERE_NEEDED = "where_needed"
    """In the first block of each stage, and if input and output width differ: as in the official single networks."""

    def applies(self, opens_stage: bool, in_width: int, out_width: int) -> bool:
        """Whether a block has the convolution."""
        return self is ShortcutRule.ALWAYS or opens_stage or in_width != out_width


class Unit(NamedTuple):
    """A convolution that keeps the size except for its stride, then a batch norm.

    A layer's output is the relu of the sum of its units; the classifier reads the last output, averaged over pixels.
    """

    name: str
    """Name of its module, in the network or in its block."""
    kernel: int
    stride: int
    source: int
    """Index of its input layer in an architecture's widths, or ``IMAGES``."""
    layer: int
    """Index of its output layer, whose width it has."""
    side: int
    """Height and width of its output, in pixels."""
    affine: bool = True
    """Whether its norm scales and shifts."""
    may_be_identity: bool = False
    """Whether it is the identity when input and output widths agree."""


class Cost(NamedTuple):
    """Cost of n candidates; each field is (n,) integers."""

    parameters: Integers
    """Weights of convolutions and classifier, its bias, and scale and shift of the norms."""
    multiply_adds: Integers
    """Of convolutions and classifier, per image."""


class Structure(Protocol):
    """What is known of the networks of a space without building one."""

    @property
    def space(self) -> Space:
        """The candidates."""

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""

    @property
    def channels(self) -> int:
        """Channels of the images."""

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width of the output of each choice, in pixels."""

    def cost(self, widths: npt.ArrayLike) -> Cost:
        """Counts parameters and multiply-adds of (n, layers) widths, one row per candidate."""

    def activations(self, widths: npt.ArrayLike) -> Integers:
        """(n,) numbers that the convolutions of (n, layers) widths write, per image."""

    def last_widths(self, widths: npt.ArrayLike) -> Integers:
        """(n,) numbers of features that the classifier of (n, layers) widths reads; all 1 where that is unknown."""

    def header(self) -> dict[str, Any]:
        """Plain values that describe it."""

    def protocol(self) -> dict[str, Any]:
        """Entries of a ranking's protocol: what besides weights and images decides a score, and what the choices are called."""


@dataclass(frozen=True)
class ResidualStructure:
    """The structure of a space's networks.

    Args:
        space: of the candidates.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
    """

    space: SearchSpace
    classes: int
    channels: int = 3
    shortcuts: ShortcutRule = ShortcutRule.ALWAYS

    @cached_property
    def blocks(self) -> tuple[tuple[Unit, ...], ...]:
        """The units of every block."""
        may_be_identity = {block: not self.shortcuts.applies(block.opens_stage, 1, 1) for block in self.space.residual_blocks}
        return tuple(
            (
                Unit("unit1", 3, block.stride, block.source, block.first, block.side),
                Unit("unit2", 3, 1, block.first, block.second, block.side),
                Unit("shortcut", 1, block.stride, block.source, block.second, block.side, may_be_identity=may_be_identity[block]),
            )
            for block in self.space.residual_blocks
        )

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units, in forward order."""
        return (Unit("stem", 3, 1, IMAGES, 0, self.space.resolution, affine=False), *chain.from_iterable(self.blocks))

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width of every layer's output, in pixels."""
        return tuple(side for _, side in sorted({unit.layer: unit.side for unit in self.units}.items()))

    def by_layer(self, parts: Iterable[T]) -> list[list[tuple[Unit, T]]]:
        """The units of each layer, each with its part of a network; ``parts`` are in the order of the units."""
        layers: list[list[tuple[Unit, T]]] = [[] for _ in range(self.space.layers)]
        for unit, part in zip(self.units, parts, strict=True):
            layers[unit.layer].append((unit, part))
        return layers

    def with_output(self, outputs: Mapping[int, T], layer: int, output: T) -> dict[int, T]:
        """The outputs that later layers need: some of ``outputs``, and the layer's own."""
        return {**{source: x for source, x in outputs.items() if source in self._read_later[layer]}, layer: output}

    @cached_property
    def _read_later(self) -> tuple[frozenset[int], ...]:
        return tuple(frozenset(unit.source for unit in self.units if unit.layer > layer) for layer in range(self.space.layers))

    def widths(self, architecture: Architecture) -> dict[int, int]:
        """The width of every layer, and of the images."""
        return {IMAGES: self.channels, **dict(enumerate(architecture.widths))}

    def cost(self, widths: npt.ArrayLike) -> Cost:
        """Counts parameters and multiply-adds of (n, layers) widths, one row per candidate."""
        last = np.asarray(widths, dtype=np.int64)[:, -1]
        parameters = last * self.classes + self.classes
        multiply_adds = last * self.classes
        for unit, in_width, out_width in self._convolutions(widths):
            weights = unit.kernel**2 * in_width * out_width
            parameters += weights + 2 * out_width if unit.affine else weights
            multiply_adds += weights * unit.side**2
        return Cost(parameters, multiply_adds)

    def activations(self, widths: npt.ArrayLike) -> Integers:
        """(n,) numbers that the convolutions of (n, layers) widths write, per image."""
        written = (unit.side**2 * out_width for unit, _, out_width in self._convolutions(widths))
        return np.sum(list(written), axis=0, dtype=np.int64)

    def last_widths(self, widths: npt.ArrayLike) -> Integers:
        """(n,) widths that the classifiers of (n, layers) widths read."""
        return np.asarray(widths, dtype=np.int64)[:, -1]

    def _convolutions(self, widths: npt.ArrayLike) -> Iterator[tuple[Unit, Integers, Integers]]:
        """Each unit with its (n,) input and output widths; the output's is 0 if it is the identity."""
        columns = np.ascontiguousarray(np.asarray(widths, dtype=np.int64).T)
        width_of = {IMAGES: np.full_like(columns[0], self.channels), **dict(enumerate(columns))}
        for unit in self.units:
            in_width, out_width = width_of[unit.source], width_of[unit.layer]
            if unit.may_be_identity:
                out_width = out_width * (in_width != out_width)
            yield unit, in_width, out_width

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the structure."""
        return {"space": self.space.header(), "classes": self.classes, "channels": self.channels, **self.protocol()}

    def protocol(self) -> dict[str, Any]:
        """Entries of a ranking's protocol: the rule, as the names of the choices follow from their number."""
        return {"shortcuts": str(self.shortcuts)}
