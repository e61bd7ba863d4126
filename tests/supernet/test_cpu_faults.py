"""Strided 1x1 convolutions of few channels, in whose gradient oneDNN writes beyond its memory: a crash, so in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from nas_lightning.supernet.cpu_faults import safe_convolutions

ROOT = Path(__file__).parents[2]
HEAD = """
import torch
from nas_lightning.space import Architecture
from tests.supernet.test_cpu_faults import Strided, check, images
"""
SLICED = """
from nas_lightning.supernet.cpu_kernels import sliced_conv2d
for width in (2, 3, 4, 6, 7):
    x = torch.randn(32, width, 16, 16).contiguous(memory_format=torch.channels_last)
    weight, gradient = torch.randn(12, 8, 1, 1, requires_grad=True), torch.randn(32, 8, 8, 8)
    for _ in range(10):
        weight.grad = None
        sliced_conv2d(x, weight, 8, 2).backward(gradient)
    check(weight.grad[:8, :width, 0, 0], torch.einsum("bohw,bihw->oi", gradient.double(), x[:, :, ::2, ::2].double()))
"""
TRACED = """
from tests.supernet.traced.networks import FINE, supernet_of
supernet, exact = (supernet_of(Strided(), images(), FINE).to(dtype) for dtype in (torch.float32, torch.float64))
exact.load_state_dict({name: tensor.double() for name, tensor in supernet.state_dict().items()})
for widths in ((4, 24), (2, 12), (3, 18)):
    for _ in range(10):
        supernet.zero_grad()
        supernet(images(), Architecture(widths)).square().sum().backward()
    exact.zero_grad()
    exact(images().double(), Architecture(widths)).square().sum().backward()
    for name, tensor in supernet.named_parameters():
        check(tensor.grad, dict(exact.named_parameters())[name].grad)
"""
ALONE = """
from nas_lightning.standalone.train_alone import train_alone
from nas_lightning.data import Digits
from nas_lightning.space import SearchSpace, ShortcutRule
from nas_lightning.supernet import ResidualFamily
from tests.standalone.test_truth import CPU, recipe
family = ResidualFamily(SearchSpace("tiny", (1, 1), (8, 12), 2, 8), 10, 1, ShortcutRule.WHERE_NEEDED)
for width in (2, 4, 6):
    accuracy = train_alone(Architecture((width, 4, width, 8, 8)), Digits(8, 500), recipe(epochs=6, family=family), 0, CPU)
    assert accuracy > 0.3, accuracy
"""


class Strided(nn.Module):
    """A stem of few channels, then a strided 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.point, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 24, 1, stride=2), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.silu(self.point(self.stem(x))).mean((2, 3)))


def images() -> Tensor:
    return torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def check(gradient: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-4, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(SLICED, id="sliced"),
        pytest.param(TRACED, id="traced", marks=pytest.mark.slow),
        pytest.param(ALONE, id="alone", marks=pytest.mark.slow),
    ],
)
def test_the_gradient_of_few_channels_is_right(program: str):
    ended = subprocess.run([sys.executable, "-c", HEAD + program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


@pytest.mark.parametrize(
    ("weight", "window"),
    [
        ((6, 4, 1, 1), {"stride": 2}),
        ((6, 4, 1, 1), {"stride": (3, 2), "padding": "valid"}),
        ((6, 2, 1, 1), {"stride": (1, 2), "groups": 2, "dilation": 3}),
        ((6, 4, 1, 1), {"stride": 2, "padding": 1}),
        ((6, 4, 1, 3), {"stride": 2}),
        ((6, 4, 3, 3), {"stride": 1, "padding": "same"}),
    ],
)
def test_a_safe_convolution_gives_what_any_convolution_gives(weight: tuple[int, ...], window: dict[str, Any]):
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64)
    conv = nn.Conv2d(4, weight[0], (weight[2], weight[3]), **window, dtype=torch.float64)
    plain, graph = conv(x), torch.export.export(conv, (x,)).module()
    for network in (conv, graph):
        with safe_convolutions(network, x.device):
            torch.testing.assert_close(network(x), plain, rtol=0, atol=1e-12)
    assert "forward" not in vars(conv)
    torch.testing.assert_close(conv(x), plain, rtol=0, atol=0)


class Doubled(nn.Conv2d):
    """A convolution of its own kind."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.point, self.own = nn.Conv2d(4, 6, 1, stride=2), Doubled(4, 6, 1, stride=2)

    def forward(self, x: Tensor, *, is_kept: bool = False) -> Tensor:
        if is_kept:
            return self.point(x) + self.own(x)
        result: Tensor = checkpoint(lambda x: self.point(x) + self.own(x), x, use_reentrant=False)
        return result


def test_what_runs_again_in_the_backward_pass_is_safe_too_and_other_classes_keep_their_forward():
    network, x = Checkpointed().double(), torch.randn(2, 4, 9, 8, dtype=torch.float64)
    plain = network(x, is_kept=True)
    plain.square().sum().backward()
    wanted = [parameter.grad for parameter in network.parameters()]
    network.zero_grad()
    with safe_convolutions(network, x.device):
        found = network(x)
        found.square().sum().backward()
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-12)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-10)
