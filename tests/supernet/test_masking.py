"""Slicing against the original way: full width, then a mask."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks.masked_network import MaskedNetwork
from nas_lightning.rng import generator
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet


@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
@pytest.mark.parametrize("space_name", ["track1", "tiny"])
def test_masking_at_full_width_equals_slicing_forward_and_backward(request: pytest.FixtureRequest, space_name: str, shortcuts: str) -> None:
    space: SearchSpace = request.getfixturevalue(space_name)
    supernet = Supernet(space, 5, shortcuts=shortcuts).double()
    masked = MaskedNetwork(supernet)
    rng, draws = torch.Generator().manual_seed(0), generator(0, "test")
    images, labels = torch.randn(4, 3, 8, 8, generator=rng, dtype=torch.float64), torch.randint(5, (4,), generator=rng)
    for architecture in [space.largest, space.smallest, *(space.sample(draws) for _ in range(10))]:
        outputs, gradients = [], []
        for network in (supernet, masked):
            supernet.zero_grad()
            logits = network(images, architecture)
            F.cross_entropy(logits, labels).backward()
            outputs.append(logits.detach())
            gradients.append([None if parameter.grad is None else parameter.grad.clone() for parameter in supernet.parameters()])
        torch.testing.assert_close(outputs[0], outputs[1])
        torch.testing.assert_close(gradients[0], gradients[1])


def test_the_masked_network_has_the_supernets_parameters_and_no_other(tiny: SearchSpace) -> None:
    supernet = Supernet(tiny, 5)
    assert {id(one) for one in MaskedNetwork(supernet).parameters()} == {id(one) for one in supernet.parameters()}


def test_the_masked_network_refuses_running_statistics(tiny: SearchSpace) -> None:
    with pytest.raises(ValueError, match="batch statistics only"):
        MaskedNetwork(Supernet(tiny, 5, norm="running"))
