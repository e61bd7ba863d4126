"""What a trace cannot hold is a line at the start, or is cut out as a graph: backwards, caches, branches by widths, devices."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from nas_lightning.commands.network_table import describe_network
from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.checkpoint import load_supernet, make_header, save_supernet
from nas_lightning.supernet.traced import TracedFamily
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.program import Program
from nas_lightning.supernet.traced.source import NetworkSource
from tests.supernet.traced.networks import FINE
from tests.supernet.traced.test_odd_networks import Function, Net, family_of, images


class Sign(torch.autograd.Function):
    """A straight-through sign, as in binary networks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0].abs() <= 1)


def reversed_gradient(x: Tensor) -> Tensor:
    y = x * 1
    if y.requires_grad:
        y.register_hook(lambda gradient: -gradient)
    return y


def without_gradient(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 2


@pytest.mark.parametrize("function", [Sign.apply, reversed_gradient, without_gradient], ids=["sign", "reversed", "none"])
def test_a_backward_of_ones_own_is_refused(function: Callable[[Tensor], Tensor]):
    with pytest.raises(InputError, match=r"^network: Net (trains \S+ by other gradients than a slice|cannot be traced): "):
        family_of(lambda: Net(Function(function))).supernet("batch", 0)


def test_a_straight_through_estimate_by_detach_is_traced():
    assert family_of(lambda: Net(Function(lambda x: x + (x.sign() - x).detach()))).supernet("batch", 0)


class Table(nn.Module):
    """Adds a table of weights that it looks up once for all evaluations, as LeViT does."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.kept = nn.Parameter(torch.randn(1, 1, 8, 8)), None

    def train(self, mode: bool = True) -> nn.Module:
        self.kept = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x + self.table[:, :, :, torch.arange(8)]
        if self.kept is None:
            self.kept = self.table[:, :, :, torch.arange(8)]
        return x + self.kept


def test_weights_that_an_evaluation_caches_are_trained():
    supernet = family_of(lambda: Net(Table())).supernet("batch", 0)
    supernet(images(), supernet.space.largest).sum().backward()
    assert float(supernet.network.get_parameter("middle.table").grad.abs().max()) > 0


class Closure(nn.Module):
    """Holds a function that holds a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(16, 16, 3, padding=1)
        self.branch = lambda x: F.relu(self.convolution(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x)


def test_weights_in_a_lambda_are_refused():
    with pytest.raises(
        InputError, match=r"^network: Net reads middle\.convolution\.(weight|bias) in a function that it holds, such as a lam"
    ):
        Program(Net(Closure()), images(), FINE)


class SkipIfItFits(nn.Module):
    """A block that adds what it read wherever the widths allow it."""

    def __init__(self, read: int, made: int) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(read, made, 3, padding=1), nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.convolution(x)))
        return y + x if y.shape == x.shape else y


