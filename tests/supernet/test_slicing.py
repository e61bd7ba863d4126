"""A slice of the supernet against one candidate written out by hand with the same weights."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from plain_network import PlainNetwork, full_name, leading
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.rng import generator
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet, cut

RULES = [pytest.param(*rules, id="-".join(rules)) for rules in itertools.product(("always", "where_needed"), ("batch", "running"))]


def plain(supernet: Supernet, architecture: Architecture) -> PlainNetwork:
    network = PlainNetwork(
        architecture.widths,
        supernet.space.blocks,
        supernet.classes,
        supernet.channels,
        everywhere=supernet.shortcuts == "always",
        running=supernet.norm == "running",
    )
    return network.to(supernet.classifier.full.weight.dtype).take_slice(supernet).train(supernet.training)


def candidates(space: SearchSpace, count: int, seed: int = 0) -> Iterator[Architecture]:
    rng = generator(seed, "test")
    return (space.sample(rng) for _ in range(count))


def batch(size: int = 4, channels: int = 3, side: int = 8, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(size + side)
    return torch.randn(size, channels, side, side, generator=rng, dtype=dtype), torch.randint(5, (size,), generator=rng)


def shake(supernet: Supernet) -> Supernet:
    """Moves norms away from 1 and 0, statistics too, so that a wrong slice of them shows."""
    rng = torch.Generator().manual_seed(9)
    for name, tensor in supernet.state_dict().items():
        if ".norm." in name and tensor.ndim:
            tensor.copy_(torch.rand(tensor.shape, generator=rng, dtype=tensor.dtype) + 0.5)
    return supernet


def assert_slice_equals_plain(supernet: Supernet, architecture: Architecture, images: Tensor, labels: Tensor) -> None:
    alone = plain(supernet, architecture)
    supernet.zero_grad()
    logits, expected = supernet(images, architecture), alone(images)
    torch.testing.assert_close(logits, expected)
    F.cross_entropy(logits, labels).backward()
    F.cross_entropy(expected, labels).backward()
    gradients = {full_name(name): parameter.grad for name, parameter in alone.named_parameters()}
    for name, parameter in supernet.named_parameters():
        whole = torch.zeros_like(parameter)
        if name in gradients:
            gradient = gradients[name]
            assert gradient is not None
            leading(whole, gradient).copy_(gradient)
            assert parameter.grad is not None
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, whole, msg=lambda text, name=name: f"{name} of {architecture}: {text}")


def test_100_slices_equal_stand_alone_networks_and_their_gradients(track1: SearchSpace) -> None:
    supernet = shake(Supernet(track1, classes=5).double())
    images, labels = batch()
    for architecture in [track1.largest, track1.smallest, *candidates(track1, 100)]:
        assert_slice_equals_plain(supernet, architecture, images, labels)


@pytest.mark.parametrize(("shortcuts", "norm"), RULES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_a_slice_equals_a_stand_alone_network_under_every_rule(
    tiny: SearchSpace, shortcuts: str, norm: str, channels: int, training: bool
) -> None:
    supernet = shake(Supernet(tiny, 5, channels, shortcuts, norm).double()).train(training)
    images, labels = batch(channels=channels)
    for architecture in [tiny.largest, tiny.smallest, *candidates(tiny, 10)]:
        assert_slice_equals_plain(supernet, architecture, images, labels)


@pytest.mark.parametrize(("shortcuts", "norm"), RULES)
def test_a_slice_of_longer_stages_equals_a_stand_alone_network(shortcuts: str, norm: str) -> None:
    space = SearchSpace("two widths", (2, 2), (4, 8), 4, 8)  # half of the later blocks keep their width
    supernet = shake(Supernet(space, 5, 3, shortcuts, norm).double())
    images, labels = batch()
    for architecture in space.sample_distinct(space.size, generator(0, "test"))[:40]:
        assert_slice_equals_plain(supernet, architecture, images, labels)


@pytest.mark.parametrize(("size", "side"), [(2, 8), (3, 8), (7, 5), (4, 13), (1, 32), (5, 4)])
def test_odd_batches_and_sides_that_are_no_power_of_two_run_and_agree(track1: SearchSpace, size: int, side: int) -> None:
    supernet = Supernet(track1, classes=5).double()
    images, labels = batch(size, side=side)
    for architecture in [track1.largest, track1.smallest, *candidates(track1, 2)]:
        assert_slice_equals_plain(supernet, architecture, images, labels)


def test_single_precision_at_32_pixels_agrees_too(track1: SearchSpace) -> None:
    supernet = Supernet(track1, classes=100)
    images, _ = batch(6, side=32, dtype=torch.float32)
    for architecture in [track1.largest, track1.smallest, *candidates(track1, 3)]:
        torch.testing.assert_close(supernet(images, architecture), plain(supernet, architecture)(images), rtol=1e-4, atol=1e-4)


def test_an_identity_leaves_only_its_convolution_without_gradient() -> None:
    space = SearchSpace("two widths", (2, 2), (4, 8), 4, 8)
    supernet = Supernet(space, 5, shortcuts="where_needed")
    images, labels = batch(dtype=torch.float32)
    for architecture in space.sample_distinct(space.size, generator(1, "test"))[:30]:
        widths = architecture.widths
        supernet.zero_grad()
        F.cross_entropy(supernet(images, architecture), labels).backward()
        without = {name.rsplit(".", 3)[0] for name, parameter in supernet.named_parameters() if parameter.grad is None}
        keeps_its_width = {index for index, entry in enumerate((0, 2, 4, 6)) if widths[entry] == widths[entry + 2]}
        assert without == {f"blocks.{index}.shortcut" for index in keeps_its_width - {0, 2}}  # 0 and 2 open a stage


def test_always_every_parameter_has_a_gradient_whatever_runs(tiny: SearchSpace) -> None:
    supernet = Supernet(tiny, 5)
    images, labels = batch(dtype=torch.float32)
    for architecture in [tiny.smallest, *candidates(tiny, 5)]:
        supernet.zero_grad()
        F.cross_entropy(supernet(images, architecture), labels).backward()
        assert all(parameter.grad is not None for parameter in supernet.parameters())
    assert not supernet.skips_parameters
    assert Supernet(tiny, 5, shortcuts="where_needed").skips_parameters


def test_gradients_outside_the_slice_are_exactly_zero(track1: SearchSpace) -> None:
    supernet = Supernet(track1, classes=5)
    images, labels = batch(dtype=torch.float32)
    F.cross_entropy(supernet(images, track1.smallest), labels).backward()
    alone = dict(plain(supernet, track1.smallest).named_parameters())
    inside_has_some = outside_is_zero = 0
    for name, parameter in alone.items():
        gradient = dict(supernet.named_parameters())[full_name(name)].grad
        assert gradient is not None
        inside_has_some += bool(leading(gradient, parameter).any())
        leading(gradient, parameter).zero_()
        outside_is_zero += not gradient.any()
    assert inside_has_some == outside_is_zero == len(alone)


def test_running_statistics_change_in_the_slice_only(tiny: SearchSpace) -> None:
    supernet = shake(Supernet(tiny, 5, norm="running").double())
    architecture = next(candidates(tiny, 1, seed=3))
    alone = plain(supernet, architecture)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    for size in (4, 6):
        images, _ = batch(size)
        supernet(images, architecture)
        alone(images)
    after = supernet.state_dict()
    changed = 0
    for name, statistic in alone.named_buffers():
        if not statistic.ndim:
            continue
        expected = before[full_name(name)]
        assert not torch.equal(leading(expected, statistic), statistic)
        leading(expected, statistic).copy_(statistic)
        torch.testing.assert_close(after[full_name(name)], expected)
        changed += 1
    assert changed == 2 * 10  # mean and variance of the stem and of three blocks of three


def test_evaluation_leaves_running_statistics_alone(tiny: SearchSpace) -> None:
    supernet = shake(Supernet(tiny, 5, norm="running")).eval()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    supernet(batch(dtype=torch.float32)[0], tiny.largest)
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())


def test_only_batch_statistics_depend_on_the_batch(tiny: SearchSpace) -> None:
    images, _ = batch(8, dtype=torch.float32)
    for norm, alike in (("batch", False), ("running", True)):
        supernet = shake(Supernet(tiny, 5, norm=norm)).eval()
        whole = supernet(images, tiny.largest)
        assert torch.allclose(supernet(images[:4], tiny.largest), whole[:4], atol=1e-5) == alike
        in_training = supernet.train()(images, tiny.largest)
        assert torch.equal(in_training, whole) == (norm == "batch")


def test_batch_statistics_are_never_stored(tiny: SearchSpace) -> None:
    assert list(Supernet(tiny, 5, norm="batch").buffers()) == []


@pytest.mark.parametrize(("shortcuts", "norm"), RULES)
@pytest.mark.parametrize("training", [True, False])
def test_a_cut_out_network_equals_the_slice_and_shares_no_memory(tiny: SearchSpace, shortcuts: str, norm: str, training: bool) -> None:
    images, _ = batch(dtype=torch.float32)
    for architecture in [tiny.largest, tiny.smallest, *candidates(tiny, 4)]:
        supernet = shake(Supernet(tiny, 5, 3, shortcuts, norm)).train(training)
        alone, expected = cut(supernet, architecture), plain(supernet, architecture)(images).detach()
        assert alone.training == training
        torch.testing.assert_close(supernet(images, architecture), expected)
        with torch.no_grad():
            for tensor in supernet.state_dict().values():
                tensor.fill_(7)
        torch.testing.assert_close(alone(images), expected)
        with torch.no_grad():
            for tensor in alone.state_dict().values():
                tensor.zero_()
        assert all(bool((tensor == 7).all()) for tensor in supernet.state_dict().values())


def test_a_cut_out_network_can_be_trained(tiny: SearchSpace) -> None:
    images, labels = batch(dtype=torch.float32)
    alone = cut(Supernet(tiny, 5), tiny.largest)
    F.cross_entropy(alone(images), labels).backward()
    assert all(parameter.requires_grad and parameter.grad is not None for parameter in alone.parameters())


def test_the_largest_and_the_smallest_run_at_the_challenges_size(track1: SearchSpace) -> None:
    supernet = Supernet(track1, classes=100)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for architecture in (track1.largest, track1.smallest):
        logits = supernet(images, architecture)
        assert logits.shape == (2, 100)
        assert np.isfinite(logits.detach().numpy()).all()
