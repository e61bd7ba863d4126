"""A traced supernet where the hand-written one stands: same outputs, shared prefixes, training."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.scoring.bn_recalibration import Recalibration, _recalibrated
from nas_lightning.scoring.predictors import PREDICTORS, predict
from nas_lightning.scoring.prefix_walk import walk_prefixes
from nas_lightning.scoring.score import score_candidates
from nas_lightning.scoring.table import ScoreTable
from nas_lightning.space import Architecture, ListedSpace, Population, ResidualStructure, SearchSpace
from nas_lightning.supernet import SingleNetwork, Supernet
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.network import TracedSupernet
from tests.stages import GivenPaths, fit, loader, make_module
from tests.supernet.traced.networks import FINE, Everything, Small, images_of, some_of, supernet_of, traced


@pytest.fixture(scope="module")
def twins(track1: SearchSpace) -> tuple[Supernet, TracedSupernet]:
    structure = ResidualStructure(track1, 100)
    hand_written = Supernet(track1, 100, seed=1).double().eval()
    plain = SingleNetwork(structure, track1.largest).double()
    plain.load_state_dict({name.replace(".full.", "."): tensor for name, tensor in hand_written.state_dict().items()})
    return hand_written, supernet_of(plain, images_of(32, 2), Widths(step=4, least=4)).eval()


def test_the_twin_of_the_hand_written_supernet_finds_its_choices_in_order(twins: tuple[Supernet, TracedSupernet]):
    hand_written, traced_one = twins
    assert traced_one.space.choices == hand_written.space.choices
    makers = [set(choice.layers) for choice in traced_one.program.choices]
    for number, units in enumerate(hand_written.structure.by_layer(_module_names(hand_written))):
        assert makers[number] == {name for _, name in units}
    assert [layer.name for layer in traced_one.program.pinned] == ["classifier"]


def _module_names(supernet: Supernet) -> list[str]:
    blocks = [f"blocks.{number}.{unit.name}.conv" for number, block in enumerate(supernet.structure.blocks) for unit in block]
    return ["stem.conv", *blocks]


def test_the_twin_gives_the_outputs_and_costs_of_the_hand_written_supernet(twins: tuple[Supernet, TracedSupernet]):
    hand_written, traced_one = twins
    images, architectures = images_of(32), some_of(traced_one, 5)
    for architecture in architectures:
        torch.testing.assert_close(traced_one(images, architecture), hand_written(images, architecture), rtol=0, atol=1e-12)
    widths = [architecture.widths for architecture in architectures]
    for mine, other in zip(traced_one.program.cost(widths), hand_written.structure.cost(widths), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(("name", "side"), [("everything", 16), ("shufflenet_v2_x0_5", 32)])
@pytest.mark.parametrize("memory", [0, 10_000, 2**30])
def test_shared_prefixes_change_no_bit(name: str, side: int, memory: int):
    supernet, images = traced(name, side), images_of(side)
    architectures = sorted(set(some_of(supernet, 12)), key=lambda architecture: architecture.widths)
    with torch.inference_mode():
        for architecture, logits in zip(architectures, walk_prefixes(supernet, architectures, supernet.begin(images), memory), strict=True):
            assert torch.equal(logits, supernet(images, architecture))


def test_shared_prefixes_run_fewer_operations(monkeypatch: pytest.MonkeyPatch):
    supernet, images = traced("everything", 16), images_of(16)
    widths = supernet.space.smallest.widths
    last = [type(supernet.space.smallest)((*widths[:-1], width)) for width in supernet.space.choices[-1]]
    layers = []
    extend = TracedSupernet.extend
    monkeypatch.setattr(
        TracedSupernet, "extend", lambda self, features, layer, width: layers.append(layer) or extend(self, features, layer, width)
    )
    with torch.inference_mode():
        list(walk_prefixes(supernet, last, supernet.begin(images), 2**30))
    assert len(layers) == len(widths) + len(last) - 1


def test_candidates_are_scored_as_with_the_hand_written_supernet():
    supernet = supernet_of(Everything(), images_of(16).float(), FINE)
    population = Population.draw(supernet.space, 6, 0)
    images, labels = images_of(16, 12).float(), torch.arange(12) % 10
    for candidate, score in zip(
        population.architectures, score_candidates(supernet, population.architectures, images, labels), strict=True
    ):
        with torch.no_grad():
            assert score.cross_entropy == pytest.approx(float(F.cross_entropy(supernet(images, candidate), labels)), rel=1e-6)


def test_a_supernet_learns_and_keeps_nothing_of_a_candidate():
    supernet = supernet_of(Small(), images_of(16).float(), FINE).train()
    images, labels = images_of(16, 10).float(), torch.arange(10)
    optimizer = torch.optim.Adam(supernet.parameters(), lr=0.02)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    first = float(F.cross_entropy(supernet(images, supernet.space.largest), labels).detach())
    for _ in range(30):
        for architecture in (supernet.space.largest, supernet.space.smallest):
            optimizer.zero_grad()
            F.cross_entropy(supernet(images, architecture), labels).backward()
            optimizer.step()
    assert float(F.cross_entropy(supernet(images, supernet.space.largest), labels).detach()) < first / 2
    supernet.load_state_dict(before)
    assert float(F.cross_entropy(supernet(images, supernet.space.largest), labels).detach()) == pytest.approx(first)


def test_a_supernet_of_batch_statistics_has_no_running_averages():
    names = set(traced("everything", 16).state_dict())
    assert names == {f"network.{name}" for name, _ in Everything().named_parameters()}
    running = set(traced("everything", 16, "running").state_dict())
    assert {name.rpartition(".")[2] for name in running - names} == {"running_mean", "running_var"}


class Views(nn.Module):
    """Flattens by a view, as the oldest networks do, which images in channels_last do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 8, 5), nn.Linear(8 * 36, 20), nn.Linear(20, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 2)
        return self.head(self.two(x.view(x.size(0), -1)).relu())


