"""What a candidate alone begins with: what its class draws, as large as its own widths need."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torchvision.models import mobilenet_v2, resnet18

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


def as_drawn(network: nn.Module) -> None:
    """Nothing: the constructor draws."""


def as_trained(network: nn.Module) -> None:
    """The weights of a file, the same for every seed."""
    drawn = torch.Generator().manual_seed(7)
    for parameter in (network.stem[0].weight, network.kernel):  # type: ignore[index, union-attr]
        nn.init.normal_(parameter, generator=drawn)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Functional, Counting])
@pytest.mark.parametrize("given", [as_drawn, as_trained])
def test_weights_are_those_of_the_class_for_its_own_widths(kind: type[nn.Module], given: Callable[[nn.Module], None]):
    def make() -> nn.Module:
        network = kind()
        given(network)
        return network

    family = TracedFamily(make, "functional", 10, 3, 8, FINE)
    assert family.cuts_natively == (kind is Functional)
    smallest = family.space.smallest
    first, again, other = (family.alone(smallest, "running", seed) for seed in (1, 1, 2))
    for name, deviation in (("stem.0.weight", (1 / 3 / 27) ** 0.5), ("kernel", 1e-6 * 2)):  # PyTorch's; of 16 inputs, not 64
        weights = first.get_parameter(name)
        if given is as_trained:
            deviation = (2 / (weights.shape[0] * 9)) ** 0.5  # drawn anew: Kaiming, fan_out, relu, 3x3
        assert float(weights.detach().std()) == pytest.approx(deviation, rel=0.1)
        assert torch.equal(weights, again.get_parameter(name))
        assert not torch.equal(weights, other.get_parameter(name))
    shapes = {name: tuple(tensor.shape) for name, tensor in first.named_parameters()}
    assert shapes["kernel"] == (12, 16, 3, 3)
    assert (first.get_parameter("scale") == 1e-3).all()
    assert shapes["scale"] == (12, 1, 1)
    assert (first.get_parameter("stem.2.slope") == 0.25).all()
    assert shapes["stem.2.slope"] == (16, 1, 1)
    assert first(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("make", [mobilenet_v2, partial(resnet18, zero_init_residual=True)])
def test_a_candidate_of_a_library_begins_as_the_library_begins(make: Callable[..., nn.Module]):
    family = TracedFamily(partial(make, num_classes=100), "library", 100, 3, 32)
    alone, images = family.alone(family.space.smallest, "running", 1).train(), torch.randn(64, 3, 32, 32)
    with torch.no_grad():
        spread, whole_spread = (float(network(images).std()) for network in (alone, family.make().train()))
    assert 0.7 < spread / whole_spread < 1.5  # of the logits
    assert spread < 1  # so the loss begins at that of a guess
    whole = dict(family.make().named_parameters())
    for name, parameter in alone.named_parameters():
        if parameter.ndim == 1:  # of norms, zeros among them
            assert torch.equal(parameter, whole[name][: len(parameter)]) or parameter.std() > 0


class Block(nn.Module):
    """Two convolutions, the first of which is given, under names of their own too."""

    def __init__(self, middle: nn.Module, read: bool = False) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 32, 3), middle
        self.features = nn.Sequential(self.first, nn.ReLU(), self.middle, nn.ReLU())
        self.head = nn.Linear(32, 10)
        if read:
            drawn = torch.Generator().manual_seed(7)
            for layer in (self.first, self.middle):
                nn.init.normal_(layer.weight, generator=drawn)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


class Half(nn.Module):
    """A weight of half its size."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * 2


class Scaled(nn.Module):
    """Convolves with a filter and a number, which is called a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.weight = nn.Parameter(torch.randn(32, 32, 3, 3)), nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel * self.weight)


def halved() -> nn.Module:
    return parametrize.register_parametrization(nn.Conv2d(32, 32, 3), "weight", Half())


def by_numpy() -> nn.Module:
    layer = nn.Conv2d(32, 32, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.random.normal(0, 0.1, layer.weight.shape)))
    return layer


def identity() -> nn.Module:
    layer = nn.Conv2d(32, 32, 3)
    nn.init.dirac_(layer.weight)
    return layer


def weight_of(make: Callable[[], nn.Module], seed: int = 1) -> Tensor:
    family = TracedFamily(make, "block", 10, 3, 8, FINE)
    assert family.space.smallest.widths == (8, 8)
    return family.alone(family.space.smallest, "running", seed).get_submodule("features.2").weight.detach()  # type: ignore[operator, return-value]


@pytest.mark.parametrize(
    ("middle", "deviation"),
    [
        (lambda: nn.Conv2d(32, 32, 3), (1 / 3 / 72) ** 0.5),
        (halved, (1 / 3 / 72) ** 0.5),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(32, 32, 3)), (1 / 3 / 72) ** 0.5),
        (by_numpy, 0.1 * 2),
    ],
)
def test_a_layer_of_several_names_or_another_s_drawing_is_fitted_once(middle: Callable[[], nn.Module], deviation: float):
    weight = weight_of(lambda: Block(middle()))
    assert float(weight.std()) == pytest.approx(deviation, rel=0.1)
    assert torch.equal(weight, weight_of(lambda: Block(middle())))
    assert not torch.equal(weight, weight_of(lambda: Block(middle()), 2))


def test_trained_weights_of_several_names_are_drawn_anew():
    weight = weight_of(lambda: Block(nn.Conv2d(32, 32, 3), read=True))
    assert float(weight.std()) == pytest.approx((2 / 72) ** 0.5, rel=0.1)  # Kaiming, fan_out
    assert not torch.equal(weight, weight_of(lambda: Block(nn.Conv2d(32, 32, 3), read=True), 2))


def test_one_layer_that_is_not_drawn_keeps_what_it_has():
    family = TracedFamily(lambda: Block(identity()), "block", 10, 3, 8, FINE)
    alone = family.alone(family.space.smallest, "running", 1)
    assert float(alone.get_submodule("first").weight.detach().std()) == pytest.approx((1 / 3 / 27) ** 0.5, rel=0.15)  # type: ignore[operator, arg-type]
    assert torch.equal(alone.get_submodule("middle").weight.detach(), nn.init.dirac_(torch.empty(8, 8, 3, 3)))  # type: ignore[operator]


def test_a_number_that_is_called_a_weight_stays():
    family = TracedFamily(lambda: Block(Scaled()), "block", 10, 3, 8, FINE)
    assert family.alone(family.space.smallest, "running", 1).get_parameter("middle.weight").item() == 0.5
