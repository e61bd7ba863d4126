"""A space whose choices are listed behaves as one that is derived from stages."""

from typing import Any

import numpy as np
import pytest

from nas_lightning.errors import InputError
from nas_lightning.space import ListedSpace, SearchSpace, Space

GIVEN: dict[str, Any] = {"name": "listed", "names": ["conv1", "layer1.0"], "choices": [[4, 8], [6, 12, 18]], "resolution": 32}


def test_both_kinds_of_space_draw_the_same_candidates_of_the_same_choices(any_space: SearchSpace):
    listed = ListedSpace("listed", any_space.names, any_space.choices, any_space.resolution)
    assert isinstance(any_space, Space)
    assert (listed.size, listed.layers, listed.largest, listed.smallest) == (
        any_space.size,
        any_space.layers,
        any_space.largest,
        any_space.smallest,
    )
    of_listed, of_stages = (space.sample_distinct(20, np.random.default_rng(3)) for space in (listed, any_space))
    assert of_listed == of_stages
    assert [listed.parse(listed.text(drawn)) for drawn in of_listed] == of_listed


def test_a_header_rebuilds_the_space():
    space = ListedSpace(**GIVEN)
    assert space.header() == GIVEN
    assert ListedSpace(**space.header()) == space
    assert hash(ListedSpace(**space.header())) == hash(space)


def test_a_wrong_width_names_its_choice():
    with pytest.raises(InputError, match=r"entry 2 of 4-7 \(layer1\.0\): width 7 is not one of 6, 12, 18"):
        ListedSpace(**GIVEN).parse("4-7")


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"names": ["conv1"]}, "space.names: 1 names for 2 choices"),
        ({"names": [], "choices": []}, "space.names: 0 names for 0 choices"),
        ({"names": ["conv1", "conv1"]}, "space.names: conv1 stands twice"),
        ({"choices": [[4, 8], [12, 6]]}, r"space.choices: layer1.0: \[12, 6\] must be one or more ascending integers"),
        ({"choices": [[4, 8], [6, 6]]}, "space.choices: layer1.0"),
        ({"choices": [[0, 8], [6]]}, "space.choices: conv1"),
        ({"choices": [[], [6]]}, "space.choices: conv1"),
        ({"choices": [[True], [6]]}, "space.choices: conv1"),
        ({"resolution": 0}, "space.resolution: 0 must be an integer of at least 1"),
    ],
)
def test_a_wrong_space_is_one_line(changed: dict[str, Any], line: str):
    with pytest.raises(InputError, match=line):
        ListedSpace(**{**GIVEN, **changed})
