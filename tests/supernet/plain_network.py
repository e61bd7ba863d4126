"""One candidate written out by hand with plain PyTorch layers: shares no code with the package, only the names of its weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainUnit(nn.Module):
    def __init__(self, in_width: int, out_width: int, kernel_size: int, stride: int, running: bool, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width, affine=affine, track_running_stats=running)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class PlainNetwork(nn.Module):
    """Stem, then ``depths`` blocks a stage, then a classifier.

    Args:
        widths: output channels of the stem and of every 3x3 convolution.
        depths: blocks a stage.
        everywhere: whether every block has a 1x1 shortcut; else the first of a stage and those that change the width.
        running: whether the norms keep running statistics.
    """

    def __init__(
        self, widths: tuple[int, ...], depths: tuple[int, ...], classes: int, channels: int, everywhere: bool, running: bool
    ) -> None:
        super().__init__()
        self.stem = PlainUnit(channels, widths[0], 3, 1, running, affine=False)
        self.blocks = nn.ModuleList()
        layer = 0
        for stage, depth in enumerate(depths):
            for place in range(depth):
                stride = 2 if stage > 0 and place == 0 else 1
                before, middle, after = widths[layer : layer + 3]
                block = nn.ModuleDict(
                    {
                        "unit1": PlainUnit(before, middle, 3, stride, running),
                        "unit2": PlainUnit(middle, after, 3, 1, running),
                    }
                )
                if everywhere or place == 0 or before != after:
                    block["shortcut"] = PlainUnit(before, after, 1, stride, running)
                self.blocks.append(block)
                layer += 2
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for block in self.blocks:
            out = block["unit2"](F.relu(block["unit1"](x)))
            x = F.relu(out + (block["shortcut"](x) if "shortcut" in block else x))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))

    @torch.no_grad()
    def take_slice(self, supernet: nn.Module) -> "PlainNetwork":
        """Copies the leading part of every weight and statistic of the supernet."""
        full = supernet.state_dict()
        for name, tensor in self.state_dict().items():
            tensor.copy_(leading(full[full_name(name)], tensor))
        return self


def full_name(name: str) -> str:
    """``stem.conv.weight`` -> ``stem.conv.full.weight``."""
    layer, _, weight = name.rpartition(".")
    return f"{layer}.full.{weight}"


def leading(full: Tensor, like: Tensor) -> Tensor:
    """The first entries of ``full`` in every dimension, in the shape of ``like``."""
    return full[tuple(slice(size) for size in like.shape)]
