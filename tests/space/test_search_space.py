"""What a candidate is, and which candidates there are."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, Candidate, ResidualStructure, SearchSpace
from nas_lightning.supernet import Supernet

CODE = "16-4-12-16-8-16-16-24-12-8-16-4-32-52-52-52-20-40-8-44"  # the first of the official list
FIRST_19 = (16, 4, 12, 16, 8, 16, 16, 24, 12, 8, 16, 4, 32, 52, 52, 52, 20, 40, 8)
GOOD: dict[str, Any] = {"name": "s", "blocks": (1, 2), "max_widths": (4, 8), "width_step": 2, "resolution": 8, "trailing_entries": 0}
NOT_INTEGERS = ["+4", " 4", "4 ", "4.0", "", "1_6", "-4", "0x4", "4e0", "four", "\uff14", "\u0664", "²", "\n4", "4\x00"]


def replaced(entry: int, text: str) -> str:
    entries = CODE.split("-")
    entries[entry - 1] = text
    return "-".join(entries)


def test_the_challenge_has_2_to_the_56_candidates_of_19_layers(track1: SearchSpace) -> None:
    assert track1.size == 2**56
    assert track1.layers == 19


def test_the_challenge_takes_multiples_of_4_up_to_16_then_32_then_64(track1: SearchSpace) -> None:
    expected = [tuple(range(4, most + 1, 4)) for most in [16] * 7 + [32] * 6 + [64] * 6]
    assert list(track1.choices) == expected
    assert track1.largest.widths == (16,) * 7 + (32,) * 6 + (64,) * 6
    assert track1.smallest.widths == (4,) * 19


def test_the_challenge_has_nine_blocks_of_entries_2_and_3_to_18_and_19(track1: SearchSpace) -> None:
    found = [(block.first + 1, block.second + 1, block.stride, block.side, block.opens_stage) for block in track1.residual_blocks]
    assert found == [
        (2, 3, 1, 32, True),
        (4, 5, 1, 32, False),
        (6, 7, 1, 32, False),
        (8, 9, 2, 16, True),
        (10, 11, 1, 16, False),
        (12, 13, 1, 16, False),
        (14, 15, 2, 8, True),
        (16, 17, 1, 8, False),
        (18, 19, 1, 8, False),
    ]
    assert all(block.source == block.first - 1 for block in track1.residual_blocks)


def test_layers_are_named_by_their_place_in_the_network(track1: SearchSpace) -> None:
    names = track1.names
    assert len(names) == track1.layers
    assert names[:4] == ("stem", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1")
    assert names[-1] == "blocks.8.conv2"
    for block in track1.residual_blocks:
        assert [names[layer].split(".")[2] for layer in (block.first, block.second)] == ["conv1", "conv2"]


def test_resnet32_has_31_layers_and_resnet_tiny_7(any_space: SearchSpace) -> None:
    assert any_space.layers == len(any_space.choices) == {"resnet20_track1": 19, "resnet32": 31, "resnet_tiny": 7}[any_space.name]


def test_an_odd_side_is_halved_upwards_as_a_padded_convolution_does() -> None:
    space = SearchSpace("odd", (1, 1, 1), (4, 4, 4), 4, resolution=11)
    convolution = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
    after_two = convolution(torch.zeros(1, 1, 11, 11))
    after_three = convolution(after_two)
    assert [block.side for block in space.residual_blocks] == [11, after_two.shape[2], after_three.shape[2]]


def test_a_code_of_20_and_its_first_19_entries_are_one_architecture(track1: SearchSpace) -> None:
    long, short = track1.parse(CODE), track1.parse(CODE.rsplit("-", 1)[0])
    assert long == short
    assert hash(long) == hash(short)
    assert long.widths == FIRST_19


def test_entry_20_changes_neither_cost_nor_output(track1: SearchSpace) -> None:
    first, second = track1.parse(replaced(20, "4")), track1.parse(replaced(20, "64"))
    assert first == second
    assert ResidualStructure(track1, 100).cost([first.widths]) == ResidualStructure(track1, 100).cost([second.widths])
    supernet, images = Supernet(track1, classes=5), torch.randn(2, 3, 8, 8)
    assert torch.equal(supernet(images, first), supernet(images, second))


def test_rows_that_differ_only_in_entry_20_are_equal(track1: SearchSpace) -> None:
    texts = replaced(20, "4"), replaced(20, "64")
    first, second = (Candidate(f"arch{number}", text, track1.parse(text)) for number, text in enumerate(texts))
    assert first == second
    assert len({first, second}) == 1
    assert (first.text, second.text) == texts


def test_written_codes_have_20_entries_and_read_back(track1: SearchSpace) -> None:
    rng = generator(0, "test")
    for architecture in [track1.largest, track1.smallest, *(track1.sample(rng) for _ in range(50))]:
        text = track1.text(architecture)
        assert len(text.split("-")) == 20
        assert track1.parse(text) == architecture
        assert track1.parse(str(architecture)) == architecture


@pytest.mark.parametrize(
    ("entry", "value", "legal"),
    [
        (1, "20", "4, 8, 12, 16"),
        (1, "0", "4, 8, 12, 16"),
        (7, "32", "4, 8, 12, 16"),
        (8, "36", "4, 8, 12, 16, 20, 24, 28, 32"),
        (13, "6", "4, 8, 12, 16, 20, 24, 28, 32"),
        (14, "68", "4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64"),
        (20, "5", "4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64"),
        (2, "9" * 50, "4, 8, 12, 16"),
    ],
)
def test_a_code_outside_is_refused_naming_entry_value_and_legal_widths(track1: SearchSpace, entry: int, value: str, legal: str) -> None:
    with pytest.raises(InputError) as refused:
        track1.parse(replaced(entry, value))
    assert f"entry {entry} of {replaced(entry, value)}" in str(refused.value)
    assert f"width {value} is not one of {legal}" in str(refused.value)
    assert f"({track1.names[entry - 1] if entry < 20 else 'read by no layer'})" in str(refused.value)


@pytest.mark.parametrize("entries", [1, 7, 18, 21, 40])
def test_a_code_of_another_length_is_refused_naming_both_lengths(track1: SearchSpace, entries: int) -> None:
    with pytest.raises(InputError, match=f"has {entries} entries; space resnet20_track1 takes 19 or 20"):
        track1.parse("-".join(["4"] * entries))


def test_a_space_without_trailing_entries_takes_no_longer_code() -> None:
    space = SearchSpace(**GOOD)
    assert space.parse("4-2-4-8-8-2-2").widths == (4, 2, 4, 8, 8, 2, 2)
    with pytest.raises(InputError, match=r"has 8 entries; space s takes 7$"):
        space.parse("4-2-4-8-8-2-2-2")


@pytest.mark.parametrize("entry", [1, 10, 20])
@pytest.mark.parametrize("text", NOT_INTEGERS)
def test_an_entry_that_is_not_plain_digits_is_refused(track1: SearchSpace, entry: int, text: str) -> None:
    with pytest.raises(InputError):
        track1.parse(replaced(entry, text))


@pytest.mark.parametrize("text", [*NOT_INTEGERS, "4-", "-", "--", "4--8", "4,8", "4 - 8"])
def test_architecture_refuses_what_is_not_plain_integers(text: str) -> None:
    with pytest.raises(ValueError, match="is not an integer"):
        Architecture.parse(text)


@pytest.mark.parametrize("text", ["", "abc", "9" * 5000])
def test_a_wild_code_is_an_input_error(track1: SearchSpace, text: str) -> None:
    with pytest.raises(InputError):
        track1.parse(text)


def test_an_architecture_is_an_immutable_value() -> None:
    architecture = Architecture.parse("16-8-12")
    assert architecture == Architecture((16, 8, 12))
    assert str(architecture) == "16-8-12"
    assert {architecture: 1}[Architecture((16, 8, 12))] == 1
    with pytest.raises(AttributeError):
        architecture.widths = (4,)  # type: ignore[misc]


def test_check_takes_what_is_in_the_space_and_refuses_the_rest(small: SearchSpace) -> None:
    legal = set(itertools.product(*small.choices))
    for widths in itertools.product(range(1, 6), range(1, 6), (2, 3, 4), (2, 8, 10), (2, 7)):
        if widths in legal:
            small.check(Architecture(widths))
        else:
            with pytest.raises(InputError, match=r"entry \d of .*is not one of"):
                small.check(Architecture(widths))
    with pytest.raises(InputError, match="has 4 entries"):
        small.check(Architecture((2, 2, 2, 2)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("blocks", ()),
        ("blocks", (0, 1)),
        ("blocks", (1, -1)),
        ("blocks", (1, 1.0)),
        ("blocks", (True, 1)),
        ("blocks", ("1", 1)),
        ("blocks", (1, 1, 1)),
        ("max_widths", (4,)),
        ("max_widths", (4, 0)),
        ("max_widths", (4, 7)),
        ("max_widths", (4, 8.0)),
        ("width_step", 0),
        ("width_step", -2),
        ("width_step", 2.0),
        ("width_step", True),
        ("width_step", None),
        ("width_step", 3),
        ("resolution", 3),
        ("resolution", "32"),
        ("trailing_entries", -1),
        ("trailing_entries", 0.5),
    ],
)
def test_a_space_refuses_bad_arguments_naming_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=r"space\.") as refused:
        SearchSpace(**{**GOOD, key: value})
    shown = repr(list(value)) if isinstance(value, tuple) else repr(value)
    assert shown in str(refused.value) or str(len(value)) in str(refused.value)


def test_a_space_is_rebuilt_equal_from_its_header(any_space: SearchSpace) -> None:
    rebuilt = SearchSpace(**any_space.header())
    assert rebuilt == any_space
    assert hash(rebuilt) == hash(any_space)
    assert rebuilt.choices == any_space.choices


def test_sampled_widths_are_plain_legal_integers(any_space: SearchSpace) -> None:
    rng = generator(0, "test")
    for architecture in (*(any_space.sample(rng) for _ in range(20)), *any_space.sample_distinct(20, rng)):
        any_space.check(architecture)
        assert all(type(width) is int for width in architecture.widths)


@pytest.mark.parametrize("way", ["sample", "sample_distinct"])
def test_every_layer_is_drawn_uniformly(track1: SearchSpace, way: str) -> None:
    rng = generator(3, "test")
    count = 4000
    drawn = [track1.sample(rng) for _ in range(count)] if way == "sample" else track1.sample_distinct(count, rng)
    columns = np.array([architecture.widths for architecture in drawn]).T
    for column, legal in zip(columns, track1.choices, strict=True):
        counts = [int((column == width).sum()) for width in legal]
        assert sum(counts) == count
        assert stats.chisquare(counts).pvalue > 1e-4


def test_layers_are_drawn_independently(small: SearchSpace) -> None:
    rng = generator(4, "test")
    counts = dict.fromkeys(itertools.product(*small.choices), 0)
    for _ in range(12_800):
        counts[small.sample(rng).widths] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_the_whole_space_can_be_drawn_each_candidate_once(small: SearchSpace) -> None:
    drawn = small.sample_distinct(small.size, generator(0, "test"))
    assert {architecture.widths for architecture in drawn} == set(itertools.product(*small.choices))
    assert len(drawn) == small.size == 128


@pytest.mark.parametrize("count", [5, 31, 32, 33, 64])
def test_distinct_candidates_are_uniform_by_either_way_of_drawing(small: SearchSpace, count: int) -> None:
    rounds = 6400 // count
    counts = dict.fromkeys(itertools.product(*small.choices), 0)
    for seed in range(rounds):
        drawn = small.sample_distinct(count, generator(seed, "test"))
        assert len(set(drawn)) == count
        for architecture in drawn:
            counts[architecture.widths] += 1
    # Without replacement a cell varies less than multinomial, by the share that is left.
    expected = rounds * count / small.size
    statistic = sum((found - expected) ** 2 for found in counts.values()) / expected / (1 - count / small.size)
    assert 1e-4 < stats.chi2.sf(statistic, small.size - 1) < 1 - 1e-4


@pytest.mark.parametrize("count", [0, -1, 129])
def test_more_candidates_than_the_space_has_are_refused(small: SearchSpace, count: int) -> None:
    with pytest.raises(InputError, match=f"cannot draw {count} distinct candidates: space small has 128"):
        small.sample_distinct(count, generator(0, "test"))
