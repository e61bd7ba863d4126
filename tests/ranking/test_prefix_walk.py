"""Candidates that share their first layers: the same logits as each alone, from fewer layers, in bounded memory."""

import pytest
import torch
from torch import Tensor

from nas_lightning.draws import generator
from nas_lightning.ranking import prefix_walk
from nas_lightning.ranking.prefix_walk import walk_prefixes
from nas_lightning.ranking.score import rank, score
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.network import Features

SPACE = SearchSpace("tiny", (1, 2), (4, 6), 2, 8)
AMPLE = 2**30


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=["always", "where_needed"])
def supernet(request: pytest.FixtureRequest) -> Supernet:
    return Supernet(SPACE, 7, shortcuts=request.param, seed=1).eval()


@pytest.fixture
def layers_run(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index of each layer that is computed."""
    computed: list[int] = []
    extend = supernet.extend

    def counting(features: Features, layer: int, width: int) -> Features:
        computed.append(layer)
        return extend(features, layer, width)

    monkeypatch.setattr(supernet, "extend", counting)
    return computed


def with_common_prefix(length: int) -> list[Architecture]:
    """Two candidates that agree on exactly their first ``length`` layers, and on as many as may be after it."""
    first = SPACE.smallest.widths
    other = list(first)
    if length < len(first):
        other[length] = SPACE.choices[length][-1]
    return [Architecture(first), Architecture(tuple(other))]


def distinct_prefixes(architectures: list[Architecture]) -> int:
    return len({one.widths[:length] for one in architectures for length in range(1, SPACE.layers + 1)})


@torch.inference_mode()
def logits(supernet: Supernet, architectures: list[Architecture], images: Tensor, memory: int = AMPLE) -> list[Tensor]:
    return list(walk_prefixes(supernet, architectures, images, memory))


@torch.inference_mode()
def one_by_one(supernet: Supernet, architectures: list[Architecture], images: Tensor) -> list[Tensor]:
    return [supernet(images, architecture) for architecture in architectures]


@pytest.mark.parametrize("length", range(SPACE.layers + 1))
def test_a_shared_prefix_of_any_length_is_computed_once_and_changes_no_bit(supernet, images, layers_run, length: int) -> None:
    pair = with_common_prefix(length)
    walked = logits(supernet, pair, images)
    assert len(layers_run) == 2 * SPACE.layers - length
    assert all(map(torch.equal, walked, one_by_one(supernet, pair, images)))


def test_every_prefix_of_a_sorted_list_is_computed_once(supernet, images, layers_run) -> None:
    population = sorted(SPACE.sample_distinct(60, generator(0, "test")), key=lambda one: one.widths)
    walked = logits(supernet, population, images)
    assert len(layers_run) == distinct_prefixes(population)
    assert all(map(torch.equal, walked, one_by_one(supernet, population, images)))


@pytest.mark.parametrize("memory", [0, 3000, 10_000, AMPLE])
def test_less_memory_computes_more_and_never_another_value(
    supernet, images, layers_run, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    population = sorted(SPACE.sample_distinct(30, generator(1, "test")), key=lambda one: one.widths)
    held = []
    forget = prefix_walk._forget_shallow

    def watched(kept: dict[int, Features], memory: int) -> None:
        forget(kept, memory)
        assert 0 in kept
        held.append(prefix_walk._bytes([features for depth, features in kept.items() if depth]))

    monkeypatch.setattr(prefix_walk, "_forget_shallow", watched)
    walked = logits(supernet, population, images, memory)
    assert max(held) <= memory
    assert len(layers_run) >= distinct_prefixes(population)
    assert (len(layers_run) == distinct_prefixes(population)) is (memory == AMPLE)
    assert (len(layers_run) == 30 * SPACE.layers) is (memory == 0)
    assert all(map(torch.equal, walked, one_by_one(supernet, population, images)))


def test_duplicates_and_any_order_have_the_same_scores(supernet, images) -> None:
    labels = torch.arange(5)
    population = SPACE.sample_distinct(12, generator(2, "test"))
    shuffled = [*population[::-1], *population[:5], population[0], population[0]]
    expected = [score(supernet, one, images, labels) for one in shuffled]
    assert rank(supernet, shuffled, images, labels) == expected
    # A walk over a list that is neither sorted nor free of duplicates is right too, if not fast.
    assert all(map(torch.equal, logits(supernet, shuffled, images), one_by_one(supernet, shuffled, images)))


@pytest.mark.parametrize("batch", [1, 7])
def test_in_the_real_space_scores_equal_those_in_double_precision_to_rounding(batch: int) -> None:
    space = SearchSpace("resnet20", (3, 3, 3), (16, 32, 64), 4, 32)
    neighbours = sorted(Population.draw(space, 5000, 0).architectures, key=lambda one: one.widths)[2500:2506]
    architectures = [*neighbours, space.smallest, space.largest]
    supernet = Supernet(space, 10, seed=0).eval()
    images, labels = torch.randn(3 * batch, 3, 32, 32, generator=torch.Generator().manual_seed(3)), torch.arange(3 * batch) % 10
    found = rank(supernet, architectures, images, labels, batch_size=2 * batch)
    exact = rank(supernet.double(), architectures, images.double(), labels, batch_size=2 * batch)
    for one, other in zip(found, exact, strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)
