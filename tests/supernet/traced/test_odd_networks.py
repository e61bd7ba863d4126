"""Networks that do what few do: norms that run twice or lack weights, constant and frozen weights, products of many kinds."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nas_lightning.errors import InputError
from nas_lightning.scoring.bn_recalibration import _recalibrated
from nas_lightning.supernet.layers import with_running_norms
from nas_lightning.supernet.traced import TracedFamily
from nas_lightning.supernet.traced.graph_cut import cut_graph
from nas_lightning.supernet.traced.program import Program
from tests.supernet.traced.networks import FINE, differences, some_of

SIDE = 8


class Net(nn.Module):
    """Two convolutions with something between them; one that counts on its channels can only be cut out as a graph."""

    def __init__(self, middle: nn.Module, counts: bool = False, read: int = 16) -> None:
        super().__init__()
        self.counts = counts
        self.first, self.middle = nn.Conv2d(3, 16, 3, padding=1), middle
        self.second, self.head = nn.Conv2d(read, 16, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.middle(self.first(x)))
        if self.counts:
            x = x.view(-1, 16, *x.shape[2:])
        return self.head(F.relu(x).mean((2, 3)))


class Function(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.functions = [function]

    def forward(self, x: Tensor) -> Tensor:
        return self.functions[0](x)


class Twice(nn.Module):
    """A convolution and its norm that run twice, as in a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.relu(self.norm(self.convolution(x)))
        return x


class NormAndSlope(nn.BatchNorm2d):
    """A norm with more tensors than a norm has."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.slope = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.slope(super().forward(x))


def block_twice() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(block, block)


def family_of(make: Callable[[], nn.Module]) -> TracedFamily:
    return TracedFamily(make, "odd", 5, 3, SIDE, FINE)


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) + 1


class Attention(nn.Module):
    """Weighs channels by the scales of a norm, as NAM does: they are read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.norm.weight.abs() / self.norm.weight.abs().sum())[None, :, None, None]
        return self.norm(x) * torch.sigmoid(weight * x)


class DropsFirst(nn.BatchNorm2d):
    """A norm with a dropout of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.1, self.training))


class Standardized(nn.Module):
    """Weight standardization, which has no inverse."""

    def forward(self, weight: Tensor) -> Tensor:
        return (weight - weight.mean((1, 2, 3), keepdim=True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-5)


class Drawn(nn.Module):
    """Permutes rows by an index that is drawn by NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(np.random.default_rng().permutation(SIDE)))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.rows] * torch.arange(1.0, 1.0 + SIDE)[:, None]


MIDDLES: dict[str, Callable[[], nn.Module]] = {"twice": Twice, "with a slope": lambda: NormAndSlope(16), "a block twice": block_twice}


@pytest.mark.parametrize("counts", [False, True], ids=["native", "graph"])
@pytest.mark.parametrize("middle", MIDDLES)
def test_a_candidate_alone_trains_its_norms_as_the_network_does(middle: str, counts: bool):
    family = family_of(lambda: Net(MIDDLES[middle](), counts))
    assert family.cuts_natively != counts
    alone, whole = family.alone(family.space.largest, "running").train(), Net(MIDDLES[middle]()).train()
    for name, weight in alone.named_parameters():  # a norm with other tensors beside it has a place of its own in a graph
        whole.get_parameter(re.sub(r"\.norm_\d+", "", name)).data.copy_(weight.data)
    for _ in range(2):
        assert torch.allclose(alone(images()), whole(images()), atol=1e-5)
    moved = [average for name, average in alone.named_buffers() if name.endswith("running_mean")]
    assert moved
    assert all(average.abs().max() > 0.01 for average in moved)
    expected = next(average for name, average in whole.named_buffers() if name.endswith("running_mean"))
    assert torch.allclose(moved[0], expected, atol=1e-5)


def test_names_in_a_graph_do_not_depend_on_how_it_was_traced():
    def two() -> nn.Module:
        return Net(nn.Sequential(NormAndSlope(16), nn.MaxPool2d(2), NormAndSlope(16)), counts=True)

    fixed, free = (TracedFamily(two, "odd", 5, 3, SIDE, FINE, free_sides=free) for free in (False, True))
    names = [list(family.alone(family.space.smallest, "running").state_dict()) for family in (fixed, free)]
    assert names[0] == names[1]
    assert "middle.0.norm_0.running_mean" in names[0]


def test_a_norm_whose_tensors_are_read_twice_trains_without_averages_and_has_none():
    family = family_of(lambda: Net(Attention(), counts=True))
    supernet = family.supernet("batch", 0).train()
    F.cross_entropy(supernet(images(), family.space.smallest), torch.arange(6) % 5).backward()
    assert supernet.network.middle.norm.weight.grad.abs().max() > 0
    assert family.alone(family.space.smallest, "batch")(images()).shape == (6, 5)
    cut_out = family.cut(supernet, supernet.space.smallest)
    for needs in (lambda: family.alone(family.space.smallest, "running"), lambda: _recalibrated(cut_out, [images()])):
        with pytest.raises(InputError, match=r"the batch norm at middle\.norm shares tensors with something else"):
            needs()


