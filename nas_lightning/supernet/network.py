"""The supernet: one set of weights whose slices are all candidates of a space."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.space import Architecture, Block, SearchSpace, ShortcutRule
from nas_lightning.supernet.layers import NormStatistics, SlicedLinear, SlicedUnit, initialise


class SlicedBlock(nn.Module):
    """relu(unit2(relu(unit1(x))) + shortcut(x)), every part sliced."""

    def __init__(self, max_in_width: int, max_width: int, block: Block, shortcuts: ShortcutRule, statistics: NormStatistics) -> None:
        super().__init__()
        self.opens_stage, self.shortcuts = block.opens_stage, shortcuts
        self.unit1 = SlicedUnit(max_in_width, max_width, 3, block.stride, statistics=statistics)
        self.unit2 = SlicedUnit(max_width, max_width, 3, statistics=statistics)
        self.shortcut = SlicedUnit(max_in_width, max_width, 1, block.stride, statistics=statistics)

    def forward(self, x: Tensor, first_width: int, second_width: int) -> Tensor:
        """(batch, in_width, H, W) -> (batch, second_width, H / stride, W / stride)."""
        out = self.unit2(F.relu(self.unit1(x, first_width)), second_width)
        has_convolution = self.shortcuts.applies(self.opens_stage, x.shape[1], second_width)
        return F.relu(out + (self.shortcut(x, second_width) if has_convolution else x))


class Supernet(nn.Module):
    """Weights of every candidate of a space; which one runs is an argument.

    Args:
        space: which candidates there are.
        classes: outputs of the classifier.
        channels: channels of the images.
        shortcuts: which blocks have a 1x1 convolution on their shortcut.
        norm: where the batch norms take their statistics from.
        seed: of the initial weights.
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
    ) -> None:
        super().__init__()
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

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""
        widths = architecture.widths
        x = F.relu(self.stem(images, widths[0]))
        for block, sliced in zip(self.space.residual_blocks, self.blocks, strict=True):
            x = sliced(x, widths[block.first], widths[block.second])
        return self.classifier(x.mean(dim=(2, 3)))

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
