"""The supernet as it was run originally: every layer at full width, then a mask. The reference that slicing is held against."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.space import Architecture
from nas_lightning.supernet import NormStatistics, Supernet
from nas_lightning.supernet.layers import SlicedUnit
from nas_lightning.supernet.network import SlicedBlock


class MaskedUnit(nn.Module):
    """Convolution, then batch norm, then zeros in all but the first channels."""

    def __init__(self, sliced: SlicedUnit) -> None:
        super().__init__()
        self.conv, self.norm = sliced.conv.full, sliced.norm.full

    def forward(self, x: Tensor, width: int) -> Tensor:
        """(batch, max_in_width, H, W) -> (batch, max_out_width, H / stride, W / stride)."""
        out = self.norm(self.conv(x))
        mask = torch.arange(out.shape[1], device=out.device) < width
        return out * mask.to(out.dtype)[:, None, None]


class MaskedBlock(nn.Module):
    """relu(unit2(relu(unit1(x))) + shortcut(x)), every part masked."""

    def __init__(self, sliced: SlicedBlock) -> None:
        super().__init__()
        self.unit1, self.unit2 = MaskedUnit(sliced.unit1), MaskedUnit(sliced.unit2)
        self.shortcut = MaskedUnit(sliced.shortcut)

    def forward(self, x: Tensor, first_width: int, second_width: int, has_convolution: bool) -> Tensor:
        """(batch, max_in_width, H, W) -> (batch, max_width, H / stride, W / stride)."""
        out = self.unit2(F.relu(self.unit1(x, first_width)), second_width)
        return F.relu(out + (self.shortcut(x, second_width) if has_convolution else x))


class MaskedNetwork(nn.Module):
    """All candidates of a supernet at full width, with the supernet's own parameters: what trains one trains the other.

    Args:
        supernet: whose parameters are used; its norms must take the statistics of the batch.
    """

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        if supernet.norm is not NormStatistics.BATCH:
            raise ValueError("the masked reference has norms with batch statistics only")
        self.space, self.shortcuts = supernet.space, supernet.shortcuts
        self.stem = MaskedUnit(supernet.stem)
        self.blocks = nn.ModuleList(MaskedBlock(block) for block in supernet.blocks if isinstance(block, SlicedBlock))
        self.classifier = supernet.classifier.full

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes) of one candidate."""
        widths = architecture.widths
        x = F.relu(self.stem(images, widths[0]))
        for block, masked in zip(self.space.residual_blocks, self.blocks, strict=True):
            before, first, second = widths[block.source], widths[block.first], widths[block.second]
            x = masked(x, first, second, bool(self.shortcuts.applies(block.opens_stage, before, second)))
        return self.classifier(x.mean(dim=(2, 3)))