def test_a_dropout_within_a_norm_stays_beside_it():
    family = family_of(lambda: Net(DropsFirst(16), counts=True))
    network = family.alone(family.space.smallest, "running").train()
    assert not torch.equal(network(images()), network(images()))
    assert network.get_buffer("middle.running_mean").abs().max() > 0


def test_a_layer_whose_parametrization_has_no_inverse_begins_as_it_was_made():
    def standardized() -> nn.Module:
        convolution = nn.Conv2d(16, 16, 3, padding=1)
        nn.utils.parametrize.register_parametrization(convolution, "weight", Standardized())
        return Net(convolution)

    family = family_of(standardized)
    assert family.alone(family.space.smallest, "running")(images()).shape == (6, 5)


def test_a_network_that_draws_indices_has_no_answers_to_compare():
    family = family_of(lambda: Net(Drawn()))
    assert family.answers == []
    assert family_of(lambda: Net(nn.Identity())).answers
    assert family.answers_as([1.0])


@torch.no_grad()
@pytest.mark.parametrize("batches", [1, 3])
def test_a_norm_that_runs_twice_pools_the_statistics_of_both(batches: int):
    family = family_of(lambda: Net(Twice()))
    supernet, parts, means = family.supernet("batch", 0).eval(), images().chunk(batches), list[Tensor]()
    by_hand = family.cut(supernet, supernet.space.largest)
    by_hand.middle.norm.register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((0, 2, 3))))
    for batch in parts:
        by_hand(batch)
    assert len(means) == 2 * batches
    found = _recalibrated(family.cut(supernet, supernet.space.largest), parts)
    assert torch.allclose(found.middle.norm.running_mean, torch.stack(means).mean(0), atol=1e-5)


@pytest.mark.parametrize(
    "norm", [lambda: nn.BatchNorm2d(16, affine=False), lambda: nn.GroupNorm(4, 16, affine=False)], ids=["batch", "group"]
)
@pytest.mark.parametrize("counts", [False, True], ids=["native", "graph"])
def test_a_norm_without_weights_keeps_the_count_of_its_candidate(norm: Callable[[], nn.Module], counts: bool):
    family = family_of(lambda: Net(norm(), counts))
    assert family.cuts_natively != counts
    supernet = family.supernet("batch", 0).eval()
    network = family.cut(supernet, family.space.smallest)
    assert torch.allclose(network(images()), supernet(images(), family.space.smallest), atol=1e-5)
    assert with_running_norms(network).train()(images()).shape == (6, 5)


def zero_head(function: Callable[[Tensor], Tensor]) -> nn.Module:
    network = Net(Function(function))
    nn.init.zeros_(network.head.weight)
    return network


def by_half(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    return torch.cat([x[:, :half] * 2, x[:, half:]], 1)


def test_a_wrong_slice_shows_behind_a_head_of_zeros():
    with pytest.raises(InputError, match="a slice of Net differs by"):
        _ = family_of(lambda: zero_head(lambda x: x * x.shape[1] ** -0.5)).cuts_natively


def test_a_network_that_computes_with_half_of_its_channels_shows_where_choices_differ():
    with pytest.raises(InputError, match="a slice of Net differs by"):
        _ = family_of(lambda: Net(Function(by_half))).cuts_natively


def test_a_filter_that_is_not_learnt_is_as_constructed():
    def blurred() -> nn.Module:
        blur = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        nn.init.constant_(blur.weight, 1 / 9).requires_grad_(False)
        return Net(blur)

    family = family_of(blurred)
    weight = family.alone(family.space.smallest, "running", 1).middle.weight
    assert torch.equal(weight, torch.full_like(weight, 1 / 9))
    assert not weight.requires_grad


def test_the_weights_of_a_parametrized_layer_are_drawn_for_its_own_width():
    family = family_of(lambda: Net(nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 3, padding=1))))
    narrow, wide = (family.alone(one, "running", 1).middle.weight.detach() for one in (family.space.smallest, family.space.largest))
    assert float(narrow.std()) == pytest.approx((1 / 3 / (narrow.shape[1] * 9)) ** 0.5, rel=0.2)  # PyTorch's
    assert narrow.std() > 1.5 * wide.std()


