"""A search among the candidates of a traced network: lists of widths of any length, no evenly spaced steps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from nas_lightning.scoring.table import Score
from nas_lightning.search.algorithms import ALGORITHMS
from nas_lightning.search.latency import Latencies, terms
from nas_lightning.search.limits import resolve
from nas_lightning.search.problem import Problem, counted
from nas_lightning.search.run import Search, best_under
from nas_lightning.search.starts import STARTS, Fresh, Spread
from nas_lightning.space import Architecture, Structure
from nas_lightning.supernet import cut
from nas_lightning.supernet.traced import Widths
from tests.supernet.traced.networks import Everything, images_of, supernet_of

UNEVEN = Widths(divisor=1, least=2, overrides={"head.*": {"ratios": [0.5, 1.0]}, "excited.*": {"step": 1}})
SUPERNET = supernet_of(Everything(), images_of(16).float(), UNEVEN)
STRUCTURE: Structure = SUPERNET.structure


def problem(**budgets: float) -> Problem:
    return Problem(STRUCTURE.space, counted(STRUCTURE.cost), (budgets,) if budgets else ({},))


def evaluate(_: int, architectures: list[Architecture]) -> list[Score]:
    return [Score(0.5, 1.0, 3 - float(np.log(one.widths).sum()) / 10) for one in architectures]


def test_the_start_is_spread_over_the_logarithm_of_the_cost():
    assert len({len(legal) for legal in STRUCTURE.space.choices}) > 1
    low, high = (np.log(end) for end in problem().ends("multiply_adds"))
    rows = np.concatenate([next(Spread().stream(problem(), seed)) for seed in range(20)])
    logs = (np.log(problem().costs(rows)["multiply_adds"]) - low) / (high - low)
    assert kstest(logs, "uniform").statistic < 0.3
    assert logs.min() < 0.2
    assert logs.max() > 0.8


@pytest.mark.parametrize("algorithm", ["nsga2", "random"])
def test_the_chosen_of_two_budgets_are_legal_and_keep_to_them(algorithm: str):
    limits = resolve({"multiply_adds": ["50%", "80%"]}, {name: problem().ends(name) for name in ("multiply_adds", "parameters")})
    whole = Search(
        problem=Problem(STRUCTURE.space, counted(STRUCTURE.cost), limits),
        algorithm=ALGORITHMS[algorithm],
        start=STARTS["spread"],
        objective="cross_entropy",
        evaluations=120,
        population=20,
        seed=0,
    )
    rows = whole.run(evaluate).rows
    assert len({row.architecture for row in rows}) == 120
    for row in rows:
        STRUCTURE.space.check(row.architecture)
        assert STRUCTURE.cost([row.architecture.widths]).multiply_adds[0] <= limits[-1]["multiply_adds"]
    small, large = (best_under(rows, limit, "cross_entropy", 1)[0] for limit in limits)
    assert STRUCTURE.cost([small.architecture.widths]).multiply_adds[0] <= limits[0]["multiply_adds"]
    assert large.score.cross_entropy < small.score.cross_entropy


def test_activations_are_what_the_convolutions_of_a_candidate_write():
    for architecture in (STRUCTURE.space.smallest, STRUCTURE.space.sample(np.random.default_rng(0))):
        written = list[int]()

        def write(_: nn.Module, __: object, output: torch.Tensor, written: list[int] = written) -> None:
            written.append(output[0].numel())

        network = cut(SUPERNET, architecture).eval()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(write)
        network(images_of(16).float())
        assert sum(written) == STRUCTURE.activations([architecture.widths])[0]


def test_a_linear_latency_is_predicted(tmp_path: Path):
    true = np.array([0.5, 2e-6, 1e-4])

    def measure(architecture: Architecture, _: int) -> dict[str, float]:
        time = float((terms(STRUCTURE, np.array([architecture.widths])) @ true)[0])
        return {"fastest_ms": time, "median_ms": time, "iqr_ms": 0.0}

    protocol = {"device": "a test", "threads": 1, "images": {"latency": 1}}
    cost = Latencies(tmp_path / "latency.json", STRUCTURE, protocol, measure, lambda: None).model(problem(), 0)["latency"]
    widths = problem().widths(Fresh(STARTS["uniform"].stream(problem(), 1)).take(20))
    np.testing.assert_allclose(cost(widths), terms(STRUCTURE, widths) @ true, rtol=1e-6)
