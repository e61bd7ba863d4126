"""The union-find over channels, and the positions that a candidate keeps."""

import numpy as np
import pytest
import torch

from nas_lightning.supernet.traced.channel_ids import ChannelIds
from tests.supernet.traced.networks import some_of, traced


def test_tied_ids_are_one_class_however_they_were_tied():
    ids = ChannelIds()
    a, b, c = ids.fresh(4), ids.fresh(4), ids.fresh(4)
    ids.unify(a, b)
    ids.unify(c, b[::-1])
    np.testing.assert_array_equal(ids.find(a), ids.find(c[::-1]))
    assert len(set(ids.find(np.concatenate([a, b, c])).tolist())) == 4


def test_a_reason_spreads_to_all_that_is_tied_before_or_after_and_the_first_counts():
    ids = ChannelIds()
    a, b, c = ids.fresh(3), ids.fresh(3), ids.fresh(3)
    ids.unify(a, b)
    ids.pin(b[:1], "first")
    ids.pin(a[:1], "second")
    ids.unify(c[:1], a[:1])
    assert ids.pinned(c).tolist() == [True, False, False]
    assert ids.reason(int(c[0])) == ids.reason(int(a[0])) == "first"
    assert ids.narrows(c)
    ids.pin(c, "third")
    assert not ids.narrows(c)
    assert ids.narrows(a)


def test_a_side_without_channels_pins_the_other():
    ids = ChannelIds()
    a = ids.fresh(2)
    ids.tie(None, a, "reads the images")
    assert ids.reason(int(a[1])) == "reads the images"
    ids.tie(None, None, "nothing")


def test_equal_parts_tie_sizes_where_that_is_enough_and_else_channels():
    ids = ChannelIds()
    a = ids.fresh(3)
    halves = ids.equal_parts(np.concatenate([a, a]), 2)  # each class twice: once in either half
    np.testing.assert_array_equal(halves[0], a)
    np.testing.assert_array_equal(halves[1], a)
    assert len(set(ids.find(a).tolist())) == 3
    b = ids.fresh(4)
    first, second = ids.equal_parts(b, 2)
    np.testing.assert_array_equal(ids.find(first), ids.find(second))


@pytest.mark.parametrize(("name", "side"), [("everything", 16), ("squeezenet1_1", 32), ("shufflenet_v2_x0_5", 32)])
def test_narrowing_keeps_the_first_units_of_every_group(name: str, side: int):
    supernet = traced(name, side)
    program = supernet.program
    for architecture in some_of(supernet, 5):
        units = program.units(architecture.widths)
        for index, tensor in supernet.tensors.items():
            for dim, layout in enumerate(program.layouts[index][0]):
                if layout is not None:
                    kept = layout.kept(units)
                    assert kept.tolist() == [
                        place
                        for place, (group, rank) in enumerate(zip(layout.group.tolist(), layout.rank.tolist(), strict=True))
                        if group == -1 or rank < units[group]
                    ]
                    assert len(kept) == layout.count(units) == layout.counts(np.array([units]))[0]
                    assert torch.equal(layout.narrow(tensor, dim, units), tensor.index_select(dim, torch.from_numpy(kept)))
