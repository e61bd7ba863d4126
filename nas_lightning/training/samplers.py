"""Which candidates train at a step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import check_at_least
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, Population, SearchSpace

MOST_PATHS = 1024


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
class UniformSampler:
    """Draws every width of every path independently and uniformly from the legal ones."""

    space: SearchSpace
    seed: int
    paths: int = 6

    def __post_init__(self) -> None:
        check_at_least("sampler.paths", self.paths, 1, MOST_PATHS)

    def sample(self, position: Position) -> list[Architecture]:
        """See Sampler."""
        rng = generator(self.seed, "paths", *position)
        return [self.space.sample(rng) for _ in range(self.paths)]


@dataclass(frozen=True)
class WideSampler(Checked, place="sampler"):
    """Draws a share of the paths with each width as probable as it is wide, the others as ``UniformSampler`` does.

    A wide candidate trains more channels a step; without uniform paths, narrow candidates are trained too little.
    """

    space: SearchSpace
    seed: int
    paths: int = 6
    share: float = number(0.5, least=0, most=1)
    """Probability of a path to be of the first kind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("sampler.paths", self.paths, 1, MOST_PATHS)

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
