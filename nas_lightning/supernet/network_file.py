"""The network in ``network.safetensors``; needs torch and safetensors alone. nas-export copies this file next to it.

    network, header = load("network.safetensors")
    logits = network((images - mean) / std)  # images (batch, channels, H, W) in [0, 1]; header["scaling"] has mean and std

``python network.py IMAGE ...`` classifies image files, which also needs Pillow.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

BEST = 3
"""Classes that are shown of an image."""


class Unit(nn.Module):
    """Convolution, then batch norm."""

    def __init__(self, in_width: int, out_width: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        return self.norm(self.conv(x))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: a 1x1 convolution, or the identity."""

    def __init__(self, in_width: int, width: int, out_width: int, stride: int, has_projection: bool) -> None:
        super().__init__()
        self.unit1 = Unit(in_width, width, 3, stride)
        self.unit2 = Unit(width, out_width, 3)
        self.shortcut = Unit(in_width, out_width, 1, stride) if has_projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        return F.relu(self.unit2(F.relu(self.unit1(x))) + self.shortcut(x))


class Network(nn.Module):
    """A residual network.

    Args:
        channels: of the images.
        widths: output channels of the first convolution, then of both convolutions of each block.
        strides: of each block.
        projections: whether each block has a convolution on its shortcut.
        classes: number of outputs.
    """

    def __init__(self, channels: int, widths: Sequence[int], strides: Sequence[int], projections: Sequence[bool], classes: int) -> None:
        super().__init__()
        self.stem = Unit(channels, widths[0], 3, affine=False)
        of_blocks = zip(widths[0::2], widths[1::2], widths[2::2], strides, projections, strict=False)
        self.blocks = nn.ModuleList(Block(*of_block) for of_block in of_blocks)
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (batch, channels, H, W) -> logits (batch, classes)."""
        x = F.relu(self.stem(images))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean(dim=(2, 3)))


def load(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """The network in evaluation mode, and its header: architecture, scaling, classes."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["network"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    network = Network(**header["arguments"])
    network.load_state_dict(weights)
    return network.eval(), header


def read_image(path: str | Path, scaling: dict[str, Any]) -> Tensor:
    """An image file as (1, channels, H, W): its shorter side fitted, its centre cut out, scaled as in training."""
    from PIL import Image, ImageOps

    size, mean, std = scaling["resolution"], *(torch.tensor(scaling[name]).view(-1, 1, 1) for name in ("mean", "std"))
    with Image.open(path) as image:
        plain = ImageOps.exif_transpose(image).convert("RGB" if len(mean) == 3 else "L")
    fitted = ImageOps.fit(plain, (size, size), Image.Resampling.BILINEAR)
    pixels = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8).view(size, size, len(mean)).permute(2, 0, 1)
    return ((pixels / 255 - mean) / std)[None]


@torch.inference_mode()
def main() -> None:
    """Prints the most probable classes of each image file."""
    network, header = load(Path(__file__).with_name("network.safetensors"))
    for path in sys.argv[1:] or sys.exit("usage: python network.py IMAGE ..."):
        try:
            image = read_image(path, header["scaling"])
        except OSError as error:
            sys.exit(f"error: {path} is not an image that can be read ({error})")
        shares, classes = network(image).softmax(1)[0].sort(descending=True)
        best = [f"{header['classes'][index]} {share:.1%}" for index, share in zip(classes.tolist(), shares.tolist(), strict=True)]
        print(f"{path}: {', '.join(best[:BEST])}")


if __name__ == "__main__":
    main()
