"""The network in ``network.pt2``; needs torch alone. nas-export puts this file next to it.

    network, header = load("network.pt2")
    logits = network((images - mean) / std)  # images (batch, channels, H, W) in [0, 1]; header["scaling"] has mean and std

``python network.py IMAGE ...`` classifies image files, which also needs Pillow.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

BEST = 3
"""Classes that are shown of an image."""


def load(path: str | Path) -> tuple[Callable[[Tensor], Tensor], dict[str, Any]]:
    """The network in evaluation mode, and its header: architecture, scaling, classes."""
    files = {"header.json": ""}
    program = torch.export.load(path, extra_files=files)
    return program.module(), json.loads(files["header.json"])


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
    network, header = load(Path(__file__).with_name("network.pt2"))
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
