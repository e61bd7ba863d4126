"""Front and hypervolume, against their definitions."""

import numpy as np
import pytest

from nas_lightning.search.front import hypervolumes, nondominated


@pytest.mark.parametrize("costs", [1, 2])
def test_the_front_is_what_no_other_candidate_beats(costs: int):
    values = np.random.default_rng(costs).integers(0, 6, size=(60, 1 + costs)).astype(float)  # with ties
    front = nondominated(values)
    beaten = [any((other <= one).all() and (other < one).any() for other in values) for one in values]
    assert {tuple(values[row]) for row in front} == {tuple(one) for one, is_beaten in zip(values, beaten, strict=True) if not is_beaten}
    assert len({tuple(values[row]) for row in front}) == len(front)


@pytest.mark.parametrize("costs", [1, 2])
def test_the_hypervolume_is_the_share_of_the_box_that_is_dominated(costs: int):
    rng = np.random.default_rng(costs)
    values, reference = rng.uniform(0.1, 1.2, size=(12, 1 + costs)) * 5, (5.0, 4.0, 5.0)[: 1 + costs]
    points = rng.uniform(size=(200_000, 1 + costs)) * reference
    for count, volume in zip((3, 12), hypervolumes(values, reference, (3, 12)), strict=True):
        dominated = np.zeros(len(points), dtype=bool)
        for one in values[:count]:
            dominated |= (one <= points).all(axis=1)
        assert volume == pytest.approx(dominated.mean(), abs=0.005)
