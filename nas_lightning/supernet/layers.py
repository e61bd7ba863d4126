"""Layers with the weights of the widest candidate, of which every narrower one uses a slice."""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from nas_lightning.errors import InputError
from nas_lightning.supernet.cpu_kernels import (
    NormTerm,
    at_least_float32,
    batch_moments,
    check_several_values,
    full_precision,
    is_hand_written,
    norm_add_relu,
    sliced_conv2d,
)

MOMENTUM = 0.1
"""Momentum of running averages, PyTorch's default."""


FROZEN = "batch norm that is no layer"
"""Key in a graph's ``meta`` of the place of one that keeps its averages."""


class NormStatistics(StrEnum):
    """Source of a batch norm's mean and variance."""

    BATCH = "batch"
    """The current batch, in training and in evaluation: no slice is evaluated with another slice's statistics."""

    RUNNING = "running"
    """The current batch in training; in evaluation, running averages over all paths."""


class SlicedConv2d(nn.Module):
    """A convolution without bias; a candidate uses the first filters and their first input channels."""

    def __init__(self, max_in_width: int, max_out_width: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.full = nn.Conv2d(max_in_width, max_out_width, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.channels_last = True

    def forward(self, x: Tensor, out_width: int) -> Tensor:
        """(batch, in_width, H, W) -> (batch, out_width, H / stride, W / stride)."""
        return sliced_conv2d(x, self.full.weight, out_width, self.full.stride[0], self.channels_last)


class SlicedBatchNorm2d(nn.Module):
    """A batch norm; a candidate uses the first scales and shifts."""

    def __init__(self, max_width: int, statistics: NormStatistics, affine: bool = True) -> None:
        super().__init__()
        self.full = nn.BatchNorm2d(max_width, affine=affine, track_running_stats=statistics is NormStatistics.RUNNING)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, H, W) -> the same shape, each channel normalised over batch and pixels."""
        full, width = self.full, x.shape[1]
        if self.training or full.running_mean is None:
            check_several_values(x)
        with full_precision(x):
            return F.batch_norm(
                at_least_float32(x),
                running_mean=None if full.running_mean is None else full.running_mean[:width],
                running_var=None if full.running_var is None else full.running_var[:width],
                weight=full.weight[:width] if full.affine else None,
                bias=full.bias[:width] if full.affine else None,
                training=self.training or full.running_mean is None,
                momentum=MOMENTUM,
                eps=full.eps,
            )

    def term(self, x: Tensor) -> NormTerm:
        """The arguments of ``norm_add_relu`` that do the work of ``forward``; updates running averages as it would."""
        full, width = self.full, x.shape[1]
        averages = None if full.running_mean is None or full.running_var is None else (full.running_mean[:width], full.running_var[:width])
        if averages is not None and not self.training:
            return NormTerm(x, averages[0].clone(), averages[1].clone(), full.weight, full.bias, full.eps, from_batch=False)
        mean, variance = batch_moments(x)
        if averages is not None:
            count = x.numel() // width
            averages[0].lerp_(mean, MOMENTUM)
            averages[1].lerp_(variance * (count / (count - 1)), MOMENTUM)
        return NormTerm(x, mean, variance, full.weight, full.bias, full.eps, from_batch=True)


class SlicedUnit(nn.Module):
    """A convolution and its batch norm."""

    def __init__(
        self,
        max_in_width: int,
        max_out_width: int,
        kernel_size: int,
        stride: int = 1,
        *,
        statistics: NormStatistics,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.conv = SlicedConv2d(max_in_width, max_out_width, kernel_size, stride)
        self.norm = SlicedBatchNorm2d(max_out_width, statistics, affine)


def rectified_sum(branches: Sequence[tuple[SlicedUnit, Tensor]], out_width: int, identity: Tensor | None = None) -> Tensor:
    """relu(sum of unit(x) over the branches + identity), each unit with its first ``out_width`` channels.

    Args:
        branches: units, each with its input, (batch, in_width, H, W).
        identity: added as it is, (batch, out_width, H / stride, W / stride), the shape of the output.
    """
    outputs = [(unit.norm, unit.conv(x, out_width)) for unit, x in branches]
    if is_hand_written(outputs[0][1]):
        return norm_add_relu([norm.term(out) for norm, out in outputs], identity)
    total = outputs[0][0](outputs[0][1])
    for norm, out in outputs[1:]:
        total = total + norm(out)
    return F.relu(total if identity is None else total + identity)


class SlicedLinear(nn.Module):
    """A classifier; a candidate uses the first input features."""

    def __init__(self, max_in_width: int, classes: int) -> None:
        super().__init__()
        self.full = nn.Linear(max_in_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width) -> (batch, classes)."""
        return F.linear(x, self.full.weight[:, : x.shape[1]], self.full.bias)


def as_channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights of four dimensions in this memory format; PyTorch's own call refuses others beside them."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return network


def check_norms(network: nn.Module) -> None:
    """Raises InputError for a candidate with a batch norm that is no layer, since then nothing could set or move its averages."""
    if isinstance(network, fx.GraphModule) and (place := network.meta.get(FROZEN)) is not None:
        raise InputError(
            f"network: the batch norm at {place} shares tensors with something else, and the network cannot run narrowed, so that averages "
            "of a candidate cut out would not be its own; norm=batch needs none"
        )


def with_running_norms(network: nn.Module) -> nn.Module:
    """The network, whose batch norms that lack averages get those of new ones."""
    device = next(network.parameters()).device
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.running_mean is None:
            norm.track_running_stats = True
            norm.running_mean = torch.zeros(norm.num_features, device=device)
            norm.running_var = torch.ones(norm.num_features, device=device)
            norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=device)
    return network


def initialise(module: nn.Module, seed: int) -> None:
    """Kaiming uniform (fan_out, relu) on convolution and linear weights, PyTorch's default on biases, norms at 1 and 0.

    Draws from its own generator and leaves the global one alone.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            drawn = torch.empty_like(layer.weight, requires_grad=False)
            nn.init.kaiming_uniform_(drawn, mode="fan_out", nonlinearity="relu", generator=generator)
            replace_weight(layer, drawn)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


@torch.no_grad()
def replace_weight(layer: nn.Module, weight: Tensor) -> None:
    """Gives a layer its first weight, through the parametrization that computes it, if there is one that can be inverted."""
    if not parametrize.is_parametrized(layer, "weight"):
        layer.weight.copy_(weight)  # type: ignore[operator]
        return
    with suppress(NotImplementedError, RuntimeError, ValueError):  # it has none, or none for this shape, and stays as it is
        layer.weight = weight
