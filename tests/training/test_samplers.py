"""Which candidates train at a step."""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.space.population import EveryKth, ListFile, RandomSubset
from nas_lightning.training.samplers import ListedSampler, Position, Sampler, UniformSampler, WideSampler

SPACE = SearchSpace("small", (1, 1), (4, 8), 2, 8)  # 128 candidates
LIST = Population.draw(SPACE, 60, seed=0)


def everyone(population: Population) -> Population:
    return population


def walked(sampler: Sampler, steps: int, stage: int = 0, rank: int = 0) -> list[Architecture]:
    """The candidates of the first steps, one after the other."""
    return [one for step in range(steps) for one in sampler.sample(Position(stage, step // 10, step, rank))]


SAMPLERS: list[Callable[[int, int], Sampler]] = [
    lambda seed, paths: UniformSampler(SPACE, seed, paths),
    lambda seed, paths: WideSampler(SPACE, seed, paths),
    lambda seed, paths: ListedSampler(LIST, seed, RandomSubset(7), paths),
]
each = pytest.mark.parametrize("make", SAMPLERS, ids=["uniform", "wide", "listed"])


def test_uniform_paths_are_uniform_over_the_widths_of_every_layer() -> None:
    space = SearchSpace("track1", (3, 3, 3), (16, 32, 64), 4, 32, 1)
    columns = np.array([one.widths for one in walked(UniformSampler(space, seed=1, paths=6), 700)]).T
    assert columns.shape == (19, 4200)
    for column, legal in zip(columns, space.choices, strict=True):
        counts = [int((column == width).sum()) for width in legal]
        assert sum(counts) == 4200
        assert stats.chisquare(counts).pvalue > 1e-4


def test_uniform_paths_are_uniform_over_whole_candidates() -> None:
    counts = Counter(one.widths for one in walked(UniformSampler(SPACE, seed=2, paths=8), 1000))
    assert len(counts) == SPACE.size
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_the_paths_of_a_step_are_independent_of_one_another() -> None:
    pairs = [UniformSampler(SPACE, seed=3, paths=2).sample(Position(0, 0, step)) for step in range(1600)]
    table = np.zeros((4, 4))
    for first, second in pairs:
        table[first.widths[4] // 2 - 1, second.widths[4] // 2 - 1] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.5, 0.75, 1.0])
def test_wide_paths_have_each_width_as_often_as_it_is_wide(share: float) -> None:
    paths = walked(WideSampler(SPACE, seed=1, paths=8, share=share), 1000)
    for column, legal in zip(np.array([one.widths for one in paths]).T, SPACE.choices, strict=True):
        expected = [share * width / sum(legal) + (1 - share) / len(legal) for width in legal]
        counts = [int((column == width).sum()) for width in legal]
        assert stats.chisquare(counts, np.array(expected) * len(column)).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_wide_path_is_of_one_kind_in_all_its_layers(share: float) -> None:
    counts = Counter(one.widths for one in walked(WideSampler(SPACE, seed=2, paths=8, share=share), 1000))
    total = math.prod(sum(legal) for legal in SPACE.choices)
    expected = [share * math.prod(widths) / total + (1 - share) / SPACE.size for widths in itertools.product(*SPACE.choices)]
    observed = [counts[widths] for widths in itertools.product(*SPACE.choices)]
    assert stats.chisquare(observed, np.array(expected) * sum(observed)).pvalue > 1e-4


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", None])
def test_a_share_outside_0_to_1_is_refused(share: Any) -> None:
    with pytest.raises(InputError, match=r"^sampler\.share: "):
        WideSampler(SPACE, seed=0, share=share)


@each
@pytest.mark.parametrize("paths", [1, 6, 20])
def test_a_step_has_as_many_paths_as_asked_for(make: Callable[[int, int], Sampler], paths: int) -> None:
    sampler = make(0, paths)
    assert sampler.paths == paths
    assert len(sampler.sample(Position(0, 0, 0))) == paths


@each
def test_paths_are_a_function_of_seed_and_position_only(make: Callable[[int, int], Sampler]) -> None:
    positions = [Position(stage, step // 5, step, rank) for stage, step, rank in itertools.product((0, 1), range(12), (0, 1))]
    expected = {position: make(4, 3).sample(position) for position in positions}
    used = make(4, 3)
    for position in [*reversed(positions), *positions]:
        assert used.sample(position) == expected[position]


@each
@pytest.mark.parametrize("other", [Position(1, 0, 0), Position(0, 0, 0, 1)], ids=["stage", "rank"])
def test_stages_and_ranks_draw_differently(make: Callable[[int, int], Sampler], other: Position) -> None:
    sampler = make(0, 6)
    assert walked(sampler, 3) != walked(sampler, 3, other.stage, other.rank)


@each
def test_steps_and_seeds_draw_differently(make: Callable[[int, int], Sampler]) -> None:
    first, other = make(0, 6), make(1, 6)
    steps = [tuple(first.sample(Position(0, 0, step))) for step in range(7)]
    assert len(set(steps)) == 7
    assert walked(first, 3) != walked(other, 3)


@pytest.mark.parametrize(("length", "paths"), [(12, 6), (7, 3), (7, 6), (10, 4), (3, 5), (1, 6), (60, 7), (5, 20)])
def test_each_listed_candidate_comes_exactly_once_a_round(length: int, paths: int) -> None:
    sampler = ListedSampler(LIST, seed=0, choose=RandomSubset(length), paths=paths)
    listed = set(sampler.listed.architectures)
    assert len(listed) == length
    sequence = walked(sampler, steps=4 * length)
    assert len(sequence) == 4 * length * paths
    for start in range(0, len(sequence), length):
        round_ = sequence[start : start + length]
        assert set(round_) == listed
        assert len(round_) == length


def test_a_list_is_shuffled_anew_every_round() -> None:
    sampler = ListedSampler(LIST, seed=0, choose=everyone, paths=6)
    sequence = walked(sampler, steps=40)
    rounds = [tuple(sequence[start : start + 60]) for start in range(0, 240, 60)]
    assert len({*rounds, LIST.architectures}) == 5  # nor is any the list's own order


def test_shuffles_are_uniform() -> None:
    sampler = ListedSampler(LIST, seed=5, choose=RandomSubset(4), paths=4)
    orders = Counter(tuple(one.widths for one in sampler.sample(Position(0, 0, step))) for step in range(2400))
    assert len(orders) == 24
    assert stats.chisquare(list(orders.values())).pvalue > 1e-4


def test_a_list_does_not_begin_anew_with_an_epoch() -> None:
    sampler = ListedSampler(LIST, seed=0, choose=everyone, paths=6)
    assert sampler.sample(Position(0, 0, 4)) == sampler.sample(Position(0, 3, 4))


def test_the_stages_own_list_is_chosen_from_the_runs() -> None:
    sampler = ListedSampler(LIST, seed=0, choose=EveryKth(5, 12), paths=6)
    assert set(walked(sampler, 2)) == {LIST[index].architecture for index in range(0, 60, 5)}


def test_a_list_that_cannot_be_chosen_is_refused_before_any_stage() -> None:
    for choose in (RandomSubset(61), EveryKth(5, 13), ListFile("absent.json")):
        with pytest.raises(InputError):
            ListedSampler(LIST, seed=0, choose=choose)


@each
@pytest.mark.parametrize("paths", [0, -1, 1.0, True, "6", None, 1025])
def test_a_number_of_paths_that_makes_no_sense_is_refused_naming_it(make: Callable[[int, Any], Sampler], paths: Any) -> None:
    with pytest.raises(InputError, match=r"sampler\.paths: .* must be an integer from 1 to 1024") as refused:
        make(0, paths)
    assert repr(paths) in str(refused.value)


@each
def test_a_sampler_has_no_state_to_change(make: Callable[[int, int], Sampler]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(0, 6).paths = 7
