"""A way round a fault of the CPU kernels that PyTorch calls.

On CPUs with AVX2, oneDNN (3.12, of torch 2.14) writes beyond its memory in the weight gradient of a strided 1x1
convolution of channels_last images with 2 to 7 channels: https://github.com/uxlfoundation/oneDNN/issues/6035. The process
crashes, or the gradient is wrong. Such a convolution reads every n-th pixel only. Of these pixels alone, it has no stride.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nas_lightning.supernet.few_pixels import is_slow, pair, side_by_side

ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
FEW = 16
"""Channels from which on there is no fault: 8, a vector of AVX2, as far as it was seen; with AVX-512 not known."""
CONVOLUTIONS = (torch.conv2d, torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)


def is_hit(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> bool:
    """Whether a convolution of (batch, channels, H, W) may be one of those."""
    return x.device.type == "cpu" and x.ndim == 4 and x.shape[1] < FEW and weight.shape[2:] == (1, 1) and max(stride) > 1


def every_nth_pixel(x: Tensor, steps: tuple[int, int]) -> Tensor:
    """(batch, channels, H, W) -> (batch, channels, H / step, W / step), both rounded up."""
    return F.avg_pool2d(x, 1, steps)  # a mean of one; faster than a slice, whose gradient is not channels_last


def without_stride(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a 2D convolution, by name; of one that may be hit, those of the same without its stride."""
    x, weight, stride, padding = given["input"], given["weight"], pair(given.get("stride", 1)), given.get("padding", 0)
    if not is_hit(x, weight, stride) or (padding != "valid" and pair(padding) != (0, 0)):
        return dict(given)
    return {**given, "input": every_nth_pixel(x, stride), "stride": [1, 1]}


def conv2d(given: Mapping[str, Any]) -> Tensor:
    """A 2D convolution, its arguments by name, by a way on which PyTorch's CPU kernels are right and fast."""
    arguments = without_stride(given)
    return side_by_side(arguments) if is_slow(arguments) else F.conv2d(**arguments)


@contextmanager
def safe_convolutions(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Within it, a network on a CPU runs its 2D convolutions by ``conv2d``, with the same parameters and outputs.

    Its modules are changed, not only its calls: a forward that is checkpointed runs again in the backward pass.
    """
    plain = [module for module in network.modules() if type(module) is nn.Conv2d and module.padding_mode == "zeros"]
    meant = [module for module in plain if max(module.stride) > 1 or module.groups == module.in_channels > 1]
    changed = [module for module in meant if device.type == "cpu" and "forward" not in vars(module)]
    for module in changed:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        with _SafeConvolutions() if device.type == "cpu" and isinstance(network, fx.GraphModule) else nullcontext():
            yield
    finally:
        for module in changed:
            del module.forward


def _forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    given = {"input": x, "weight": module.weight, "bias": module.bias, "stride": module.stride, "padding": module.padding}
    return conv2d({**given, "dilation": module.dilation, "groups": module.groups})


class _SafeConvolutions(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function in CONVOLUTIONS:
            return conv2d({**dict(zip(ARGUMENTS, args, strict=False)), **(kwargs or {})})
        return function(*args, **(kwargs or {}))
