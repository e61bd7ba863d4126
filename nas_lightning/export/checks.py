"""What must hold of an export before anything of it is kept."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nas_lightning.errors import InputError
from nas_lightning.export.formats import Run
from nas_lightning.space import Architecture, Structure

LIMIT, OF_LARGEST = 1e-4, 2e-5
"""Maximum difference of two logits that should be equal; where logits are large, as a share of the largest."""
IMAGES = 64
"""Test images to compare on."""


@torch.inference_mode()
def compare(runs: Mapping[str, tuple[Run, Tensor]], expected: Tensor) -> dict[str, dict[str, float]]:
    """The largest differences of logits: from those expected, and between an image alone and the same one in the batch.

    Args:
        runs: by name, what runs and its images.
        expected: logits (images, classes).

    Raises:
        InputError: if one is above the limit.
    """
    limit, found = limit_of(expected), dict[str, dict[str, float]]()
    for name, (run, images) in runs.items():
        together = run(images)
        alone = torch.cat([run(image) for image in images.split(1)])
        found[name] = {"from_pytorch": difference(together, expected), "alone_from_batch": difference(alone, together)}
        for kind, value in found[name].items():
            check_difference(f"{name} {kind.replace('_', ' ')}", value, limit)
    return found


def limit_of(logits: Tensor) -> float:
    """The largest difference from logits that is rounding."""
    return max(LIMIT, OF_LARGEST * float(logits.abs().max()))


def check_difference(what: str, value: float, limit: float) -> None:
    """Raises InputError if a difference is above a limit."""
    if not value <= limit:  # nor nan
        raise InputError(f"export: refused, as logits of {what} differ by {value:.2g}; at most {limit:.3g} is rounding")


def difference(first: Tensor, second: Tensor) -> float:
    """The largest absolute difference; infinite between tensors of other shapes."""
    return float((first - second).abs().max()) if first.shape == second.shape else float("inf")


def check_cost(network: nn.Module, image: Tensor, family: Structure, architecture: Architecture) -> dict[str, int]:
    """Parameters and multiply-adds, as counted on the network while it runs, and as the family counts them.

    Raises:
        InputError: if they differ.
    """
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # fused attention is not counted
        network(image)
    counted = {
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,  # it counts a multiply-add as two
    }
    cost = family.cost([architecture.widths])
    for name, count in counted.items():
        if count != (expected := int(getattr(cost, name)[0])):
            raise InputError(f"export: refused, as the network has {count:,} {name.replace('_', '-')}, and its family counts {expected:,}")
    return counted
