"""Choices of a traced network: names in forward order, legal widths, ties, and what is pinned, with its reason."""

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.check import check_slices
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.groups import Group
from nas_lightning.supernet.traced.program import Program
from tests.supernet.traced.networks import FINE, Attention, Everything, Small, supernet_of, traced

IMAGES = torch.zeros(2, 3, 16, 16)


def group(channels: int, per_unit: int = 1, name: str = "layer3.0.conv1") -> Group:
    return Group(name, channels // per_unit, per_unit, (name,))


def test_the_choices_of_a_network_of_all_kinds_of_layers():
    program = traced("everything", 16).program
    assert [(choice.name, choice.full, choice.layers) for choice in program.choices] == [
        ("stem.0", 24, ("stem.0",)),  # in units of a group of its norm
        ("left", 12, ("left", "grouped.0", "excited.excite")),  # the groups of the grouped convolution that read nothing of "right"
        ("excited.squeeze", 12, ("excited.squeeze",)),
        ("mixed.0", 32, ("mixed.0", "depthwise.0")),  # both halves of the chunk
        ("joined.0", 20, ("joined.0",)),
        ("head.0", 36, ("head.0",)),
    ]
    assert [layer.name for layer in program.pinned] == ["head.4", "left:2", "right"]
    assert program.sides == (16, 16, 1, 16, 8, 1)


def test_the_choices_of_a_network_of_gates():
    program = traced("gates", 16).program
    assert [(choice.name, choice.full) for choice in program.choices] == [
        ("stem.0", 32),  # both halves of the gated linear unit
        ("small", 24),
        ("chosen", 12),
        ("down.0", 28),
        ("up", 20),
        ("mixed.0", 40),
    ]
    assert program.choices[1].layers == ("small", "large", "choose")


@pytest.mark.parametrize(
    ("widths", "full", "legal"),
    [
        (Widths(), group(64), (16, 32, 48, 64)),
        (Widths(), group(20), (8, 16, 20)),
        (Widths(), group(6), (6,)),
        (Widths(divisor=1, least=1), group(6), (2, 3, 4, 6)),
        (Widths(), group(24, per_unit=6), (24,)),
        (Widths(step=8), group(28), (8, 16, 24, 28)),
        (Widths(step=4, least=12), group(20), (12, 16, 20)),
        (Widths(divisor=1, least=1), group(48, per_unit=12), (12, 24, 36, 48)),
        (Widths(ratios=(0.5,)), group(64), (32,)),
        (Widths(overrides={"layer3.*": {"ratios": [0.5, 1.0]}}), group(64), (32, 64)),
        (Widths(overrides={"layer4.*": {"ratios": [0.5, 1.0]}}), group(64), (16, 32, 48, 64)),
    ],
)
def test_legal_widths(widths: Widths, full: Group, legal: tuple[int, ...]):
    assert tuple(units * full.per_unit for units in widths.units(full)) == legal


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"ratios": []}, r"network.widths.ratios: \[\] must be one or more numbers above 0 and up to 1"),
        ({"ratios": [0, 1]}, "network.widths.ratios: .* up to 1"),
        ({"step": 0}, "network.widths.step: 0 must be at least 1"),
        ({"overrides": {"a": {"ratio": [1]}}}, "network.widths.overrides.a.ratio: is not a key; did you mean ratios?"),
        ({"overrides": {"a": {"least": 0}}}, "network.widths.least: 0 must be"),
    ],
)
def test_wrong_widths_are_one_line(settings: dict[str, object], line: str):
    with pytest.raises(InputError, match=line):
        Widths(**settings)


@pytest.mark.slow
def test_tied_choices_are_one_and_keep_about_the_same_share():
    module = Everything()
    free = Program(module, IMAGES, FINE)
    tied = Program(module, IMAGES, FINE, tie=["excited.*", "joined*"])
    assert len(tied.choices) == len(free.choices)
    tied = Program(module, IMAGES, FINE, tie=["[ej]*"])
    assert len(tied.choices) == len(free.choices) - 1
    (both,) = [choice for choice in tied.choices if len(choice.groups) > 1]
    assert both.name == "excited.squeeze"
    assert [both.units[width] for width in (3, 6, 9, 12)] == [(3, 5), (6, 10), (9, 15), (12, 20)]
    assert check_slices(supernet_of(module, IMAGES, FINE, tie=["[ej]*"]))


