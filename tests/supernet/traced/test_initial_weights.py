"""What a candidate alone begins with: weights for its own widths, and what the user's constructor gave all else."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.supernet.traced import TracedFamily
from tests.supernet.traced.networks import FINE


class Own(nn.Module):
    """A layer of the user's, which makes its tensors at the width that it keeps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.slope = nn.Parameter(torch.full((self.width, 1, 1), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) - self.slope * F.relu(-x)


class Functional(nn.Module):
    """Convolves with parameters of its own, and scales its layers."""

    def __init__(self, keeps_counts: bool = False) -> None:
        super().__init__()
        self.keeps_counts = keeps_counts
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), Own(64))
        self.kernel = nn.Parameter(torch.randn(48, 64, 3, 3) * 1e-6)
        self.scale = nn.Parameter(torch.full((48, 1, 1), 1e-3))
        self.head = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        if self.keeps_counts:
            one, other = torch.split(x, 32, dim=1)
            x = torch.cat([one, other], 1)
        return self.head((F.conv2d(x, self.kernel) * self.scale).mean((2, 3)))


class Counting(Functional):
    """Likewise, but can only be a graph."""

    def __init__(self) -> None:
        super().__init__(keeps_counts=True)


@pytest.mark.parametrize("kind", [Functional, Counting])
def test_weights_are_drawn_for_the_own_widths_and_all_else_is_as_constructed(kind: type[nn.Module]):
    family = TracedFamily(kind, "functional", 10, 3, 8, FINE)
    assert family.cuts_natively == (kind is Functional)
    smallest = family.space.smallest
    first, again, other = (family.alone(smallest, "running", seed) for seed in (1, 1, 2))
    for name in ("stem.0.weight", "kernel"):
        weights = first.get_parameter(name)
        bound = (6 / (weights.shape[0] * 9)) ** 0.5  # Kaiming, uniform, fan_out, relu, 3x3
        assert 0.95 * bound < float(weights.detach().abs().max()) <= bound
        assert torch.equal(weights, again.get_parameter(name))
        assert not torch.equal(weights, other.get_parameter(name))
    shapes = {name: tuple(tensor.shape) for name, tensor in first.named_parameters()}
    assert shapes["kernel"] == (12, 16, 3, 3)
    assert (first.get_parameter("scale") == 1e-3).all()
    assert shapes["scale"] == (12, 1, 1)
    assert (first.get_parameter("stem.2.slope") == 0.25).all()
    assert shapes["stem.2.slope"] == (16, 1, 1)
    assert first(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
