"""Several candidates in one forward of the supernet at full width, their paths folded into the batch dimension.

Gives the same logits and gradients as one forward per path, up to rounding. It also multiplies what slicing leaves out:
more arithmetic in fewer and larger operations, for devices limited by kernel launches. Neither shapes nor operations
depend on a tensor's values, and nothing is read back from the device, so it can be captured as a graph.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.cpu_kernels import at_least_float32, full_precision
from nas_lightning.supernet.layers import NormStatistics, SlicedUnit
from nas_lightning.supernet.network import Supernet


def check_batchable(supernet: nn.Module, place: str) -> None:
    """Raises InputError, naming the key at ``place``, if the supernet's paths cannot run batched."""
    if not isinstance(supernet, Supernet):
        raise InputError(f"{place}: batched runs the residual networks of space alone; those of network run one after another: sequential")
    if supernet.norm is not NormStatistics.BATCH:
        raise InputError(f"{place}: batched needs supernet.norm=batch, not {supernet.norm}, whose averages move from path to path")


def stack_widths(architectures: Sequence[Architecture], device: torch.device) -> Tensor:
    """(paths, layers) integers on the device, for ``batched_forward``."""
    return torch.tensor([architecture.widths for architecture in architectures]).to(device, non_blocking=True)


def batched_forward(supernet: Supernet, images: Tensor, widths: Tensor) -> Tensor:
    """Logits (paths, batch, classes) of several candidates on the same images.

    Args:
        supernet: its parameters receive the gradients; its norms must use batch statistics.
        images: (batch, channels, H, W).
        widths: (paths, layers) integers on the images' device, one architecture per row; not checked to be legal.

    Raises:
        InputError: if the supernet's norms keep running averages.
    """
    check_batchable(supernet, "path_execution")
    kept = torch.arange(max(supernet.space.max_widths), device=widths.device) < widths[..., None]  # (paths, layers, largest width)
    kept = kept.to(supernet.classifier.full.weight.dtype)
    # Layers hold (batch, paths, channels, H, W). Without a copy, that is a larger batch to a convolution, and more
    # channels, each with its own statistics, to a norm. This needs contiguous images, not channels_last.
    stem, norm = supernet.stem.conv.full, supernet.stem.norm.full
    out = stem(images.contiguous())  # the same for every path
    with full_precision(out):
        x = F.relu(F.batch_norm(at_least_float32(out), None, None, training=True, eps=norm.eps))
    outputs = [x[:, None] * kept[:, 0, : stem.out_channels, None, None].to(x.dtype)]
    for layer, units in enumerate(supernet.of_layer[1:], start=1):
        terms = []
        for unit, module in units:
            x = outputs[unit.source]
            term = _masked_unit(module, x, kept[:, layer])
            if unit.may_be_identity:
                has_convolution = widths[:, unit.source] != widths[:, layer]
                term = torch.where(has_convolution[:, None, None, None], term, x)
            terms.append(term)
        outputs.append(F.relu(reduce(torch.add, terms)))
    return supernet.classifier.full(outputs[-1].mean(dim=(3, 4))).transpose(0, 1)


def _masked_unit(unit: SlicedUnit, x: Tensor, kept: Tensor) -> Tensor:
    """Convolution, then each path's batch norm, then zeros beyond each path's width.

    Args:
        x: (batch, paths, max_in_width, H, W), zeros beyond each path's width.
        kept: (paths, at least max_out_width), 1 up to each path's width and 0 beyond.

    Returns:
        (batch, paths, max_out_width, H / stride, W / stride).
    """
    conv, norm = unit.conv.full, unit.norm.full
    kept = kept[:, : conv.out_channels]
    out = conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    # Scales and shifts of 0 are the mask.
    scale, shift = (norm.weight * kept).flatten(), (norm.bias * kept).flatten()
    with full_precision(out):
        out = F.batch_norm(at_least_float32(out).flatten(1, 2), None, None, scale, shift, training=True, eps=norm.eps)
    return out.unflatten(1, kept.shape)
