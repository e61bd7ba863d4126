"""The supernet: one set of weights whose slices are all candidates of a space."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Block, SearchSpace, ShortcutRule
from nas_lightning.supernet.functions import CHANNELS_LAST, is_hand_written
from nas_lightning.supernet.layers import NormStatistics, SlicedConv2d, SlicedLinear, SlicedUnit, initialise, rectified_sum


class SlicedBlock(nn.Module):
    """relu(unit2(relu(unit1(x))) + shortcut(x)), every part sliced."""

    def __init__(self, max_in_width: int, max_width: int, block: Block, shortcuts: ShortcutRule, statistics: NormStatistics) -> None:
        super().__init__()
        self.opens_stage, self.shortcuts = block.opens_stage, shortcuts
        self.unit1 = SlicedUnit(max_in_width, max_width, 3, block.stride, statistics=statistics)
        self.unit2 = SlicedUnit(max_width, max_width, 3, statistics=statistics)
        self.shortcut = SlicedUnit(max_in_width, max_width, 1, block.stride, statistics=statistics)

    def first(self, x: Tensor, width: int) -> Tensor:
        """The first half: (batch, in_width, H, W) -> (batch, width, H / stride, W / stride)."""
        return rectified_sum([(self.unit1, x)], width)

    def second(self, x: Tensor, hidden: Tensor, width: int) -> Tensor:
        """The second half, of the block's input and the first half's output: -> (batch, width, H / stride, W / stride)."""
        if self.shortcuts.applies(self.opens_stage, x.shape[1], width):
            return rectified_sum([(self.unit2, hidden), (self.shortcut, x)], width)
        return rectified_sum([(self.unit2, hidden)], width, identity=x)


class Features(NamedTuple):
    """What the first layers of a candidate have made of the images: enough to go on from there."""

    x: Tensor
    """(batch, width, H, W), the output of the last whole block or of the stem; the images before any layer."""
    hidden: Tensor | None = None
    """The output of a block's first layer, where the second is still to come."""

    @property
    def newest(self) -> Tensor:
        """The output of the last layer."""
        return self.x if self.hidden is None else self.hidden

    def narrowed(self, width: int) -> "Features":
        """Only the first channels of the last layer."""
        newest = self.newest
        if newest.shape[1] == width:
            return self
        newest = newest[:, :width].contiguous(memory_format=CHANNELS_LAST)
        return self._replace(x=newest) if self.hidden is None else self._replace(hidden=newest)

    def bytes_if_extended(self, width: int) -> int:
        """Of the output of a next layer of ``width`` channels, at most: a stride takes a part of it."""
        return self.newest.nbytes // self.newest.shape[1] * width


class Supernet(nn.Module):
    """Weights of every candidate of a space; which one runs is an argument.

    Args:
        space: which candidates there are.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
        norm: where the batch norms take their statistics from.
        seed: of the initial weights.
        channels_last: how the images lie in memory where the hand-written operations do not serve, as on a GPU; results differ by rounding.
    """

    @torch.random.fork_rng(devices=())  # PyTorch's layers draw from the global generator when they are made
    def __init__(
        self,
        space: SearchSpace,
        classes: int,
        channels: int = 3,
        shortcuts: ShortcutRule | str = ShortcutRule.ALWAYS,
        norm: NormStatistics | str = NormStatistics.BATCH,
        seed: int = 0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.space, self.classes, self.channels = space, classes, channels
        self.shortcuts, self.norm = ShortcutRule(shortcuts), NormStatistics(norm)
        max_widths = space.largest.widths
        self.stem = SlicedUnit(channels, max_widths[0], 3, statistics=self.norm, affine=False)
        self.blocks = nn.ModuleList(
            SlicedBlock(max_widths[block.source], max_widths[block.second], block, self.shortcuts, self.norm)
            for block in space.residual_blocks
        )
        self.classifier = SlicedLinear(max_widths[-1], classes)
        initialise(self, seed)
        for module in self.modules():
            if isinstance(module, SlicedConv2d):
                module.channels_last = channels_last

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""
        features = Features(images)
        for layer, width in enumerate(architecture.widths):
            features = self.extend(features, layer, width)
        return self.classify(features)

    def extend(self, features: Features, layer: int, width: int) -> Features:
        """One searchable layer more: candidates that agree on their first layers agree on the features.

        Args:
            features: of the layers before; ``Features(images)`` before the first.
            layer: the index of the layer in an architecture's widths.
            width: its width.
        """
        x, hidden = features
        if layer == 0:
            if x.shape[1] != self.channels:  # a slice of the stem's weight would take fewer without a word
                raise InputError(f"images have {x.shape[1]} channels, but the supernet was made for {self.channels}")
            layout = CHANNELS_LAST if self.channels_last or is_hand_written(x) else torch.contiguous_format
            stem = rectified_sum([(self.stem, x.contiguous(memory_format=layout))], width)
            return features._replace(x=stem)
        block = cast(SlicedBlock, self.blocks[(layer - 1) // 2])
        if hidden is None:
            return features._replace(hidden=block.first(x, width))
        return features._replace(x=block.second(x, hidden, width), hidden=None)

    def nests(self, features: Features, layer: int, width: int) -> bool:
        """Whether ``extend`` makes the first channels of what it makes with a larger width: not so behind an identity shortcut."""
        if features.hidden is None:
            return True
        block = cast(SlicedBlock, self.blocks[(layer - 1) // 2])
        return bool(self.shortcuts.applies(block.opens_stage, features.x.shape[1], width))

    def classify(self, features: Features) -> Tensor:
        """The features of all layers -> logits (batch, classes)."""
        return self.classifier(features.x.mean(dim=(2, 3)))

    @property
    def skips_parameters(self) -> bool:
        """Whether a path may leave whole tensors without a gradient (a shortcut that is the identity)."""
        return self.shortcuts is not ShortcutRule.ALWAYS

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the network without its weights: ``Supernet.from_header(header)``."""
        return {
            "space": self.space.header(),
            "classes": self.classes,
            "channels": self.channels,
            "shortcuts": str(self.shortcuts),
            "norm": str(self.norm),
        }

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "Supernet":
        """The network that ``header`` describes, with initial weights."""
        return cls(**{**header, "space": SearchSpace(**header["space"])})
