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
from nas_lightning.space import Architecture, Population, ResidualStructure, SearchSpace
from nas_lightning.space.population import EveryKth, ListFile, RandomSubset
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
from nas_lightning.training.step_rules import Different, PathsAcrossDevices, Same

SPACE = SearchSpace("small", (1, 1), (4, 8), 2, 8)  # 128 candidates
UNEVEN = SearchSpace("uneven", (1, 1, 1), (4, 6, 10), 2, 8)  # layers of 2, 3 and 5 widths
TRACK1 = SearchSpace("track1", (3, 3, 3), (16, 32, 64), 4, 32, 1)
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
    lambda seed, paths: FairSampler(SPACE, seed, paths),
    lambda seed, paths: SpreadSampler(ResidualStructure(SPACE, 10), seed, paths),
    lambda seed, paths: SandwichSampler(SPACE, seed, paths),
]
each = pytest.mark.parametrize("make", SAMPLERS, ids=["uniform", "wide", "listed", "fair", "spread", "sandwich"])


def test_uniform_paths_are_uniform_over_the_widths_of_every_layer() -> None:
    columns = np.array([one.widths for one in walked(UniformSampler(TRACK1, seed=1, paths=6), 700)]).T
    assert columns.shape == (19, 4200)
    for column, legal in zip(columns, TRACK1.choices, strict=True):
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


@pytest.mark.parametrize("paths", [1, 6, 7, 16])
@pytest.mark.parametrize("space", [SPACE, UNEVEN, TRACK1], ids=lambda space: space.name)
def test_fair_paths_have_each_width_of_a_layer_once_in_each_of_its_rounds(space: SearchSpace, paths: int) -> None:
    block = math.lcm(*(len(legal) for legal in space.choices))
    sequence = walked(FairSampler(space, seed=1, paths=paths), 2 * block)
    for column, legal in zip(np.array([one.widths for one in sequence]).T, space.choices, strict=True):
        for start in range(0, len(column), len(legal)):
            assert sorted(column[start : start + len(legal)]) == list(legal)
        for start in range(0, len(column), block):
            assert Counter(column[start : start + block]) == dict.fromkeys(legal, block // len(legal))


@pytest.mark.parametrize("across", [Same(), Different()])
def test_fair_paths_of_several_devices_have_each_width_equally_often(across: PathsAcrossDevices) -> None:
    sampler, devices = FairSampler(UNEVEN, seed=2, paths=6), 3
    sequences = [walked(sampler, 5, rank=across.rank(device)) for device in range(devices)]  # 30 paths each: rounds of 2, 3 and 5
    assert (sequences[0] == sequences[1]) == isinstance(across, Same)
    for column, legal in zip(np.array([one.widths for sequence in sequences for one in sequence]).T, UNEVEN.choices, strict=True):
        assert Counter(column) == dict.fromkeys(legal, devices * 30 // len(legal))


def test_fair_paths_go_on_with_a_round_where_a_stopped_run_left_it() -> None:
    before = [one for step in range(7) for one in FairSampler(UNEVEN, 3, 4).sample(Position(0, step // 3, step))]
    after = [one for step in range(7, 15) for one in FairSampler(UNEVEN, 3, 4).sample(Position(0, step // 3, step))]
    for column, legal in zip(np.array([one.widths for one in before + after]).T, UNEVEN.choices, strict=True):
        assert Counter(column) == dict.fromkeys(legal, 60 // len(legal))


def test_a_fair_path_is_uniform_over_whole_candidates() -> None:
    counts = Counter(one.widths for one in walked(FairSampler(SPACE, seed=2, paths=8), 1000))
    assert len(counts) == SPACE.size
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_a_sandwich_is_the_largest_the_smallest_and_uniform_paths() -> None:
    sampler = SandwichSampler(SPACE, seed=1, paths=6)
    steps = [sampler.sample(Position(0, 0, step)) for step in range(1600)]
    assert all(step[:2] == [SPACE.largest, SPACE.smallest] and len(step) == 6 for step in steps)
    counts = Counter(one.widths for step in steps for one in step[2:])
    assert len(counts) == SPACE.size
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_a_sandwich_of_one_path_is_refused() -> None:
    assert SandwichSampler(SPACE, seed=1, paths=2).sample(Position(0, 0, 0)) == [SPACE.largest, SPACE.smallest]
    with pytest.raises(InputError, match=r"^sampler\.paths: 1 must be an integer from 2 to 1024$"):
        SandwichSampler(SPACE, seed=1, paths=1)


@pytest.mark.parametrize("cost", ["multiply_adds", "parameters"])
def test_spread_paths_are_uniform_in_the_logarithm_of_their_cost(cost: str) -> None:
    structure = ResidualStructure(TRACK1, 100)

    def logs(paths: list[Architecture]) -> np.ndarray:
        return np.log(getattr(structure.cost([one.widths for one in paths]), cost))

    low, high = logs([TRACK1.smallest, TRACK1.largest])
    spread = (logs(walked(SpreadSampler(structure, 1, 6, cost), 300)) - low) / (high - low)
    assert stats.kstest(spread, "uniform").pvalue > 1e-3
    uniform = (logs(walked(UniformSampler(TRACK1, 1, 6), 300)) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").pvalue < 1e-100  # so that the test above can fail


def test_spread_paths_are_legal_and_differ_in_shape_at_the_same_cost() -> None:
    paths = walked(SpreadSampler(ResidualStructure(TRACK1, 100), 1, 6), 100)
    for path in paths:
        TRACK1.check(path)
    assert len(set(paths)) > 0.95 * len(paths)
    halves = np.array([one.widths for one in paths]) / TRACK1.largest.widths
    middle = halves[(halves.mean(axis=1) > 0.4) & (halves.mean(axis=1) < 0.6)]
    assert middle.std(axis=0).min() > 0.2  # no layer follows from the size


def test_a_cost_that_is_not_counted_is_refused() -> None:
    with pytest.raises(InputError, match=r"^sampler\.cost: 'latency' is not one of multiply_adds, parameters$"):
        SpreadSampler(ResidualStructure(SPACE, 10), 0, cost="latency")


@pytest.mark.parametrize(
    ("make", "paths"), [(make, paths) for make in SAMPLERS for paths in (1, 6, 20) if paths > 1 or make is not SAMPLERS[-1]]
)
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
    with pytest.raises(InputError, match=r"sampler\.paths: .* must be an integer from [12] to 1024") as refused:
        make(0, paths)
    assert repr(paths) in str(refused.value)


@each
def test_a_sampler_has_no_state_to_change(make: Callable[[int, int], Sampler]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(0, 6).paths = 7
