"""The initial weights."""

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from nas_lightning.space import ResidualStructure, SearchSpace
from nas_lightning.supernet import SingleNetwork, Supernet

Make = Callable[[SearchSpace, int], nn.Module]


def is_uniform(values: Tensor, bound: float) -> bool:
    values = values.detach().flatten()
    assert values.abs().max() <= bound
    return bool(stats.kstest(values.numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4)


def test_weights_are_kaiming_uniform_with_fan_out_and_the_gain_of_relu(track1: SearchSpace) -> None:
    supernet = Supernet(track1, classes=100)
    convolutions = [layer for layer in supernet.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 19 + 9
    for layer in convolutions:
        fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
        assert is_uniform(layer.weight, (6 / fan_out) ** 0.5)  # sqrt(2) * sqrt(3 / fan_out)
    linear = supernet.classifier.full
    assert is_uniform(linear.weight, (6 / 100) ** 0.5)
    assert is_uniform(linear.bias, 64**-0.5)


def test_norms_begin_at_1_and_0_and_only_the_stems_has_no_parameters(tiny: SearchSpace) -> None:
    supernet = Supernet(tiny, classes=5)
    norms = {name: layer for name, layer in supernet.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    assert [name for name, layer in norms.items() if not layer.affine] == ["stem.norm.full"]
    for layer in norms.values():
        if layer.affine:
            assert bool((layer.weight == 1).all())
            assert not layer.bias.any()


def test_all_layers_are_drawn_apart(track1: SearchSpace) -> None:
    first = Supernet(track1, classes=5).blocks[7].unit1.conv.full.weight
    second = Supernet(track1, classes=5).blocks[8].unit1.conv.full.weight
    assert first.shape == second.shape
    assert not torch.equal(first, second)


def make_supernet(space: SearchSpace, seed: int) -> nn.Module:
    return Supernet(space, 5, seed=seed)


def make_single(space: SearchSpace, seed: int) -> nn.Module:
    return SingleNetwork(ResidualStructure(space, 5), space.largest, seed=seed)


@pytest.mark.parametrize("make", [make_supernet, make_single])
def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(tiny: SearchSpace, make: Make) -> None:
    first = make(tiny, 3).state_dict()
    torch.rand(17)
    again, other = make(tiny, 3).state_dict(), make(tiny, 4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if ".norm." not in name)


@pytest.mark.parametrize("make", [make_supernet, make_single])
def test_making_a_network_leaves_the_global_generator_untouched(tiny: SearchSpace, make: Make) -> None:
    before = torch.get_rng_state()
    make(tiny, 0)
    assert torch.equal(torch.get_rng_state(), before)
