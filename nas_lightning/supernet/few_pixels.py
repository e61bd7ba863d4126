"""Depthwise convolutions of images of a few pixels, such as MobileNet-V2's last ones of images of 32: many images as one.

oneDNN (3.12, of torch 2.14) computes the weight gradient of a depthwise convolution image by image, and with one or four
pixels an image takes far longer to begin than to compute. Images beside each other, apart by the padding that they have
anyway, are one image of many pixels, with the same results.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

FEW = 6
"""Pixels of an image up to which this is faster: with a window of 3x3 2 to 9 times on a CPU with AVX2 (0.3 to 0.5 times at 9)."""
MOST_WITH_GAP = 20
"""Pixels of an image and the gap behind it, up to which this is faster: 1.4 to 2 times at 16, 1.0 at 30, 0.6 at 49."""


def is_slow(given: Mapping[str, Any]) -> bool:
    """Whether the gradient of a 2D convolution, its arguments by name, takes long: depthwise, padded to keep the size, few pixels."""
    x, weight, padding = given["input"], given["weight"], pair(given.get("padding", 0))
    if x.device.type != "cpu" or x.ndim != 4 or len(x) < 2 or not 0 < x.shape[2] * x.shape[3] <= FEW:
        return False
    is_depthwise = weight.shape[1] == 1 < x.shape[1]
    is_odd = weight.shape[2] % 2 == weight.shape[3] % 2 == 1
    if not (is_depthwise and is_odd and torch.is_grad_enabled() and weight.requires_grad):
        return False
    half = _half(weight, pair(given.get("dilation", 1)))
    is_kept = padding == half or (padding == "same" and pair(given.get("stride", 1)) == (1, 1))
    return is_kept and (x.shape[2] + half[0]) * (x.shape[3] + half[1]) <= MOST_WITH_GAP


def side_by_side(given: Mapping[str, Any]) -> Tensor:
    """The convolution of images of which ``is_slow`` is true.

    Args:
        given: of ``torch.nn.functional.conv2d``, by name; ``input`` is (batch, channels, H, W).

    Returns:
        (batch, out_channels, H / stride, W / stride), both rounded up, in the memory format of the images.
    """
    x, weight, stride = given["input"], given["weight"], pair(given.get("stride", 1))
    batch, channels, *size = x.shape
    padding = _half(weight, pair(given.get("dilation", 1)))
    steps = [-(-(side + gap) // step) for side, gap, step in zip(size, padding, stride, strict=True)]
    height, width = (count * step for count, step in zip(steps, stride, strict=True))
    down = next(count for count in range(int(batch**0.5), 0, -1) if batch % count == 0)
    across = batch // down
    apart = F.pad(x, (0, width - size[1], 0, height - size[0])).permute(0, 2, 3, 1).reshape(down, across, height, width, channels)
    one = apart.transpose(1, 2).reshape(1, down * height, across * width, channels).permute(0, 3, 1, 2)
    result = F.conv2d(**{**given, "input": one, "padding": padding})
    tiles = result.permute(0, 2, 3, 1).reshape(down, steps[0], across, steps[1], len(weight)).transpose(1, 2).flatten(0, 1)
    kept = [-(-side // step) for side, step in zip(size, stride, strict=True)]
    memory_format = torch.channels_last if x.stride(1) == 1 else torch.contiguous_format
    return tiles[:, : kept[0], : kept[1]].permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


def pair(value: Any) -> Any:
    """The entries for height and width; of a word, the word."""
    if isinstance(value, str):
        return value
    entries = tuple(value) if isinstance(value, list | tuple) else (value,)
    return entries * 2 if len(entries) == 1 else entries


def _half(weight: Tensor, dilation: tuple[int, int]) -> tuple[int, ...]:
    """The padding that keeps the size, where the window's sides are odd."""
    return tuple(apart * (side // 2) for side, apart in zip(weight.shape[2:], dilation, strict=True))
