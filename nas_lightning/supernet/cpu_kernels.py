"""The two operations of a sliced network, with forward and backward written by hand for CPUs.

On a CPU, PyTorch loses most of its time between the convolutions. Its batch norm reads narrow channels_last images in
short rows, a slice of a weight is padded with zeros twice, and the weight gradient costs as much as the wider side.
Other devices and autocast use PyTorch's operations; tests check that both agree.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.supernet.cpu_faults import every_nth_pixel, is_hit

CHANNELS_LAST = torch.channels_last
aten = torch.ops.aten


class NormTerm(NamedTuple):
    """Images to normalise, and the parameters of their norm."""

    x: Tensor
    """(batch, channels, H, W)."""
    mean: Tensor
    """(channels,)."""
    variance: Tensor
    """(channels,), biased."""
    weight: Tensor | None
    """(at least channels,): the first entries scale; None scales by 1."""
    bias: Tensor | None
    """As ``weight``, added."""
    eps: float
    from_batch: bool
    """Whether mean and variance are those of ``x``, so that gradients flow through them."""


def is_hand_written(x: Tensor) -> bool:
    """Whether the hand-written kernels can run this tensor: on a CPU, in full precision."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


def sliced_conv2d(x: Tensor, weight: Tensor, out_width: int, stride: int, channels_last: bool = True) -> Tensor:
    """Convolution with the first ``out_width`` filters and their first input channels, padded to keep the size.

    Args:
        x: (batch, in_width, H, W).
        weight: (max_out_width, max_in_width, k, k), k odd.
        channels_last: memory format of PyTorch's convolution; the hand-written one is always channels_last.

    Returns:
        (batch, out_width, H / stride, W / stride).
    """
    if is_hit(x, weight, (stride, stride)):
        return sliced_conv2d(every_nth_pixel(x, (stride, stride)), weight, out_width, 1, channels_last)
    if is_hand_written(x):
        return _SlicedConv2d.apply(x, weight, out_width, stride)
    # Some channels_last kernels fall back to a reference implementation on a slice, which is not contiguous.
    part = weight[:out_width, : x.shape[1]].contiguous(memory_format=CHANNELS_LAST if channels_last else torch.contiguous_format)
    return F.conv2d(x, part, stride=stride, padding=weight.shape[2] // 2)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32 if its precision is lower."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Disables autocast for what is computed from ``x``, such as a norm's sums over many numbers."""
    return torch.autocast(x.device.type, enabled=False) if x.dtype in (torch.bfloat16, torch.float16) else nullcontext()


def check_several_values(x: Tensor) -> None:
    """Raises InputError if a channel of (batch, channels, H, W) has a single value, which any norm would map to 0."""
    if x.numel() == x.shape[1]:
        raise InputError(f"batch_size: one value a channel in {tuple(x.shape)}: a norm cannot take statistics from it; use larger batches")


@torch.no_grad()
def batch_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over batch and pixels, two of (channels,), for CPUs.

    Raises:
        InputError: if a channel has a single value, as with PyTorch's own norms in training.
    """
    check_several_values(x)
    width, channels = x.shape[3], x.shape[1]
    moments = aten.batch_norm_update_stats(_rows(x), None, None, 0.0)
    # Along contiguous rows the order of a sum does not depend on the number of channels: slices agree to the last bit.
    means, variances = (moment.view(width, channels).t().contiguous() for moment in moments)
    spread, mean = torch.var_mean(means, dim=1, correction=0)
    return mean, variances.mean(1).add_(spread)


def norm_add_relu(terms: Sequence[NormTerm], identity: Tensor | None = None) -> Tensor:
    """relu(sum of the normalised images + ``identity``, if given): (batch, channels, H, W), for CPUs."""
    tensors = [tensor for term in terms for tensor in (term.x, term.weight, term.bias)]
    return _NormAddRelu.apply(terms, identity, *tensors)


class _SlicedConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, out_width: int, stride: int) -> Tensor:
        x = x.contiguous(memory_format=CHANNELS_LAST)
        ctx.save_for_backward(x, weight)
        ctx.out_width, ctx.stride = out_width, stride
        return _convolve(x, weight[:out_width, : x.shape[1]], stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        part = weight[: ctx.out_width, : x.shape[1]]
        gradient = gradient.contiguous(memory_format=CHANNELS_LAST)
        need_x, need_weight = ctx.needs_input_grad[:2]
        if ctx.stride == 1:
            of_x = _convolve(gradient, part.transpose(0, 1).flip(2, 3), 1) if need_x else None
            of_part = _weight_gradient(x, gradient, part) if need_weight else None
        else:
            of_x, of_part = _convolution_backward(gradient, x, part, ctx.stride, need_x, need_weight)
        if of_part is not None and of_part.shape != weight.shape:
            of_weight = torch.zeros_like(weight)
            of_weight[: part.shape[0], : part.shape[1]] = of_part
            return of_x, of_weight, None, None
        if of_part is not None and weight.shape[2] == 1:
            of_part = of_part.flatten(1)[..., None, None]  # DDP compares strides even of dimensions of size 1
        return of_x, of_part, None, None


class _NormAddRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, terms: Sequence[NormTerm], identity: Tensor | None, *_: Tensor | None) -> Tensor:
        batch, channels, height, width = terms[0].x.shape
        rows, means, rates, scales = [], [], [], []
        shift = torch.zeros_like(terms[0].mean)
        for term in terms:
            rate = (term.variance + term.eps).rsqrt_()
            scale = rate if term.weight is None else rate * term.weight[:channels]
            shift.addcmul_(term.mean, scale, value=-1)
            if term.bias is not None:
                shift.add_(term.bias[:channels])
            rows.append(_rows(term.x))
            means.append(term.mean)
            rates.append(rate)
            scales.append(scale)
        out = torch.addcmul(_tiled(shift, width), rows[0], _tiled(scales[0], width))
        for row, scale in zip(rows[1:], scales[1:], strict=True):
            out.addcmul_(row, _tiled(scale, width))
        if identity is not None:
            out.add_(_rows(identity))
        out.relu_()
        ctx.save_for_backward(out, *rows, *means, *rates, *scales)
        ctx.count, ctx.width, ctx.channels = batch * height * width, width, channels
        ctx.has_identity = identity is not None
        ctx.kinds = [(term.from_batch, *(None if values is None else len(values) for values in (term.weight, term.bias))) for term in terms]
        return _images(out, channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        out, *saved = ctx.saved_tensors
        width, channels, terms = ctx.width, ctx.channels, len(ctx.kinds)
        gradient = aten.threshold_backward(_rows(gradient), out, 0)
        result: list[Tensor | None] = [None, _images(gradient, channels) if ctx.has_identity else None]
        for index, (from_batch, weights, biases) in enumerate(ctx.kinds):
            row, mean, rate, scale = saved[index::terms]
            # Over each column of the tiled rows, then over the tiles: sum(gradient * normalised) and sum(gradient).
            tiled = (mean.expand(width, -1).reshape(-1), rate.expand(width, -1).reshape(-1))
            sums = aten.native_batch_norm_backward(gradient, row, None, None, None, *tiled, True, 0.0, [False, True, True])
            product, total = (part.view(width, channels).sum(0) for part in sums[1:])
            if from_batch:
                # scale * (gradient - total / n - normalised * product / n) = slope * row + scale * gradient + constant
                slope = (product * rate).mul_(scale).mul_(-1 / ctx.count)
                constant = (total * scale).mul_(-1 / ctx.count).addcmul_(slope, mean, value=-1)
                of_x = torch.addcmul(_tiled(constant, width), row, _tiled(slope, width)).addcmul_(gradient, _tiled(scale, width))
            else:
                of_x = gradient * _tiled(scale, width)
            result += [_images(of_x, channels), _padded(product, weights), _padded(total, biases)]
        return tuple(result)


def _rows(x: Tensor) -> Tensor:
    """(batch, channels, H, W) as (batch, W * channels, H, 1): the same memory if ``x`` is channels_last.

    With few channels, operations along a whole row of pixels are several times faster than along the channels alone.
    """
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height, 1, width * channels).permute(0, 3, 1, 2)


def _images(rows: Tensor, channels: int) -> Tensor:
    """Undoes ``_rows``."""
    batch, columns, height, _ = rows.shape
    return rows.permute(0, 2, 3, 1).reshape(batch, height, columns // channels, channels).permute(0, 3, 1, 2)


def _tiled(values: Tensor, width: int) -> Tensor:
    """(channels,) repeated for each pixel of a row of ``_rows``."""
    return values.expand(width, -1).reshape(1, -1, 1, 1)


def _padded(values: Tensor, length: int | None) -> Tensor | None:
    """``values`` padded with zeros to ``length``; None for a parameter that is absent."""
    return None if length is None else F.pad(values, (0, length - len(values)))


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution of channels_last images that keeps the size.

    Kernels compute a vector of output channels at a time. When few channels would leave most of it empty, several
    neighbouring pixels share it: their filters, each shifted to its pixel, form one wider kernel of a larger stride.
    """
    out_width, in_width, size, _ = weight.shape
    pixels = _vector_length() // out_width if size == 3 and stride == 1 else 1
    # oneDNN (torch 2.14) reads beyond an image of one channel where all its columns become one: the result would be what lies there.
    reads_beyond = in_width == 1 and x.shape[3] == pixels
    if pixels not in (2, 4) or x.shape[3] % pixels or reads_beyond:
        return F.conv2d(x, weight.contiguous(memory_format=CHANNELS_LAST), stride=stride, padding=size // 2)
    wide = weight.new_zeros(pixels, out_width, 3, 2 + pixels, in_width)
    filters = weight.permute(0, 2, 3, 1)
    for pixel in range(pixels):
        wide[pixel, :, :, pixel : pixel + 3] = filters
    out = F.conv2d(x, wide.view(pixels * out_width, 3, 2 + pixels, in_width).permute(0, 3, 1, 2), stride=(1, pixels), padding=1)
    return out.permute(0, 2, 3, 1).reshape(len(x), x.shape[2], x.shape[3], out_width).permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of a weight at stride 1."""
    if weight.shape[1] <= weight.shape[0]:
        return _convolution_backward(gradient, x, weight, 1, False, True)[1]
    # Kernels run along the output channels. Exchanging the two images gives the same sums along the larger side.
    turned = _convolution_backward(x, gradient, weight.transpose(0, 1), 1, False, True)[1]
    return turned.flip(2, 3).transpose(0, 1)


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    padding, weight = weight.shape[2] // 2, weight.contiguous(memory_format=CHANNELS_LAST)
    mask = [need_x, need_weight, False]
    return aten.convolution_backward(gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask)[:2]


@cache
def _vector_length() -> int:
    """SIMD width in 32-bit lanes; 1 where packing pixels is not known to help."""
    return {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 1)