@pytest.mark.parametrize(
    "middle",
    [
        lambda: Function(lambda x: (x.swapaxes(1, 3) * 2).swapaxes(3, 1)),
        lambda: Function(lambda x: (x.swapdims(-3, -1) * 2).swapdims(1, 3)),
        lambda: Function(lambda x: torch.movedim(torch.movedim(x, 1, -1) * 2, -1, 1)),
        lambda: Function(lambda x: torch.moveaxis(torch.moveaxis(x, (1, 2), (3, 1)).tanh(), (3, 1), (1, 2))),
        lambda: nn.ChannelShuffle(4),
        lambda: nn.Sequential(nn.Conv2d(16, 16, 1, groups=4), nn.ChannelShuffle(4), nn.Conv2d(16, 16, 3, padding=1, groups=2)),
    ],
    ids=["swapaxes", "swapdims", "movedim", "moveaxis", "shuffle", "shuffled groups"],
)
def test_channels_are_followed_where_dimensions_or_groups_are_moved(middle: Callable[[], nn.Module]):
    family = family_of(lambda: Net(middle()))
    assert family.space.names == ("first", "second")
    supernet = family.supernet("batch", 0).double()
    for architecture in some_of(supernet, 4):
        found = differences(supernet, cut_graph(supernet, architecture), architecture, images().double())
        assert max(map(abs, found)) < 1e-12


def squared_in_place(x: Tensor) -> Tensor:
    return F.relu(x).pow_(2)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.clone().transpose_(2, 3),
        squared_in_place,
        lambda x: torch.max(x, -x),
    ],
    ids=["transposed in place", "squared in place", "the larger of two"],
)
def test_operations_are_read_by_what_they_take(function: Callable[[Tensor], Tensor]):
    family = family_of(lambda: Net(Function(function)))
    assert family.cuts_natively == (function is not squared_in_place)  # of which PyTorch has no backward, but a slice has
    assert family.space.layers == 2


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (lambda: Net(nn.utils.weight_norm(nn.Conv2d(16, 16, 1))), "network: Net cannot be copied"),
        (lambda: Net(nn.InstanceNorm2d(16, track_running_stats=True)), "the instance norm at middle tracks averages, which is not"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_what_is_not_understood_is_one_line(module: Callable[[], nn.Module], line: str):
    with pytest.raises(InputError, match=line):
        Program(module(), images(), FINE)


def test_averages_of_all_batches_cannot_be_the_supernets():
    family = family_of(lambda: Net(nn.BatchNorm2d(16, momentum=None), counts=True))
    with pytest.raises(InputError, match=r"supernet\.norm: running needs a momentum, which the batch norm at middle lacks; give batch"):
        family.supernet("running", 0)
    alone, means = family.alone(family.space.largest, "running").train(), list[Tensor]()
    alone.get_submodule("middle").register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((0, 2, 3))))
    for batch in images().chunk(3):
        alone(batch)
    assert torch.allclose(alone.get_buffer("middle.running_mean"), torch.stack(means).mean(0), atol=1e-5)


class Products(nn.Module):
    """Multiplies in a way of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.up = nn.ConvTranspose2d(16, 16, 2, stride=2)
        self.mix, self.square = nn.Linear(16, 16), nn.Parameter(torch.randn(16, 16))
        self.single, self.cube = nn.Conv2d(1, 1, 3, padding=1), nn.Parameter(torch.randn(1, 1, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if self.how == "transposed":
            return self.up(x)
        if self.how == "einsum":
            return torch.einsum("nchw,dc->ndhw", x, self.square)
        if self.how == "einsum with dots":
            return torch.einsum("...c,cd->...d", x.permute(0, 2, 3, 1), self.square).permute(0, 3, 1, 2)
        if self.how == "einsum of three":
            return torch.einsum("nchw,cr,rd->ndhw", x, self.square, self.square)
        if self.how == "tensordot":
            return torch.tensordot(x.permute(0, 2, 3, 1), self.square, dims=1).permute(0, 3, 1, 2)
        if self.how == "volume":
            return F.conv3d(x.unsqueeze(1), self.cube, padding=1).squeeze(1)
        if self.how == "einsum over pixels":
            return x * torch.einsum("bchw,cd->bd", x, self.square)[:, :, None, None]
        if self.how == "tokens":
            return self.mix(x.permute(0, 2, 3, 1).reshape(-1, c)).reshape(n, h, w, c).permute(0, 3, 1, 2)
        if self.how == "folded":
            return self.single(x.reshape(-1, 1, h, w)).reshape(n, c, h, w)
        if self.how == "attention":
            flat = x.flatten(2).transpose(1, 2)[:, None]
            return F.scaled_dot_product_attention(flat, flat, flat)[:, 0].transpose(1, 2).reshape(n, c, h, w)
        return x * (self.square @ self.square).mean()


@pytest.mark.parametrize(
    "how",
    [
        *("transposed", "einsum", "einsum with dots", "einsum of three", "einsum over pixels", "tensordot", "volume"),
        *("tokens", "folded", "attention", "of weights"),
    ],
)
def test_multiply_adds_are_those_that_pytorch_counts(how: str):
    program = Program(Net(Products(how)), images(2), FINE)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        program.graph.source(images(1))
    assert program.cost([program.space.largest.widths]).multiply_adds[0] == counter.get_total_flops() // 2
