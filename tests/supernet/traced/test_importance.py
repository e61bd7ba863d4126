"""Channels in order of importance: the widest network computes the same, and narrow ones keep the largest filters."""

import copy

import numpy as np
import pytest
import torch

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.importance import sort_by_l1
from tests.supernet.traced.networks import FINE, Everything, Small, images_of, traced

NETWORKS = [("everything", 16), ("gates", 16), ("squeezenet1_1", 32), ("shufflenet_v2_x0_5", 32)]
SLOW = [("resnet18", 64), ("mobilenet_v2", 64), ("regnet_y_400mf", 64), ("densenet121", 64)]


@pytest.mark.parametrize(("name", "side"), [*NETWORKS, *(pytest.param(*given, marks=pytest.mark.slow) for given in SLOW)])
def test_the_widest_network_computes_the_same_after_sorting(name: str, side: int):
    supernet, images = copy.deepcopy(traced(name, side)), images_of(side)
    largest = supernet.space.largest
    before, weights = supernet(images, largest), copy.deepcopy(supernet.state_dict())
    sort_by_l1(supernet)
    torch.testing.assert_close(supernet(images, largest), before, rtol=0, atol=1e-9 * float(before.detach().abs().max()))
    assert any(not torch.equal(tensor, weights[name]) for name, tensor in supernet.state_dict().items())


def test_the_first_filters_are_the_largest():
    family = TracedFamily(Small, "small", 10, 3, 16, FINE, sort="l1")
    supernet = family.supernet("batch", 0)
    for weight in (supernet.network.one.weight, supernet.network.two.weight):
        norms = weight.detach().abs().flatten(1).sum(1).numpy()
        assert (np.diff(norms) <= 0).all()
    plain = TracedFamily(Small, "small", 10, 3, 16, FINE).supernet("batch", 0)
    assert (np.diff(plain.network.one.weight.detach().abs().flatten(1).sum(1).numpy()) > 0).any()


def test_only_groups_behind_a_shuffle_keep_their_order():
    assert all(group.sortable for group in traced("everything", 16).program.grouping.groups)
    assert sum(not group.sortable for group in traced("shufflenet_v2_x0_5", 32).program.grouping.groups) == 3


def test_another_word_for_sort_is_one_line():
    with pytest.raises(InputError, match=r"network\.sort: 'l2' must be none or l1"):
        TracedFamily(Everything, "everything", 10, 3, 16, sort="l2")