def test_fixed_layers_are_no_choice_and_say_so():
    program = Program(Everything(), IMAGES, FINE, fixed=["excited.squeeze"])
    assert "excited.squeeze" not in [choice.name for choice in program.choices]
    assert {layer.name: layer.reason for layer in program.pinned}["excited.squeeze"] == "is fixed by network.fixed (excited.squeeze)"


def test_a_choice_with_one_legal_width_is_none_and_says_so():
    program = Program(Everything(), IMAGES, Widths(least=12))
    assert "excited.squeeze" not in [choice.name for choice in program.choices]
    reasons = {layer.name: layer.reason for layer in program.pinned}
    assert reasons["excited.squeeze"] == "has one legal width, 12, by network.widths"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"fixed": ["layer9*"]}, r"network.fixed: layer9\* matches no layer; layers are one, two, head, ..."),
        ({"tie": ["layer9*"]}, r"network.tie: layer9\* matches no choice; choices are one, two, ..."),
        ({"widths": Widths(overrides={"x": {}})}, "network.widths.overrides: x matches no choice; choices are one, two, ..."),
        ({"fixed": ["one", "two"]}, "network: no channels of Small can be narrowed .one is fixed by network.fixed"),
    ],
)
def test_patterns_that_match_nothing_are_one_line(settings: dict[str, object], line: str):
    with pytest.raises(InputError, match=line):
        Program(Small(), IMAGES, **settings)


def test_attention_pins_what_flows_into_it_and_leaves_the_rest_free():
    supernet = supernet_of(Attention(), IMAGES, FINE)
    assert supernet.space.names == ("stem.0", "wide", "behind.0", "behind.3")
    pinned = {layer.name: layer for layer in supernet.program.pinned}
    assert pinned.keys() == {"keys", "values", "head"}
    assert pinned["keys"].channels == 32
    assert "product of two computed tensors, as in attention (matmul at networks.py:" in pinned["keys"].reason
    assert pinned["head"].reason == "gives the logits"
    assert check_slices(supernet)


def test_a_network_that_cannot_run_narrowed_is_cut_out_as_a_graph():
    family = TracedFamily(lambda: Attention(keeps_its_shape=True), "attention", 10, 3, 16, FINE)
    assert not family.cuts_natively
    supernet, images = family.supernet("batch", 0), torch.randn(2, 3, 16, 16)
    alone = family.cut(supernet, supernet.space.smallest)
    assert type(alone).__name__ == "Attention"
    torch.testing.assert_close(alone(images), supernet(images, supernet.space.smallest))


def test_the_costs_of_attention_are_counted():
    from torch.utils.flop_counter import FlopCounterMode

    module = Attention()
    program = Program(module, IMAGES, FINE)
    cost = program.cost([[choice.full for choice in program.choices]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(IMAGES)
    assert counter.get_total_flops() == 2 * 2 * cost.multiply_adds[0]
    assert sum(parameter.numel() for parameter in module.parameters()) == cost.parameters[0]


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda x: x.flip(1), "is moved along channels (flip at networks.py:"),
        (lambda x: x.roll(2), "is moved along channels (roll at networks.py:"),
        (lambda x: x.flip(3).roll((1, 2), (2, 3)), ""),
        (lambda x: torch.nn.functional.pixel_shuffle(x, 4).repeat(1, 16, 1, 1), "operation without a rule (pixel_shuffle at"),
        (lambda x: x[:, ::2].repeat_interleave(2, 1), "is sliced with a step (slice at"),
        (lambda x: torch.nn.functional.pad(x, (1, 1)), ""),
        (lambda x: torch.nn.functional.pad(x, (0, 0, 0, 0, 1, -1)), "is padded along channels (pad at networks.py:"),
        (lambda x: torch.stack([x[:, number] for number in range(16)], 1), "is read channel by channel (select at"),
    ],
)
def test_an_operation_without_a_rule_pins_what_flows_into_it(between: object, reason: str):
    program = Program(Small(between), IMAGES, FINE)
    reasons = {layer.name: layer.reason for layer in program.pinned}
    assert [choice.name for choice in program.choices] == (["two"] if reason else ["one", "two"])
    assert reason in reasons.get("one", "")


def test_channels_that_read_the_images_or_join_them_stay_whole():
    class Joins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 24, 3), nn.Linear(24, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.two(self.one(x) + x).mean((2, 3)))

    program = Program(Joins(), IMAGES, FINE)
    assert [choice.name for choice in program.choices] == ["two"]
    assert {layer.name: layer.reason for layer in program.pinned}["one"].startswith("is combined with channels that are kept whole (add")
