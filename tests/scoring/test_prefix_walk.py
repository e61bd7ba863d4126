"""Candidates that share their first layers: the same logits as each alone, from fewer layers, in bounded memory."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nas_lightning.rng import generator
from nas_lightning.scoring import prefix_walk
from nas_lightning.scoring.prefix_walk import walk_prefixes
from nas_lightning.scoring.score import score, score_candidates
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.network import Features

SPACE = SearchSpace("tiny", (1, 2), (4, 6), 2, 8)
AMPLE = 2**30


ROUNDING = 1e-12
"""Of logits in double precision."""


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module", params=["always", "where_needed"])
def supernet(request: pytest.FixtureRequest) -> Supernet:
    return Supernet(SPACE, 7, shortcuts=request.param, seed=1).double().eval()


@pytest.fixture
def always() -> Supernet:
    return Supernet(SPACE, 7, shortcuts="always", seed=1).double().eval()


@pytest.fixture
def layers_run(always: Supernet, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index of each layer that is computed."""
    computed: list[int] = []
    extend = always.extend

    def counting(features: Features, layer: int, width: int) -> Features:
        computed.append(layer)
        return extend(features, layer, width)

    monkeypatch.setattr(always, "extend", counting)
    return computed


def with_common_prefix(length: int) -> list[Architecture]:
    """Two candidates that agree on exactly their first ``length`` layers, and on as many as may be after it."""
    first = SPACE.smallest.widths
    other = list(first)
    if length < len(first):
        other[length] = SPACE.choices[length][-1]
    return [Architecture(first), Architecture(tuple(other))]


def in_order(population: Sequence[Architecture]) -> list[Architecture]:
    return sorted(population, key=lambda one: one.widths)


def parents(architectures: Sequence[Architecture]) -> int:
    """How many distinct prefixes are gone on from: as many layers as need be computed."""
    return len({one.widths[:length] for one in architectures for length in range(SPACE.layers)})


@torch.inference_mode()
def logits(supernet: Supernet, architectures: list[Architecture], images: Tensor, memory: int = AMPLE) -> list[Tensor]:
    return list(walk_prefixes(supernet, architectures, supernet.begin(images), memory))


@torch.inference_mode()
def one_by_one(supernet: Supernet, architectures: list[Architecture], images: Tensor) -> list[Tensor]:
    return [supernet(images, architecture) for architecture in architectures]


def assert_as_alone(walked: list[Tensor], supernet: Supernet, architectures: list[Architecture], images: Tensor) -> None:
    for mine, alone in zip(walked, one_by_one(supernet, architectures, images), strict=True):
        torch.testing.assert_close(mine, alone, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("length", range(SPACE.layers + 1))
def test_a_shared_prefix_of_any_length_is_computed_once(always, images, layers_run, length: int) -> None:
    pair = with_common_prefix(length)
    walked = logits(always, pair, images)
    assert len(layers_run) == parents(pair) == (2 * SPACE.layers - length - 1 if length < SPACE.layers else SPACE.layers)
    assert_as_alone(walked, always, pair, images)


def test_neighbours_that_part_in_a_layer_compute_it_once(always, images, layers_run) -> None:
    population = in_order(SPACE.sample_distinct(60, generator(0, "test")))
    walked = logits(always, population, images)
    assert len(layers_run) == parents(population)
    assert_as_alone(walked, always, population, images)


@pytest.mark.parametrize("layer", range(SPACE.layers))
def test_siblings_take_their_channels_from_the_widest(supernet, images, layer: int) -> None:
    """An identity shortcut, which only the width of the block's input has, is not the start of a wider convolution."""
    widths = SPACE.largest.widths
    middle = (*widths[:-3], 4, *widths[-2:])
    for others in (widths, middle):
        siblings = [Architecture((*others[:layer], width, *others[layer + 1 :])) for width in SPACE.choices[layer]]
        for order in (siblings, siblings[::-1]):
            assert_as_alone(logits(supernet, order, images), supernet, order, images)


@pytest.mark.parametrize("memory", [0, 6000, 20_000, AMPLE])
def test_less_memory_never_gives_another_value(supernet, images, memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    population = in_order(SPACE.sample_distinct(30, generator(1, "test")))
    held = []
    forget = prefix_walk._forget_shallow

    def watched(kept: dict[int, Features], wide: dict[int, Features], memory: int) -> None:
        forget(kept, wide, memory)
        assert 0 in kept
        held.append(prefix_walk._bytes([*(features for depth, features in kept.items() if depth), *wide.values()]))

    monkeypatch.setattr(prefix_walk, "_forget_shallow", watched)
    walked = logits(supernet, population, images, memory)
    assert max(held) <= memory
    assert_as_alone(walked, supernet, population, images)
    if memory == 0:
        assert all(map(torch.equal, walked, one_by_one(supernet, population, images)))


@pytest.mark.parametrize("memory", [0, 6000, 20_000])
def test_less_memory_computes_more(always, images, layers_run, memory: int) -> None:
    population = in_order(SPACE.sample_distinct(30, generator(1, "test")))
    logits(always, population, images, memory)
    assert parents(population) < len(layers_run) <= 30 * SPACE.layers
    assert (len(layers_run) == 30 * SPACE.layers) is (memory == 0)


def test_duplicates_and_any_order_have_the_same_scores(supernet, images) -> None:
    labels = torch.arange(5)
    population = SPACE.sample_distinct(12, generator(2, "test"))
    shuffled = [*population[::-1], *population[:5], population[0], population[0]]
    found = score_candidates(supernet, shuffled, images, labels)
    for one, alone in zip(found, [score(supernet, one, images, labels) for one in shuffled], strict=True):
        assert one == pytest.approx(alone, rel=ROUNDING)
    assert found[-1] == found[-2] == found[len(population) - 1]
    assert score_candidates(supernet, in_order(shuffled), images, labels) == [found[shuffled.index(one)] for one in in_order(shuffled)]
    # A walk over a list that is neither sorted nor free of duplicates is right too, if not fast.
    assert_as_alone(logits(supernet, shuffled, images), supernet, shuffled, images)


@pytest.mark.parametrize("batch", [1, 7])
def test_scores_in_the_real_space_equal_those_in_double_precision(batch: int) -> None:
    space = SearchSpace("resnet20", (3, 3, 3), (16, 32, 64), 4, 32)
    neighbours = sorted(Population.draw(space, 5000, 0).architectures, key=lambda one: one.widths)[2500:2506]
    architectures = [*neighbours, space.smallest, space.largest]
    supernet = Supernet(space, 10, seed=0).eval()
    images, labels = torch.randn(3 * batch, 3, 32, 32, generator=torch.Generator().manual_seed(3)), torch.arange(3 * batch) % 10
    found = score_candidates(supernet, architectures, images, labels, batch_size=2 * batch)
    exact = score_candidates(supernet.double(), architectures, images.double(), labels, batch_size=2 * batch)
    for one, other in zip(found, exact, strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)
