"""Depthwise convolutions of images of a few pixels: as PyTorch computes them, by another way."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.supernet import cpu_faults
from nas_lightning.supernet.cpu_faults import safe_convolutions
from nas_lightning.supernet.few_pixels import is_slow, side_by_side


def arguments(size: tuple[int, int], window: tuple[int, int], batch: int = 6, times: int = 1, **named: Any) -> dict[str, Any]:
    x = torch.randn(batch, 4, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4 * times, 1, *window, dtype=torch.float64, requires_grad=True)
    return {"input": x, "weight": weight, "groups": 4, **named}


def gradients(result: Tensor, given: dict[str, Any]) -> tuple[Tensor, ...]:
    tensors = [value for value in given.values() if isinstance(value, Tensor)]
    return torch.autograd.grad((result * torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)).sum(), tensors)


@pytest.mark.parametrize(
    "given",
    [
        arguments((1, 1), (3, 3), padding=1),
        arguments((2, 2), (3, 3), padding=[1, 1], stride=[2, 2]),
        arguments((2, 2), (5, 3), batch=7, padding=(2, 1)),
        arguments((1, 3), (3, 3), batch=16, padding=2, dilation=2, stride=(1, 2)),
        arguments((2, 2), (3, 3), padding="same", bias=torch.randn(4, dtype=torch.float64, requires_grad=True)),
        arguments((2, 1), (3, 3), times=3, padding=1, stride=3),
        arguments((2, 2), (1, 1), stride=2),
        arguments((2, 3), (3, 3), padding=1),
    ],
)
def test_images_beside_each_other_give_what_each_gives(given: dict[str, Any]):
    assert is_slow(given)
    expected, found = F.conv2d(**given), side_by_side(given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for one, other in zip(gradients(found, given), gradients(expected, given), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "given",
    [
        arguments((3, 3), (3, 3), padding=1),  # more pixels
        arguments((2, 2), (3, 3), padding=0),  # another size
        arguments((2, 2), (2, 2), padding=1),
        arguments((2, 2), (3, 3), batch=1, padding=1),
        arguments((2, 2), (3, 3), batch=0, padding=1),
        arguments((2, 2), (3, 3), padding=6, dilation=6),  # a large gap
        arguments((2, 2), (3, 3), padding="same", stride=2),  # which PyTorch refuses
        {**arguments((2, 2), (3, 3), padding=1), "weight": torch.zeros(4, 1, 3, 3)},  # no gradient
    ],
)
def test_other_convolutions_are_pytorchs(given: dict[str, Any]):
    assert not is_slow(given)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_memory_format_is_that_of_the_images(memory_format: torch.memory_format):
    given = arguments((2, 2), (3, 3), padding=1)
    given["input"] = given["input"].detach().contiguous(memory_format=memory_format)
    assert side_by_side(given).is_contiguous(memory_format=memory_format)
    with torch.no_grad():
        assert not is_slow(given)


def test_a_network_trained_alone_and_one_that_is_a_graph_go_this_way(monkeypatch: pytest.MonkeyPatch):
    seen = list[tuple[int, ...]]()

    def noted(given: dict[str, Any]) -> Tensor:
        seen.append(tuple(given["input"].shape))
        return side_by_side(given)

    monkeypatch.setattr(cpu_faults, "side_by_side", noted)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, padding=1, groups=4)).double()
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    expected, graph = network(x), torch.export.export(network, (x,)).module()
    for one in (network, graph):
        with safe_convolutions(one, x.device):
            torch.testing.assert_close(one(x), expected, rtol=0, atol=1e-12)
    assert seen == [(6, 4, 2, 2)] * 2
