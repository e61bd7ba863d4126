"""Where a search starts: which sizes and widths its first candidates have."""

import numpy as np
import pytest
from scipy.stats import kstest

from nas_lightning.search.problem import Problem
from nas_lightning.search.starts import Fresh, Spread, Uniform
from nas_lightning.space import ResidualStructure, SearchSpace
from tests.search.problems import SPACE, problem


def first(start: Spread | Uniform, count: int = 1000, **more: float) -> np.ndarray:
    budgets = [more] if more else []
    return Fresh(start.stream(problem(*budgets), 0)).take(count)


def test_a_spread_start_is_uniform_in_the_logarithm_of_the_cost():
    space = SearchSpace("fine", blocks=(1, 1, 1), max_widths=(64, 64, 64), width_step=1, resolution=8)
    fine = Problem(space, {"multiply_adds": lambda rows: ResidualStructure(space, 10).cost(rows).multiply_adds})
    low, high = (np.log(end) for end in fine.ends("multiply_adds"))

    def distance(start: Spread | Uniform) -> float:
        rows = np.concatenate([next(start.stream(fine, seed)) for seed in range(20)])
        return kstest((np.log(fine.costs(rows)["multiply_adds"]) - low) / (high - low), "uniform").statistic

    assert distance(Spread(noise=0.0)) < 0.12
    assert distance(Spread()) < 0.2 < 0.5 < distance(Uniform())


def test_a_uniform_start_has_every_width_alike():
    widths = problem().widths(first(Uniform()))
    for layer, legal in enumerate(SPACE.choices):
        counts = np.array([(widths[:, layer] == width).sum() for width in legal])
        assert abs(counts / len(widths) - 1 / len(legal)).max() < 0.06


@pytest.mark.parametrize("start", [Spread(), Uniform()])
def test_a_start_keeps_to_the_limits_and_is_the_same_for_the_same_seed(start: Spread | Uniform):
    limit = 0.1 * problem().ends("multiply_adds")[1]
    rows = first(start, 100, multiply_adds=limit)
    assert problem().costs(rows)["multiply_adds"].max() <= limit
    assert (rows == first(start, 100, multiply_adds=limit)).all()


def test_narrowing_touches_only_candidates_beyond_the_limit_and_ends_near_it():
    limit = 0.3 * problem().ends("multiply_adds")[1]
    limited = problem({"multiply_adds": limit})
    rows = np.random.default_rng(0).integers(limited.most + 1, size=(200, SPACE.layers))
    shrunk, before = limited.shrunk(rows, np.random.default_rng(1)), limited.within(rows)
    assert (shrunk[before] == rows[before]).all()
    assert (shrunk <= rows).all()
    costs = limited.costs(shrunk)["multiply_adds"]
    assert costs.max() <= limit
    assert np.median(costs[~before]) > 0.8 * limit