def test_a_view_of_the_user_s_runs_in_any_memory_format():
    for channels_last in (True, False):
        supernet = TracedFamily(Views, "views", 10, 3, 16, FINE).supernet("batch", 0, channels_last)
        assert supernet.space.names == ("one", "two")
        assert supernet(images_of(16).float(), supernet.space.smallest).shape == (4, 10)


def test_lower_precision_gives_about_the_same_logits(family: TracedFamily):
    supernet, images = family.supernet("batch", 0).eval(), images_of(16).float()
    exact = supernet(images, supernet.space.smallest)
    with torch.autocast("cpu", torch.bfloat16):
        rough = supernet(images, supernet.space.smallest)
    assert rough.dtype is torch.bfloat16
    assert 0 < float((rough - exact).detach().abs().max()) < 0.1 * float(exact.detach().abs().max())


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_stage_trains_a_traced_supernet_with_the_summed_gradients_of_its_paths(tmp_path: Path):
    supernet = TracedFamily(Small, "small", 10, 3, 8, FINE).supernet("batch", 0).double()
    paths = some_of(supernet, 3)
    expected = copy.deepcopy(supernet)
    images, labels = loader().dataset[:6]
    for architecture in paths:
        F.cross_entropy(expected(images, architecture), labels).backward()
    record = fit(tmp_path, make_module(supernet, sampler=GivenPaths([paths])))
    assert len(record.rates) == 3
    for gradient, parameter in zip(record.gradients[0], expected.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=1e-12)


def test_the_user_s_module_is_left_as_it_was():
    module = Everything().train()
    before = copy.deepcopy(module.state_dict())
    supernet = supernet_of(module, images_of(16).float(), FINE)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert module.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_header_names_the_space_and_changes_with_the_ties():
    supernet = supernet_of(Small(), images_of(16).float(), FINE)
    header = supernet.header()
    assert ListedSpace(**header["space"]) == supernet.space
    assert {key: header[key] for key in ("kind", "classes", "channels", "norm")} == {
        "kind": "traced",
        "classes": 10,
        "channels": 3,
        "norm": "batch",
    }
    other = Small()
    other.two = nn.Conv2d(16, 25, 3)
    other.head = nn.Linear(25, 10)
    assert supernet_of(Small(), images_of(16).float(), FINE).program.ties == supernet.program.ties
    assert supernet_of(other, images_of(16).float(), FINE).program.ties != supernet.program.ties
    assert supernet_of(Small(lambda x: x.flip(1)), images_of(16).float(), FINE).program.ties != supernet.program.ties


@pytest.fixture(scope="module")
def family() -> TracedFamily:
    return TracedFamily(Everything, "everything", 10, 3, 16, FINE)


