"""Parameters and multiply-adds against the published figures and against counting on the real network."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas_lightning.rng import generator
from nas_lightning.space import Architecture, ResidualStructure, SearchSpace, ShortcutRule
from nas_lightning.supernet import SingleNetwork, Supernet, cut


def cost_of(structure: ResidualStructure, architecture: Architecture) -> tuple[int, int]:
    """Parameters and multiply-adds of one candidate."""
    (parameters,), (multiply_adds,) = structure.cost([architecture.widths])
    return int(parameters), int(multiply_adds)


def counted(network: nn.Module, channels: int, resolution: int) -> tuple[int, int]:
    """Parameters, and multiply-adds of every convolution and linear layer that one image really passes."""
    multiply_adds = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal multiply_adds
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        multiply_adds += layer.weight.numel() * (out[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1)

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        network(torch.randn(1, channels, resolution, resolution))
    for hook in hooks:
        hook.remove()
    return sum(parameter.numel() for parameter in network.parameters()), multiply_adds


def test_the_largest_has_289780_parameters_of_which_2016_in_norms(track1: SearchSpace) -> None:
    network = SingleNetwork(ResidualStructure(track1, 100), track1.largest)
    norms = sum(parameter.numel() for layer in network.modules() if isinstance(layer, nn.BatchNorm2d) for parameter in layer.parameters())
    assert norms == 2_016
    assert cost_of(ResidualStructure(track1, 100), track1.largest)[0] == 287_764 + norms == 289_780


def test_the_supernet_has_the_parameters_of_its_largest(any_space: SearchSpace) -> None:
    supernet = Supernet(any_space, classes=7)
    assert sum(parameter.numel() for parameter in supernet.parameters()) == cost_of(ResidualStructure(any_space, 7), any_space.largest)[0]


def test_multiply_adds_of_the_extremes_are_the_published_ones(track1: SearchSpace) -> None:
    found = ResidualStructure(track1, 100).cost([track1.largest.widths, track1.smallest.widths]).multiply_adds
    np.testing.assert_array_equal(np.round(found / 1e6, 3), [42.654, 1.337])


def test_the_uniform_mean_of_multiply_adds_is_14_345_million(track1: SearchSpace) -> None:
    a, b, c = 10, 18, 34  # mean widths of the three stages; widths are independent, so means multiply
    stage1 = 3 * 1024 * (9 * a * a + 9 * a * a + a * a)
    stage2 = 256 * (9 * a * b + 9 * b * b + a * b) + 2 * 256 * (9 * b * b + 9 * b * b + b * b)
    stage3 = 64 * (9 * b * c + 9 * c * c + b * c) + 2 * 64 * (9 * c * c + 9 * c * c + c * c)
    mean = 1024 * 9 * 3 * a + stage1 + stage2 + stage3 + c * 100
    assert round(mean / 1e6, 3) == 14.345
    rng = np.random.default_rng(0)
    widths = np.stack([rng.choice(legal, size=200_000) for legal in track1.choices], axis=1)
    found = ResidualStructure(track1, 100).cost(widths).multiply_adds
    assert abs(found.mean() - mean) < 4 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize("shortcuts", list(ShortcutRule))
@pytest.mark.parametrize("channels", [1, 3])
def test_cost_equals_counting_on_the_cut_out_network(any_space: SearchSpace, shortcuts: ShortcutRule, channels: int) -> None:
    rng = generator(channels, "test")
    supernet = Supernet(any_space, classes=6, channels=channels, shortcuts=shortcuts)
    candidates = [any_space.largest, any_space.smallest, *(any_space.sample(rng) for _ in range(6))]
    expected = [counted(cut(supernet, one), channels, any_space.resolution) for one in candidates]
    found = ResidualStructure(any_space, 6, channels, shortcuts).cost([one.widths for one in candidates])
    assert list(zip(found.parameters.tolist(), found.multiply_adds.tolist(), strict=True)) == expected


def test_cost_of_one_equals_its_row_among_many(any_space: SearchSpace) -> None:
    rng = generator(0, "test")
    candidates = [any_space.sample(rng) for _ in range(5)]
    for shortcuts in ShortcutRule:
        many = ResidualStructure(any_space, 10, shortcuts=shortcuts).cost([one.widths for one in candidates])
        for row, one in enumerate(candidates):
            expected = int(many.parameters[row]), int(many.multiply_adds[row])
            assert cost_of(ResidualStructure(any_space, 10, shortcuts=shortcuts), one) == expected


def test_an_identity_shortcut_saves_exactly_its_convolution_and_norm() -> None:
    space = SearchSpace("s", (2,), (8,), 4, resolution=8)
    narrow_block, same_block = Architecture((4, 8, 8, 4, 4)), Architecture((4, 8, 8, 4, 8))  # second block: 8 -> 4, 8 -> 8
    for architecture, saved in ((narrow_block, (0, 0)), (same_block, (8 * 8 + 2 * 8, 8 * 8 * 64))):
        always = cost_of(ResidualStructure(space, 3), architecture)
        needed = cost_of(ResidualStructure(space, 3, shortcuts=ShortcutRule.WHERE_NEEDED), architecture)
        assert (always[0] - needed[0], always[1] - needed[1]) == saved


def test_where_needed_is_at_stage_starts_and_where_widths_differ() -> None:
    for opens_stage, in_width, out_width in itertools.product((True, False), (4, 8), (4, 8)):
        assert ShortcutRule.ALWAYS.applies(opens_stage, in_width, out_width)
        assert bool(ShortcutRule.WHERE_NEEDED.applies(opens_stage, in_width, out_width)) == (opens_stage or in_width != out_width)


def test_the_official_list_costs_2_98_times_less_when_sliced(track1: SearchSpace, official_list: Path) -> None:
    codes = [row["arch"] for row in json.loads(official_list.read_text()).values()]
    widths = np.array([code.split("-")[:19] for code in codes], dtype=np.int64)
    found = ResidualStructure(track1, 100).cost(widths).multiply_adds
    largest = cost_of(ResidualStructure(track1, 100), track1.largest)[1]
    assert found.shape == (50_000,)
    assert f"{2 * largest * 10_000 * len(found):.2e}" == "4.27e+16"
    assert round(largest / found.mean(), 2) == 2.98


def test_the_sides_of_all_layers_are_those_of_their_stages(track1: SearchSpace):
    assert ResidualStructure(track1, 100).sides == (32,) * 7 + (16,) * 6 + (8,) * 6
