"""Which candidates train at a step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nas_lightning.config.fields import Checked, choice, number
from nas_lightning.errors import check_at_least
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, Population, Space, Structure

MOST_PATHS = 1024
SHIFTS = 65
"""Widenings of one draw from which ``SpreadSampler`` takes the nearest in cost."""


class Position(NamedTuple):
    """Where a run is; draws depend on it and on the seed alone."""

    stage: int
    epoch: int
    step: int
    """Optimizer steps since the stage began."""
    rank: int = 0


class Sampler(Protocol):
    """Chooses the candidates of a step."""

    paths: int
    """Candidates a step."""

    def sample(self, position: Position) -> list[Architecture]:
        """The step's candidates, always the same for the same position."""
        ...


@dataclass(frozen=True)
class _OfSpace(Checked, place="sampler"):
    """What samplers of all candidates of a space hold."""

    fewest: ClassVar[int] = 1
    """Paths."""
    space: Space
    seed: int
    paths: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("sampler.paths", self.paths, self.fewest, MOST_PATHS)


@dataclass(frozen=True)
class UniformSampler(_OfSpace):
    """Draws every width of every path independently and uniformly from the legal ones."""

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        rng = generator(self.seed, "paths", *position)
        return [self.space.sample(rng) for _ in range(self.paths)]


@dataclass(frozen=True)
class WideSampler(_OfSpace):
    """Draws a share of the paths with each width as probable as it is wide, the others as ``UniformSampler`` does.

    A wide candidate trains more channels a step; without uniform paths, narrow candidates are trained too little.
    """

    share: float = number(0.5, least=0, most=1)
    """Probability of a path to be of the first kind."""

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        rng = generator(self.seed, "paths", *position)
        return [self._wide(rng) if rng.random() < self.share else self.space.sample(rng) for _ in range(self.paths)]

    def _wide(self, rng: np.random.Generator) -> Architecture:
        # The first cumulated width above a uniform draw below their sum.
        return Architecture(
            tuple(
                widths[int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))]
                for widths, ends in zip(self.space.choices, self._ends, strict=True)
            )
        )

    @cached_property
    def _ends(self) -> list[npt.NDArray[np.int64]]:
        return [np.cumsum(widths) for widths in self.space.choices]


@dataclass(frozen=True)
class FairSampler(_OfSpace):
    """Walks the widths of each layer in a seeded shuffle, one per path, and reshuffles when they are used up.

    A layer with n widths trains each exactly once in n successive paths, which FairNAS (Chu et al. 2021) calls strict
    fairness. Layers with other numbers of widths have rounds of their own length, so that over the least common multiple
    of all lengths each layer has trained each of its widths equally often. Shuffles of different layers are independent,
    so that each path alone is a uniform draw. A step has whole rounds, as in FairNAS, if ``paths`` is a multiple of n.
    """

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        first = position.step * self.paths
        orders: dict[tuple[int, int], npt.NDArray[np.int64]] = {}
        paths = [[0] * self.space.layers for _ in range(self.paths)]
        for place, path in enumerate(paths, start=first):
            for layer, legal in enumerate(self.space.choices):
                round_number, index = divmod(place, len(legal))
                if (key := (len(legal), round_number)) not in orders:
                    orders[key] = self._orders(*key, position)
                path[layer] = legal[orders[key][layer, index]]
        return [Architecture(tuple(path)) for path in paths]

    def _orders(self, count: int, round_number: int, position: Position) -> npt.NDArray[np.int64]:
        """(layers, count) a shuffle for each layer."""
        rng = generator(self.seed, "fair order", position.stage, count, round_number, position.rank)
        return rng.permuted(np.tile(np.arange(count), (self.space.layers, 1)), axis=1)


@dataclass(frozen=True)
class SandwichSampler(_OfSpace):
    """The largest candidate, the smallest, and uniform draws (Yu and Huang, Universally Slimmable Networks, 2019).

    Args:
        paths: of all three kinds.
    """

    fewest = 2

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        rng = generator(self.seed, "paths", *position)
        return [self.space.largest, self.space.smallest, *(self.space.sample(rng) for _ in range(self.paths - 2))]


@dataclass(frozen=True)
class SpreadSampler(Checked, place="sampler"):
    """Draws paths that are uniform in the logarithm of their cost; uniform widths nearly all cost the same.

    A uniform draw is widened or narrowed, all layers by the same share of their list of widths, until it costs what was
    drawn.

    Args:
        family: counts the cost.
    """

    family: Structure
    seed: int
    paths: int = 6
    cost: str = choice("multiply_adds", among=("multiply_adds", "parameters"))
    """What is spread."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("sampler.paths", self.paths, 1, MOST_PATHS)

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        rng = generator(self.seed, "spread paths", *position)
        choices = self.family.space.choices
        most = np.array([len(legal) - 1 for legal in choices])
        # From -1, which narrows every layer to its smallest width, to 1.
        shares = rng.random((self.paths, 1, len(most))) + np.linspace(-1, 1, SHIFTS)[:, None]
        rows = np.rint(shares.clip(0, 1) * most).astype(np.int64)  # (paths, shifts, layers)
        widths = np.stack([np.array(legal)[rows[..., layer]] for layer, legal in enumerate(choices)], axis=-1)
        costs = np.log(getattr(self.family.cost(widths.reshape(-1, len(most))), self.cost)).reshape(self.paths, SHIFTS)
        wanted = rng.uniform(costs[:, 0], costs[:, -1])
        nearest = np.abs(costs - wanted[:, None]).argmin(axis=1)
        return [Architecture(tuple(path[shift].tolist())) for path, shift in zip(widths, nearest, strict=True)]


@dataclass(frozen=True)
class ListedSampler:
    """Walks a list in a seeded shuffle, one candidate per path, and reshuffles when it is used up.

    Args:
        population: the run's list.
        choose: takes the stage's own list from it.
    """

    population: Population
    seed: int
    choose: Callable[[Population], Population]
    paths: int = 6

    def __post_init__(self) -> None:
        check_at_least("sampler.paths", self.paths, 1, MOST_PATHS)
        _ = self.listed  # fails before the run starts if the list cannot be chosen

    @cached_property
    def listed(self) -> Population:
        """The stage's own list."""
        return self.choose(self.population)

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        first = position.step * self.paths
        return [self._walked(number, position) for number in range(first, first + self.paths)]

    def _walked(self, number: int, position: Position) -> Architecture:
        round_number, index = divmod(number, len(self.listed))
        # Recomputed for every path: permuting a few hundred costs microseconds, and leaves no state to resume.
        order = generator(self.seed, "list order", position.stage, round_number, position.rank).permutation(len(self.listed))
        return self.listed[int(order[index])].architecture
