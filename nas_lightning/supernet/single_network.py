"""One candidate as a plain network: built on its own, or cut out of the supernet."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.space import Architecture, Block, SearchSpace, ShortcutRule
from nas_lightning.supernet.layers import NormStatistics, SlicedUnit, initialise
from nas_lightning.supernet.network import SlicedBlock, Supernet


class Unit(nn.Module):
    """Convolution, then batch norm."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel_size: int,
        stride: int = 1,
        *,
        statistics: NormStatistics,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width, affine=affine, track_running_stats=statistics is NormStatistics.RUNNING)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """relu(unit2(relu(unit1(x))) + shortcut(x))."""

    def __init__(self, widths: tuple[int, ...], block: Block, shortcuts: ShortcutRule, statistics: NormStatistics) -> None:
        super().__init__()
        in_width, first, second = widths[block.source], widths[block.first], widths[block.second]
        self.unit1 = Unit(in_width, first, 3, block.stride, statistics=statistics)
        self.unit2 = Unit(first, second, 3, statistics=statistics)
        self.shortcut: Unit | None = None
        if shortcuts.applies(block.opens_stage, in_width, second):
            self.shortcut = Unit(in_width, second, 1, block.stride, statistics=statistics)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        out = self.unit2(F.relu(self.unit1(x)))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class SingleNetwork(nn.Module):
    """One candidate with weights of its own; needs nothing of this package but the class. Arguments as Supernet's."""

    @torch.random.fork_rng(devices=())  # PyTorch's layers draw from the global generator when they are made
    def __init__(
        self,
        space: SearchSpace,
        architecture: Architecture,
        classes: int,
        channels: int = 3,
        shortcuts: ShortcutRule | str = ShortcutRule.ALWAYS,
        norm: NormStatistics | str = NormStatistics.BATCH,
        seed: int = 0,
    ) -> None:
        super().__init__()
        space.check(architecture)
        shortcuts, norm, widths = ShortcutRule(shortcuts), NormStatistics(norm), architecture.widths
        self.stem = Unit(channels, widths[0], 3, statistics=norm, affine=False)
        self.blocks = nn.Sequential(*(ResidualBlock(widths, block, shortcuts, norm) for block in space.residual_blocks))
        self.classifier = nn.Linear(widths[-1], classes)
        initialise(self, seed)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, H, W) -> logits (batch, classes)."""
        x = self.blocks(F.relu(self.stem(images)))
        return self.classifier(x.mean(dim=(2, 3)))


@torch.no_grad()
def cut(supernet: Supernet, architecture: Architecture) -> SingleNetwork:
    """The candidate as a plain network with copied weights: the same outputs, no tie to the supernet.

    Raises:
        InputError: if the architecture is not in the supernet's space.
    """
    network = SingleNetwork(supernet.space, architecture, supernet.classes, supernet.channels, supernet.shortcuts, supernet.norm)
    full = supernet.classifier.full
    network.to(full.weight).train(supernet.training)
    _copy_unit(supernet.stem, network.stem)
    pairs = cast(Iterable[tuple[SlicedBlock, ResidualBlock]], zip(supernet.blocks, network.blocks, strict=True))
    for sliced, plain in pairs:
        _copy_unit(sliced.unit1, plain.unit1)
        _copy_unit(sliced.unit2, plain.unit2)
        if plain.shortcut is not None:
            _copy_unit(sliced.shortcut, plain.shortcut)
    network.classifier.weight.copy_(full.weight[:, : network.classifier.in_features])
    network.classifier.bias.copy_(full.bias)
    return network


def _copy_unit(sliced: SlicedUnit, plain: Unit) -> None:
    out_width, in_width = plain.conv.weight.shape[:2]
    plain.conv.weight.copy_(sliced.conv.full.weight[:out_width, :in_width])
    # The norm has scale and shift, running statistics, both or neither: what the plain one has, the sliced one has too.
    full = dict(sliced.norm.full.state_dict())
    for name, tensor in plain.norm.state_dict().items():
        tensor.copy_(full[name][:out_width] if tensor.ndim else full[name])
