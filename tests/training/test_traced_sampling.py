"""Samplers and objectives on the candidates of a traced network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.errors import InputError
from nas_lightning.space import Population
from nas_lightning.supernet.traced import TracedFamily, TracedSupernet, Widths
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation, KLDivergence, SandwichDistillation
from nas_lightning.training.passes import Batched, Fastest, Sequential
from nas_lightning.training.samplers import (
    FairSampler,
    ListedSampler,
    Position,
    Sampler,
    SandwichSampler,
    SpreadSampler,
    UniformSampler,
    WideSampler,
)
from tests.stages import make_module
from tests.supernet.traced.grey import Plain

FAMILY = TracedFamily(Plain, "plain", 10, 1, 8, Widths(divisor=1, least=1))
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "uniform": lambda: UniformSampler(FAMILY.space, 0, 4),
    "wide": lambda: WideSampler(FAMILY.space, 0, 4),
    "fair": lambda: FairSampler(FAMILY.space, 0, 4),
    "sandwich": lambda: SandwichSampler(FAMILY.space, 0, 4),
    "spread": lambda: SpreadSampler(FAMILY, 0, 4),
    "listed": lambda: ListedSampler(Population.draw(FAMILY.space, 9, 0), 0, lambda population: population, 4),
}


@pytest.fixture(scope="module")
def supernet() -> TracedSupernet:
    return FAMILY.supernet("batch", 0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_legal_candidates(name: str):
    sampler = SAMPLERS[name]()
    drawn = [one for step in range(30) for one in sampler.sample(Position(0, 0, step))]
    assert len(drawn) == 120
    assert len(set(drawn)) >= 9
    for one in drawn:
        FAMILY.space.check(one)
    assert sampler.sample(Position(0, 0, 3)) == sampler.sample(Position(0, 0, 3))


def test_spread_paths_are_spread_over_the_logarithm_of_the_network_s_cost():
    ends = np.log(FAMILY.cost([FAMILY.space.smallest.widths, FAMILY.space.largest.widths]).multiply_adds)
    widths = [one.widths for step in range(100) for one in SAMPLERS["spread"]().sample(Position(0, 0, step))]
    counts, _ = np.histogram(np.log(FAMILY.cost(widths).multiply_adds), bins=4, range=tuple(ends))
    assert counts.sum() == 400
    assert 60 < counts.min() <= counts.max() < 140


@pytest.mark.parametrize(
    "objective", [CrossEntropy(), InplaceDistillation(FAMILY.space), SandwichDistillation(FAMILY.space, KLDivergence())]
)
def test_every_objective_gives_the_gradients_of_its_losses(supernet: TracedSupernet, objective: Any):
    images, labels = torch.randn(6, 1, 8, 8), torch.arange(6)
    paths = SAMPLERS["uniform"]().sample(Position(0, 0, 0))
    module = make_module(supernet, sampler=SAMPLERS["uniform"](), objective=objective)
    supernet.eval().zero_grad()  # without dropout
    passes: list[bool] = []
    _, logits, architectures = module.stage.run_passes(
        supernet, (images, labels), paths, 0.0, lambda loss, is_last: (passes.append(is_last), loss.backward())
    )
    assert len(logits) == 4
    assert passes == [False] * (len(architectures) - 1) + [True]
    found = [parameter.grad.clone() for parameter in supernet.parameters()]
    supernet.zero_grad()
    torch.stack([one.loss for one in objective(supernet, images, labels, paths)]).sum().backward()
    for parameter, gradient in zip(supernet.parameters(), found, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_paths_run_one_after_another_and_never_batched(supernet: TracedSupernet):
    Sequential().check(supernet, "stages.a.path_execution")
    Fastest().check(supernet, "stages.a.path_execution")
    with pytest.raises(InputError, match=r"^stages\.a\.path_execution: batched runs the residual networks of space alone"):
        Batched().check(supernet, "stages.a.path_execution")


def test_the_fastest_way_on_a_gpu_is_sequential_too(supernet: TracedSupernet, monkeypatch: pytest.MonkeyPatch):
    class OnGpu:
        device = torch.device("cuda")

    taken: list[type] = []
    for kind in (Sequential, Batched):
        monkeypatch.setattr(kind, "losses", lambda self, *_: taken.append(type(self)))
    Fastest().losses(CrossEntropy(), supernet, (OnGpu(), torch.zeros(1)), [])  # type: ignore[arg-type]
    assert taken == [Sequential]


def test_what_layers_draw_depends_on_the_position_alone(supernet: TracedSupernet):
    module = make_module(supernet, sampler=SAMPLERS["uniform"](), seed=3)
    assert supernet.draws
    drawn = {}
    for step in (0, 1, 0):
        module._trainer = type("T", (), {"global_rank": 0, "current_epoch": 0, "global_step": step})()
        torch.rand(step + 1)
        with module._draws(torch.device("cpu")):
            drawn.setdefault(step, []).append(torch.rand(3))
    assert torch.equal(*drawn[0])
    assert not torch.equal(drawn[0][0], drawn[1][0])
