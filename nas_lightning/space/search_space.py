"""The search space: residual networks that differ in the width of every layer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nas_lightning.errors import InputError, check_at_least
from nas_lightning.space.space import Space

MOST_TRAILING = 1000


@dataclass(frozen=True, slots=True)
class Block:
    """A residual block of two 3x3 convolutions.

    ``source``, ``first`` and ``second`` index an architecture's widths: the layer that the block reads, and its two.
    """

    source: int
    first: int
    second: int
    stride: int
    side: int
    """Height and width of the block's output, in pixels."""
    opens_stage: bool


@dataclass(frozen=True)
class SearchSpace(Space):
    """A stem convolution, then stages of residual blocks; every 3x3 convolution chooses its own width.

    Args:
        name: of the space in files and errors.
        blocks: blocks in each stage; each stage after the first halves the resolution.
        max_widths: the largest width in each stage, in channels, a multiple of ``width_step``. The first has the stem.
        width_step: legal widths are its multiples up to the stage's largest.
        resolution: height and width of the images, in pixels.
        trailing_entries: number of entries at the end of a written code that no layer reads.
    """

    name: str
    blocks: tuple[int, ...]
    max_widths: tuple[int, ...]
    width_step: int
    resolution: int
    trailing_entries: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        object.__setattr__(self, "max_widths", tuple(self.max_widths))
        for key, values, most in (("blocks", self.blocks, 1000), ("max_widths", self.max_widths, 65_536)):
            if not values or any(not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most for value in values):
                raise InputError(f"space.{key}: {list(values)} must be one or more integers from 1 to {most}")
        if len(self.blocks) != len(self.max_widths):
            raise InputError(f"space.max_widths: {list(self.max_widths)} must have one entry for each of the {len(self.blocks)} stages")
        for key, least in (("width_step", 1), ("resolution", 4), ("trailing_entries", 0)):
            check_at_least(f"space.{key}", getattr(self, key), least)
        if self.trailing_entries > MOST_TRAILING:
            raise InputError(f"space.trailing_entries: {self.trailing_entries} must be at most {MOST_TRAILING}")
        if any(width % self.width_step for width in self.max_widths):
            raise InputError(f"space.max_widths: {list(self.max_widths)} must be multiples of space.width_step={self.width_step}")

    @cached_property
    def choices(self) -> tuple[tuple[int, ...], ...]:  # type: ignore[override]  # computed once, never set
        """The legal widths of every layer, ascending."""
        layers = [self.max_widths[0]]
        for blocks, max_width in zip(self.blocks, self.max_widths, strict=True):
            layers += [max_width] * (2 * blocks)
        legal = {max_width: tuple(range(self.width_step, max_width + 1, self.width_step)) for max_width in set(layers)}
        return tuple(legal[max_width] for max_width in layers)

    @cached_property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The name of every layer."""
        return ("stem", *(f"blocks.{block}.conv{number}" for block in range(sum(self.blocks)) for number in (1, 2)))

    @property
    def layers(self) -> int:
        """Number of widths of an architecture, known without listing them: a foreign header may claim any."""
        return 1 + 2 * sum(self.blocks)

    @cached_property
    def residual_blocks(self) -> tuple[Block, ...]:
        """The blocks in forward order."""
        blocks: list[Block] = []
        for stage, count in enumerate(self.blocks):
            for position in range(count):
                source, opens_stage = 2 * len(blocks), position == 0
                stride = 2 if opens_stage and stage > 0 else 1
                blocks.append(Block(source, source + 1, source + 2, stride, _halved(self.resolution, stage), opens_stage))
        return tuple(blocks)

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the space: ``SearchSpace(**header)``."""
        return {
            "name": self.name,
            "blocks": list(self.blocks),
            "max_widths": list(self.max_widths),
            "width_step": self.width_step,
            "resolution": self.resolution,
            "trailing_entries": self.trailing_entries,
        }


def _halved(side: int, times: int) -> int:
    """Halved and rounded up each time, as by a padded convolution of stride 2."""
    return -(-side // 2**times)
