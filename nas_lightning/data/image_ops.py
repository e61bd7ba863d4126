"""Image operations as pure functions of a batch, with one parameter per image.

Images and results are uint8 (batch, channels, H, W) on any device. Parameters are (batch,) and may be on the CPU: they
are moved without waiting for the device. There is no loop over images, and no value is read back. Each function equals
torchvision's on the same image and parameter; test_operations.py compares them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(images: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """A window of the images' own size, from the images with ``padding`` zeros on every side.

    Args:
        top: first row of the window in the padded image, in 0 .. 2 * padding.
        left: its first column, in the same range.
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (padding, padding, padding, padding))
    rows = _per_image(top, images, 3) + torch.arange(height, device=images.device).view(-1, 1)
    columns = _per_image(left, images, 3) + torch.arange(width, device=images.device)
    return _pick(padded, rows * padded.shape[3] + columns)


def resized_crop(images: Tensor, top: Tensor, left: Tensor, heights: Tensor, widths: Tensor) -> Tensor:
    """A window of each image, enlarged bilinearly to the images' own size and rounded.

    Args:
        top: first row of the window.
        left: its first column.
        heights: its rows, at least 1.
        widths: its columns, at least 1.
    """
    height, width = images.shape[2:]
    rows = _mixed(images.float(), 2, *_sources(_per_image(top, images, 2), _per_image(heights, images, 2), height))
    return _mixed(rows, 3, *_sources(_per_image(left, images, 2), _per_image(widths, images, 2), width)).round_().to(torch.uint8)


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirrors left and right where ``mask`` (bool) is true."""
    mask = _per_image(mask, images)
    return images.flip(-1) * mask + images * ~mask  # several times faster than torch.where on uint8


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotates counter-clockwise about the centre; nearest pixel, and 0 where the source lies outside."""
    height, width = images.shape[2:]
    radians = torch.deg2rad(degrees.double())
    cosine, sine = (_per_image(value.float(), images, 3) for value in (radians.cos(), radians.sin()))
    x = torch.linspace((1 - width) / 2, (width - 1) / 2, width, device=images.device)
    y = torch.linspace((1 - height) / 2, (height - 1) / 2, height, device=images.device).view(-1, 1)
    column = torch.round(x * cosine - y * sine + (width - 1) / 2)
    row = torch.round(x * sine + y * cosine + (height - 1) / 2)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return _pick(images, ((row * width + column) * inside).long()).mul_(inside.unsqueeze(1))


def cutout(images: Tensor, centre_y: Tensor, centre_x: Tensor, size: int) -> Tensor:
    """Fills rows and columns [centre - size // 2, centre + size // 2) with 0, cut off at the image's borders."""
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device).view(-1, 1) - _per_image(centre_y, images)
    x = torch.arange(width, device=images.device) - _per_image(centre_x, images)
    half = size // 2
    return images * ~((y >= -half) & (y < half) & (x >= -half) & (x < half))  # far faster than masked_fill on uint8


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies by ``factor`` (float32, at least 0), clipped at 255 and rounded down."""
    return (images * _per_image(factor, images)).clamp_(max=255).to(torch.uint8)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Moves pixels towards (factor below 1) or away from their image's mean grey; float32 factor, 1 or 3 channels."""
    grey = images
    if images.shape[1] == 3:
        red, green, blue = images.unbind(1)
        grey = (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8).unsqueeze(1)
    mean = grey.float().mean((1, 2, 3), keepdim=True)
    factor = _per_image(factor, images)
    return (factor * images).add_((1 - factor) * mean).clamp_(0, 255).to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """Uint8, or floats already in [0, 1], to float32 in [0, 1]."""
    return images.to(torch.float32) if images.is_floating_point() else images.to(torch.float32).div_(255)


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(batch, channels, H, W) float images minus ``mean``, divided by ``std``, per channel."""
    centre, scale = (torch.as_tensor(values).to(images, non_blocking=True).view(-1, 1, 1) for values in (mean, std))
    return (images - centre).div_(scale)


def _sources(first: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, size) the two positions between which each output lies within its window, and the share of the second."""
    places = (torch.arange(size, device=first.device) + 0.5) * (lengths / size) - 0.5
    places = torch.minimum(places.clamp_(min=0), (lengths - 1).to(places.dtype))
    low = places.floor()
    high = torch.minimum(low + 1, (lengths - 1).to(low.dtype))
    return (first + low.long()), (first + high.long()), places - low


def _mixed(images: Tensor, dim: int, low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """Float images with rows or columns that lie between two others, each (batch, size)."""
    shape = (len(images), 1, -1, 1) if dim == 2 else (len(images), 1, 1, -1)
    one, other = (images.gather(dim, index.view(shape).expand_as(images)) for index in (low, high))
    return one.lerp_(other, share.float().view(shape).expand_as(images))


def _per_image(values: Tensor, images: Tensor, dimensions: int = 4) -> Tensor:
    """(batch,) -> (batch, 1, ...) on the images' device; the copy does not wait for the device."""
    return values.to(images.device, non_blocking=True).view(-1, *[1] * (dimensions - 1))


def _pick(images: Tensor, source: Tensor) -> Tensor:
    """Gathers pixels by ``source``: (batch, H, W) indices into the flattened image, the same for all channels."""
    batch, channels = images.shape[:2]
    index = source.flatten(1).unsqueeze(1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).view(batch, channels, *source.shape[1:])