def test_a_family_s_supernet_begins_with_the_weights_of_its_seed(family: TracedFamily):
    first, again, other = (family.supernet("batch", seed) for seed in (1, 1, 2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(first.network.left.weight, other.network.left.weight)
    torch.manual_seed(1)
    assert torch.equal(Everything().left.weight, first.network.left.weight)


def test_a_candidate_cut_out_is_the_user_s_class_and_independent(family: TracedFamily):
    supernet, images = family.supernet("batch", 0).eval(), images_of(16).float()
    architecture = some_of(supernet, 2)[1]
    alone = family.cut(supernet, architecture)
    assert type(alone) is Everything
    before = alone(images)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert torch.equal(alone(images), before)
    with pytest.raises(InputError, match="entry 1 of 7-6-3-8-5-9"):
        family.cut(supernet, Architecture((7, 6, 3, 8, 5, 9)))


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_candidate_alone_has_weights_as_large_as_its_own_widths_need(family: TracedFamily, norm: str):
    smallest = family.space.smallest
    alone, again, other = (family.alone(smallest, norm, seed) for seed in (1, 1, 2))
    costs = family.cost([smallest.widths])
    assert sum(parameter.numel() for parameter in alone.parameters()) == costs.parameters[0]
    assert torch.equal(alone.joined[0].weight, again.joined[0].weight)
    assert not torch.equal(alone.joined[0].weight, other.joined[0].weight)
    bound = alone.joined[0].weight.shape[1] ** -0.5  # PyTorch's, 1x1 window
    assert 0.8 * bound < float(alone.joined[0].weight.detach().abs().max()) <= bound
    assert (alone.joined[1].running_mean is None) == (norm == "batch")
    loss = F.cross_entropy(alone.train()(images_of(16).float()), torch.arange(4))
    loss.backward()
    assert all(parameter.grad is not None for parameter in alone.parameters())


def test_another_number_of_outputs_than_classes_is_one_line():
    with pytest.raises(InputError, match="network: small has 10 outputs, but the images have 100 classes"):
        _ = TracedFamily(Small, "small", 100, 3, 16).space


def test_auxiliary_heads_are_no_part_of_a_candidate():
    class WithAuxiliaryHead(Small):
        def __init__(self) -> None:
            super().__init__()
            self.auxiliary = nn.Linear(24, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = super().forward(x)
            return (logits, self.auxiliary(torch.zeros(len(x), 24))) if self.training else logits  # type: ignore[return-value]

    family = TracedFamily(WithAuxiliaryHead, "auxiliary", 10, 3, 16)
    assert not family.cuts_natively
    assert set(family.alone(family.space.smallest, "batch").state_dict()) == set(Small().state_dict())


def test_a_header_is_compared_with_what_is_traced_now(family: TracedFamily):
    header = family.supernet("batch", 0).header()
    assert family.what_differs(header) is None
    assert family.what_differs({**header, "classes": 7}) == "classes: 10 here, 7 there"
    assert family.what_differs({**header, "space": None}) is not None
    assert family.what_differs({**header, "ties": "0"}) == "tensors of other shapes, or other channels that are tied"
    space = header["space"]
    choices = [*space["choices"][:2], [3, 6, 12], *space["choices"][3:]]
    altered = {**header, "space": {**space, "choices": choices}}
    assert family.what_differs(altered) == "choice 3: excited.squeeze of 3, 6, 9, 12 here, excited.squeeze of 3, 6, 12 there"
    fewer = {**header, "space": {**space, "names": space["names"][:-1], "choices": space["choices"][:-1]}}
    assert family.what_differs(fewer) == "6 choices here, 5 there"


def test_tables_and_predictors_take_a_traced_network():
    supernet = supernet_of(Everything(), images_of(16).float()).eval()
    population = Population.draw(supernet.space, 40, 0)
    images, labels = images_of(16, 12).float(), torch.arange(12) % 10
    scores = score_candidates(supernet, population.architectures, images, labels)
    table = ScoreTable.of(population, scores, supernet.structure)
    costs = supernet.program.cost(population.widths)
    np.testing.assert_array_equal(table.parameters, costs.parameters)
    predicted, prediction = predict(PREDICTORS["monotone_with_capacity"], supernet.structure, population, scores, population, 0)
    assert len(predicted) == 40
    assert [effect.layer for effect in prediction.effects] == list(supernet.space.names)
    assert [effect.stage for effect in prediction.effects] == ["16", "16", "1", "16", "8", "1"]


@torch.no_grad()
def test_a_recalibrated_score_tries_no_candidate_as_the_user_s_class(family: TracedFamily, monkeypatch: pytest.MonkeyPatch):
    supernet, images, labels = family.supernet("batch", 0).eval(), images_of(16, 12).float(), torch.arange(12) % 10
    architecture, recalibration = family.space.smallest, Recalibration(images_of(16, 20).float(), 10)
    (expected,) = recalibration.logits(supernet, [architecture], images)
    own = family.cut(supernet, architecture)
    assert isinstance(own, Everything)
    torch.testing.assert_close(_recalibrated(own, recalibration.images.split(10))(images), expected)
    monkeypatch.setattr(TracedFamily, "cut", None)
    (score,) = score_candidates(supernet, [architecture], images, labels, recalibration=recalibration)
    assert score.cross_entropy == pytest.approx(float(F.cross_entropy(expected, labels)), rel=1e-5)


def test_recalibrated_scores_do_not_depend_on_how_images_are_batched():
    supernet = supernet_of(Everything(), images_of(16).float()).eval()
    architectures = Population.draw(supernet.space, 3, 0).architectures
    images, labels = images_of(16, 12).float(), torch.arange(12) % 10
    recalibration = Recalibration(torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 10)
    scores = [score_candidates(supernet, architectures, images, labels, size, recalibration=recalibration) for size in (12, 5)]
    plain = [score_candidates(supernet, architectures, images, labels, size) for size in (12, 5)]
    for one, other in zip(*scores, strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)
    assert plain[0][0].cross_entropy != pytest.approx(plain[1][0].cross_entropy, rel=1e-5)
    # With the images themselves as the only batch, the statistics are those of the batch.
    own = score_candidates(supernet, architectures, images, labels, recalibration=Recalibration(images, 12))
    for one, other in zip(own, plain[0], strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)
