"""Networks that cannot be traced or narrowed, and wrong slices: one line each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet.traced import trace as trace_module
from nas_lightning.supernet.traced.adapt import ADAPT
from nas_lightning.supernet.traced.check import check_slices
from nas_lightning.supernet.traced.program import Program
from tests.supernet.traced.networks import FINE, Everything, Small, supernet_of

IMAGES = torch.zeros(2, 3, 16, 16)


def on_values(x: Tensor) -> Tensor:
    return x if x.mean() > 0 else -x


def in_full_precision(x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return x.float() * 2


class Returns(nn.Module):
    """A small network whose logits are handed through a function."""

    def __init__(self, result: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network, self.result = Small(), [result]

    def forward(self, x: Tensor) -> Any:
        return self.result[0](self.network(x))


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 10, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x).flatten(1)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (
            Small(on_values),
            rf"forward decides on the values of a tensor \(test_traced_refusals.py:{on_values.__code__.co_firstlineno + 1}\)",
        ),
        (Returns(lambda x: {"out": x, "aux": x}), "network: forward of Returns returns 2 values; it must return one tensor of logits"),
        (Returns(lambda x: str(x)), "network: forward of Returns returns a str; it must return one tensor of logits"),
        (
            Returns(lambda x: x[:, :, None]),
            r"forward of Returns returns a tensor of \(2, 10, 1\); it must return \(batch, classes\) ",
        ),
        (Small(lambda x: x.view(1, 2)), r"network: Small does not run on images of \(2, 3, 16, 16\) \(RuntimeError: shape"),
        (Small(lambda x: x.view(len(x), 16, 14, 14)), "network: Small cannot be traced: its forward takes len.images. as a number"),
        (
            Small(in_full_precision),
            "network: Small cannot be traced: wrap_with_autocast holds operations of its own, as .* a condition does",
        ),
        (Fixed(), r"network: no channels of Fixed can be narrowed \(only gives the logits\)"),
        (nn.Flatten(), r"network: no channels of Flatten can be narrowed \(it has no layer with a weight\)"),
    ],
)
def test_a_network_that_cannot_be_a_supernet_is_one_line(module: nn.Module, line: str):
    with pytest.raises(InputError, match=line) as error:
        Program(module, IMAGES, FINE)
    assert "\n" not in str(error.value)


def test_images_too_small_for_a_network_are_one_line():
    with pytest.raises(InputError, match=r"network: Small does not run on images of \(2, 3, 2, 2\)"):
        Program(Small(), torch.zeros(2, 3, 2, 2), FINE)


def test_images_of_other_channels_or_sides_than_traced_are_one_line():
    supernet = supernet_of(Small(lambda x: x.view(-1, 16, 14, 14)), IMAGES, FINE, free_sides=True)
    with pytest.raises(InputError, match="images have 1 channels, but the supernet was made for 3"):
        supernet.begin(IMAGES[:, :1])
    with pytest.raises(InputError, match="images of 12x16 pixels: the network was traced for 16x16, and not for such sides"):
        supernet.begin(IMAGES[:, :, :12])


def test_a_trace_that_takes_too_long_with_free_sides_has_those_of_the_images(monkeypatch: pytest.MonkeyPatch):
    def endless(x: Tensor) -> Tensor:
        while not isinstance(x.shape[2], int):  # as algebra of sides that grows with each layer
            pass
        return x

    monkeypatch.setattr(trace_module, "LONGEST", 0.2)
    supernet = supernet_of(Small(endless), IMAGES, FINE, free_sides=True)
    assert check_slices(supernet)
    with pytest.raises(InputError, match="images of 12x16 pixels: the network was traced for 16x16, and not for such sides"):
        supernet.begin(IMAGES[:, :, :12])


@pytest.mark.slow
def test_sides_for_which_a_forward_takes_another_branch_are_one_line():
    supernet = supernet_of(Everything(), IMAGES, FINE, free_sides=True)
    with pytest.raises(InputError, match="images of 4x16 pixels"):
        supernet.begin(IMAGES[:, :, :4])
    square = supernet_of(Small(lambda x: x + x.transpose(2, 3)), IMAGES, FINE, free_sides=True)
    square.begin(IMAGES[:, :, :12, :12])
    with pytest.raises(InputError, match="images of 12x16 pixels"):
        square.begin(IMAGES[:, :, :12])
    even = supernet_of(Small(lambda x: x if x.shape[2] % 4 == 2 else -x), IMAGES, FINE, free_sides=True)
    assert check_slices(even)
    with pytest.raises(InputError, match="a slice of Small differs"):  # the trace does not show the rule, the comparison does
        check_slices(even, side=14)


def test_one_value_a_channel_is_one_line():
    supernet = supernet_of(nn.Sequential(nn.Conv2d(3, 8, 16), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10)), IMAGES, FINE)
    with pytest.raises(InputError, match="batch_size: one value a channel"):
        supernet(IMAGES[:1], supernet.space.largest)


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(lambda x: x * x.shape[1] ** -0.5, id="a number of channels in a formula"),
        pytest.param(lambda x: torch.cat([x[:, 8:], x[:, :8]], 1), id="channels cut at a fixed position"),
    ],
)
def test_a_slice_that_differs_from_the_narrowed_network_is_one_line(between: Callable[[Tensor], Tensor]):
    supernet = supernet_of(Small(between), IMAGES, FINE)
    with pytest.raises(InputError, match=r"network: a slice of Small differs by .* from the network itself, narrowed .*network\.fixed"):
        check_slices(supernet)
    assert check_slices(supernet_of(Small(between), IMAGES, FINE, fixed=["one"]))


def test_an_operation_in_place_on_a_part_of_what_is_read_later_is_one_line():
    def rectify_half(x: Tensor) -> Tensor:
        x[:, :8].relu_()
        return x

    with pytest.raises(InputError, match="network: a slice of Small differs by"):
        check_slices(supernet_of(Small(rectify_half), IMAGES, FINE))


def test_a_wrong_rule_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ADAPT, "reshape", lambda *_: {})
    with pytest.raises(InputError, match=r"network: a slice of Small does not run \(4-6: shape .*network\.fixed") as error:
        check_slices(supernet_of(Small(lambda x: x.view(x.shape[0], 16, -1).view(x.shape)), IMAGES, FINE))
    assert "\n" not in str(error.value)


def test_a_candidate_outside_the_space_is_one_line():
    supernet = supernet_of(Small(), IMAGES, FINE)
    with pytest.raises(InputError, match=r"entry 2 of 4-7 \(two\): width 7 is not one of 6, 12, 18, 24"):
        supernet.space.check(Architecture((4, 7)))
