"""A family builds what it says and costs what it builds."""

import pytest
import torch

from nas_lightning.rng import generator
from nas_lightning.space import SearchSpace, ShortcutRule
from nas_lightning.supernet import ResidualFamily, Supernet, cut

SPACE = SearchSpace("two widths", (2, 2), (4, 8), 4, 8)  # half of the later blocks keep their width


@pytest.fixture(params=list(ShortcutRule))
def family(request: pytest.FixtureRequest) -> ResidualFamily:
    return ResidualFamily(SPACE, classes=5, channels=1, shortcuts=request.param)


def test_a_candidate_alone_has_the_layers_cut_out_of_the_supernet(family: ResidualFamily) -> None:
    supernet = family.supernet("running", seed=1)
    for architecture in SPACE.sample_distinct(16, generator(0, "test")):
        alone, cut_out = (network.state_dict() for network in (family.alone(architecture, "running"), cut(supernet, architecture)))
        assert {name: tensor.shape for name, tensor in alone.items()} == {name: tensor.shape for name, tensor in cut_out.items()}


def test_the_cost_of_a_candidate_is_that_of_what_is_built(family: ResidualFamily) -> None:
    architectures = SPACE.sample_distinct(16, generator(1, "test"))
    built = [sum(one.numel() for one in family.alone(architecture, "batch").parameters()) for architecture in architectures]
    assert family.cost([architecture.widths for architecture in architectures]).parameters.tolist() == built


def test_a_supernets_header_is_its_familys_and_rebuilds_it(family: ResidualFamily) -> None:
    supernet = family.supernet("batch", seed=1)
    assert supernet.header() == {**family.header(), "norm": "batch"}
    assert Supernet.from_header(supernet.header()).header() == supernet.header()


def test_a_cut_out_network_keeps_the_precision_of_its_supernet(family: ResidualFamily) -> None:
    supernet = family.supernet("batch", seed=1).double()
    supernet.stem.conv.full.weight.data += 1e-12  # that weights in single precision would lose
    assert torch.equal(cut(supernet, SPACE.largest).stem.conv.weight, supernet.stem.conv.full.weight)