@pytest.mark.parametrize("begins", ["drawn", "zero"])
def test_a_candidate_for_which_its_class_takes_another_branch_is_a_graph(begins: str):
    def make() -> nn.Module:
        head = nn.Linear(128, 5)
        if begins == "zero":  # with equal logits whatever the branch
            nn.init.zeros_(head.weight)
        return nn.Sequential(SkipIfItFits(3, 64), SkipIfItFits(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    family = TracedFamily(make, "odd", 5, 3, 8, Widths())
    supernet = family.supernet("batch", 0).eval()
    assert family.cuts_natively
    for widths, is_native in (((64, 64), False), ((32, 128), True)):
        architecture = Architecture(widths)
        alone = family.cut(supernet, architecture)
        assert isinstance(alone, torch.fx.GraphModule) != is_native
        torch.testing.assert_close(alone.eval()(images()), supernet(images(), architecture))


class OwnNorm(nn.Module):
    """A batch norm written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.mean((0, 2, 3)), 0.1)
            return x - x.mean((0, 2, 3), keepdim=True)
        return x - self.mean[:, None, None]


@pytest.mark.parametrize("middle", [OwnNorm, lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(16, 16, 3, padding=1))])
def test_what_computes_otherwise_in_training_is_refused(middle: Callable[[], nn.Module]):
    with pytest.raises(
        InputError, match=r"^network: Net computes otherwise in training than in evaluation, beyond batch norms and dropouts"
    ):
        family_of(lambda: Net(middle())).supernet("batch", 0)


@pytest.mark.parametrize("middle", [lambda: nn.Dropout(0.5), lambda: nn.BatchNorm2d(16), lambda: nn.RReLU()])
def test_what_draws_or_normalises_is_not(middle: Callable[[], nn.Module]):
    assert family_of(lambda: Net(middle())).supernet("batch", 0)


class Coordinates(nn.Module):
    """Appends a channel that says where a pixel is, on the device of the images."""

    def forward(self, x: Tensor) -> Tensor:
        at = torch.linspace(-1, 1, x.shape[3], device=x.device).expand(x.shape[0], 1, x.shape[2], x.shape[3])
        return torch.cat([x, at], 1)


def test_tensors_that_a_forward_makes_are_made_on_the_device_of_the_images():
    family = family_of(lambda: Net(Coordinates(), read=17))
    supernet = family.supernet("batch", 0)
    architecture = family.space.smallest
    alone = family.cut(supernet, architecture)
    torch.testing.assert_close(alone(images()), supernet(images(), architecture))
    assert supernet.to("meta")(images().to("meta"), architecture).device.type == "meta"
    assert alone.to("meta")(images().to("meta")).device.type == "meta"


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_synchronized_norms_are_cut_as_others(norm: str):
    family = family_of(lambda: Net(nn.SyncBatchNorm(16)))
    supernet = family.supernet(norm, 0)
    assert family.cuts_natively
    alone = family.cut(supernet.eval(), family.space.smallest)
    torch.testing.assert_close(alone(images()), supernet(images(), family.space.smallest))


class FunctionalNorm(nn.Module):
    """A class of one's own around the function."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(16))
        self.register_buffer("running_var", torch.ones(16))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, training=self.training)


def test_norms_of_a_class_of_ones_own_are_cut_as_graphs():
    family = family_of(lambda: Net(FunctionalNorm()))
    supernet = family.supernet("batch", 0).eval()
    alone = family.cut(supernet, family.space.smallest)
    assert isinstance(alone, torch.fx.GraphModule)
    torch.testing.assert_close(alone(images()), supernet(images(), family.space.smallest))


def test_a_mask_of_infinities_comes_back(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.supernet.traced.source.IMPORTED", {"tests"})
    source = NetworkSource({"_target_": "tests.supernet.traced.networks.MaskedNet", "classes": 10}, ("tests",))
    family = TracedFamily(source, "masked", 10, 1, 8, FINE)
    supernet = family.supernet("batch", 0)
    path = tmp_path / "supernet.safetensors"
    save_supernet(path, supernet, make_header(supernet, describe(Digits(8))))
    assert float(load_supernet(path)[0].network.get_buffer("1.mask").min()) == -torch.inf
    with torch.no_grad():
        supernet.network.get_parameter("0.weight")[0] = torch.inf
    save_supernet(path, supernet, make_header(supernet, describe(Digits(8))))
    with pytest.raises(InputError, match=r"weights that are not finite \(in 1 tensors, such as network\.0\.weight\)"):
        load_supernet(path)


class Experts(nn.Module):
    """A convolution with a kernel for every image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 16, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        kernels = (x.mean((2, 3))[:, :, None, None, None] * self.weight).reshape(b * c, 1, 3, 3)
        return F.conv2d(x.reshape(1, b * c, h, w), kernels, padding=1, groups=b * c).reshape(b, c, h, w)


@pytest.mark.parametrize(
    "middle",
    [
        Experts,
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 1), dim=None),
        lambda: Function(lambda x: torch.cat([torch.zeros(0), x.flatten(1)], 1).view(-1, 16, 8, 8)),
    ],
    ids=["a kernel an image", "one norm", "joined with nothing"],
)
def test_what_has_no_rule_keeps_its_channels(middle: Callable[[], nn.Module]):
    family = family_of(lambda: Net(middle()))
    assert family.supernet("batch", 0)
    assert "first" not in family.space.names


def test_a_layer_without_a_rule_is_among_those_that_stay_whole():
    program = Program(Net(nn.ConvTranspose2d(16, 32, 2, stride=2), read=32), images(), FINE)
    assert [(layer.name, layer.channels) for layer in program.pinned] == [("first", 16), ("head", 5), ("middle", 32)]
    assert program.pinned[-1].reason.startswith("has no rule (conv_transpose2d")


class Uncounted(nn.Module):
    """An LSTM along the pixels of an image, or a deformable convolution."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.offsets = layer, nn.Conv2d(16, 18, 1)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.layer, nn.LSTM):
            return self.layer(x.flatten(2).transpose(1, 2))[0].transpose(1, 2).reshape(x.shape)
        return self.layer(x, self.offsets(x))


@pytest.mark.parametrize(
    ("middle", "operations"),
    [
        (lambda: Uncounted(nn.LSTM(16, 16, batch_first=True)), ["lstm in middle.layer"]),
        (lambda: Uncounted(DeformConv2d(16, 16, 3, padding=1)), ["deform_conv2d in middle.layer"]),
        (lambda: nn.ConvTranspose2d(16, 16, 1), []),
        (Table, []),
    ],
)
def test_layers_whose_multiply_adds_are_not_counted_are_told(middle: Callable[[], nn.Module], operations: list[str]):
    shown = "\n".join(describe_network(family_of(lambda: Net(middle()))))
    told = [line for line in shown.splitlines() if line.startswith("- ")]
    assert ("Multiply-adds of these are not counted:" in shown) == bool(operations)
    assert [line[2:].partition(" at ")[0] for line in told] == operations


class RootMeanSquare(nn.Module):
    """A norm that computes in float32 whatever it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.float32)
        y = y * torch.rsqrt(y.pow(2).mean(1, keepdim=True) + 1e-6)
        return self.weight[:, None, None] * y.to(x.dtype)


@pytest.mark.parametrize("module", [lambda: Net(RootMeanSquare()), lambda: Net(Function(Tensor.float))], ids=["a norm", "a cast"])
def test_a_network_that_names_its_type_is_compared_in_it(module: Callable[[], nn.Module]):
    family = family_of(module)
    supernet = family.supernet("batch", 0).eval()
    assert family.cuts_natively
    assert family.answers
    torch.testing.assert_close(family.cut(supernet, family.space.smallest)(images()), supernet(images(), family.space.smallest))


def test_a_wrong_slice_of_it_is_refused_too():
    with pytest.raises(InputError, match=r"^network: a slice of Net differs by \S+ from the network itself, narrowed"):
        family_of(lambda: Net(Function(lambda x: x.float() / x.shape[1]))).supernet("batch", 0)


def test_layers_without_their_numbers_of_channels_are_refused():
    with pytest.raises(InputError, match=r"^network: Net makes middle\.weight when it first runs; give its layer the numbers of channels"):
        Program(Net(nn.LazyConv2d(16, 1)), images(), FINE)
