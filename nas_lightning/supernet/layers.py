"""Layers that hold the weights of the widest candidate and lend every narrower one its slice."""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.supernet.functions import (
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
"""Of running averages, PyTorch's default."""


class NormStatistics(StrEnum):
    """Where a batch norm takes mean and variance from."""

    BATCH = "batch"
    """The current batch, in training and in evaluation: no slice is judged with another slice's statistics."""

    RUNNING = "running"
    """The current batch in training, averages kept over all paths in evaluation."""


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
        """What ``forward`` would do to ``x``, for ``norm_add_relu`` to do; running averages move as they would."""
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

    def with_moments(self, x: Tensor, mean: Tensor, variance: Tensor) -> NormTerm:
        """``x`` to be normalised with given mean and biased variance, (channels,) each; averages stay as they are."""
        return NormTerm(x, mean, variance, self.full.weight, self.full.bias, self.full.eps, from_batch=False)


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


def rectified_sum(
    branches: Sequence[tuple[SlicedUnit, Tensor]],
    out_width: int,
    identity: Tensor | None = None,
    calibration: Sequence[int] = (),
) -> Tensor:
    """relu(sum of unit(x) over the branches + identity), each unit with its first ``out_width`` channels.

    Args:
        branches: units, each with what it reads, (batch, in_width, H, W).
        identity: added as it is, (batch, out_width, H / stride, W / stride), the shape of what comes back.
        calibration: sizes of batches that stand before the images. Each of them is normalised by its own statistics, the images by those
            of all of them together, whatever the norm has learnt; not for training.
    """
    outputs = [(unit.norm, unit.conv(x, out_width)) for unit, x in branches]
    if calibration:
        return _calibrated_sum(outputs, identity, calibration)
    if is_hand_written(outputs[0][1]):
        return norm_add_relu([norm.term(out) for norm, out in outputs], identity)
    total = outputs[0][0](outputs[0][1])
    for norm, out in outputs[1:]:
        total = total + norm(out)
    return F.relu(total if identity is None else total + identity)


def _calibrated_sum(outputs: Sequence[tuple[SlicedBatchNorm2d, Tensor]], identity: Tensor | None, calibration: Sequence[int]) -> Tensor:
    sizes = [*calibration, len(outputs[0][1]) - sum(calibration)]
    branches: list[list[NormTerm]] = []  # for each, the batches of the calibration and then the images
    for norm, out in outputs:
        *batches, images = out.split(sizes)
        moments = [_moments(batch) for batch in batches]
        terms = [norm.with_moments(batch, *own) for batch, own in zip(batches, moments, strict=True)]
        branches.append([*terms, norm.with_moments(images, *_pooled(moments, calibration))])
    identities = [None] * len(sizes) if identity is None else identity.split(sizes)
    return torch.cat([_sum_of(terms, added) for *terms, added in zip(*branches, identities, strict=True)])


def _sum_of(terms: Sequence[NormTerm], identity: Tensor | None) -> Tensor:
    if is_hand_written(terms[0].x):
        return norm_add_relu(terms, identity)
    total = _normalised(terms[0])
    for term in terms[1:]:
        total = total + _normalised(term)
    return F.relu(total if identity is None else total + identity)


def _normalised(term: NormTerm) -> Tensor:
    weight, bias = (None if one is None else one[: term.x.shape[1]] for one in (term.weight, term.bias))
    return F.batch_norm(term.x, term.mean, term.variance, weight, bias, training=False, eps=term.eps)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over batch and pixels, (channels,) each, in single precision at least."""
    if is_hand_written(x):
        return batch_moments(x)
    check_several_values(x)
    variance, mean = torch.var_mean(at_least_float32(x), dim=(0, 2, 3), correction=0)
    return mean, variance


def _pooled(moments: Sequence[tuple[Tensor, Tensor]], sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all batches, of those of each: the mean of the variances plus the variance of the means.

    Args:
        moments: of each batch, (channels,) and (channels,).
        sizes: how many images each batch has.
    """
    means, variances = (torch.stack(values) for values in zip(*moments, strict=True))
    weights = torch.tensor(sizes, dtype=means.dtype).to(means.device, non_blocking=True)[:, None] / sum(sizes)
    mean = (weights * means).sum(0)
    return mean, (weights * (variances + (means - mean).square())).sum(0)


class SlicedLinear(nn.Module):
    """A classifier; a candidate uses the first input features."""

    def __init__(self, max_in_width: int, classes: int) -> None:
        super().__init__()
        self.full = nn.Linear(max_in_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_width) -> (batch, classes)."""
        return F.linear(x, self.full.weight[:, : x.shape[1]], self.full.bias)


def initialise(module: nn.Module, seed: int) -> None:
    """Kaiming uniform (fan_out, relu) on convolution and linear weights, PyTorch's default on biases, norms at 1 and 0.

    Drawn from a generator of its own: neither reads nor moves the global one.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
