"""Algorithms of a search: each proposes generations of candidates and is sent their losses and costs."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.scoring.predictors import columns_of
from nas_lightning.search.problem import Floats, Problem, Rows
from nas_lightning.search.starts import TRIES, Fresh, Listed, Start


class Proposed(NamedTuple):
    """A generation."""

    rows: Rows
    """(n, layers) candidates."""
    share: float = 1.0
    """Of the search's images, the first of which score them."""


Proposals = Generator[Proposed, Floats, None]
"""Yields generations; is sent (n, 1 + costs) their losses and the costs of the front, lower is better."""


class Algorithm(Protocol):
    """Proposes candidates; behaves the same for the same seed and the same values."""

    def propose(self, problem: Problem, start: Start, population: int, seed: int) -> Proposals:
        """Generations within the limits, none with more work than ``population`` candidates on all images; ends if there are no others.

        No candidate comes twice on the same images.
        """
        ...


@dataclass(frozen=True)
class FromStart:
    """Takes every candidate from the start: at random, or those of a list."""

    def propose(self, problem: Problem, start: Start, population: int, seed: int) -> Proposals:
        """See Algorithm."""
        fresh = Fresh(start.stream(problem, seed))
        while len(rows := fresh.take(population)):
            yield Proposed(rows)


@dataclass(frozen=True)
class FromList:
    """Takes the candidates of ``search.list``, whatever the start."""

    def propose(self, problem: Problem, start: Start, population: int, seed: int) -> Proposals:  # noqa: ARG002
        """See Algorithm."""
        return FromStart().propose(problem, Listed(), population, seed)


@dataclass(frozen=True)
class SuccessiveHalving:
    """Many candidates of the start on few images, the best half of them on twice as many, and so on (K. Jamieson, A. Talwalkar 2016).

    The last rung of a bracket has ``population`` candidates on all images, and each rung takes as many images as that one.
    """

    rungs: int = 4

    def bracket(self, population: int) -> int:
        """The work of a bracket, in candidates on all images."""
        return self.rungs * population

    def propose(self, problem: Problem, start: Start, population: int, seed: int) -> Proposals:
        """See Algorithm."""
        fresh, most = Fresh(start.stream(problem, seed)), 2 ** (self.rungs - 1)
        while len(rows := fresh.take(most * population)):
            for rung in range(self.rungs):
                values = yield Proposed(rows, 2**rung / most)
                rows = _better_half(problem, rows, values[:, 0])


def _better_half(problem: Problem, rows: Rows, losses: Floats) -> Rows:
    """Half of the candidates: the best n under each budget, with the n that makes them half of all."""
    places = np.full(len(rows), np.inf)
    for budget in problem.budgets:
        kept = np.flatnonzero(problem.within(rows, budget))
        ordered = kept[np.argsort(losses[kept], kind="stable")]
        places[ordered] = np.minimum(places[ordered], np.arange(len(ordered)))
    return rows[np.argsort(places, kind="stable")[: -(-len(rows) // 2)]]


@dataclass(frozen=True)
class Nsga2:
    """pymoo's NSGA-II (K. Deb et al. 2002): the first generation is the start's, the others cross and vary the best so far.

    Of several times as many children as are evaluated it keeps the front by exact costs and a predicted loss: a ridge
    regression on the widths of all candidates evaluated so far. A supernet's losses are nearly additive over the layers.
    """

    crossing: float = 0.9
    """Share of the children with two parents; the others vary one."""
    changes: float = 1.0
    """Mean number of layers that are changed."""
    children: int = 4
    """Children for each that is evaluated."""
    ridge: float = 0.05
    """Penalty of the squared coefficients of standardised columns, per candidate."""

    def propose(self, problem: Problem, start: Start, population: int, seed: int) -> Proposals:
        """See Algorithm."""
        _check_installed()
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.problem import Problem as Shape
        from pymoo.core.termination import NoTermination
        from pymoo.problems.static import StaticProblem

        fresh = Fresh(start.stream(problem, seed))
        shape = Shape(n_var=len(problem.most), n_obj=1 + len(problem.front), xl=0, xu=problem.most, vtype=int)
        mating = _Mating(problem, fresh, self)
        first = fresh.take(population)
        algorithm = NSGA2(pop_size=population, sampling=first, mating=mating)
        algorithm.setup(shape, seed=seed, termination=NoTermination())
        while len(first) and (generation := algorithm.ask()) is not None:
            rows = generation.get("X")
            values = yield Proposed(rows)
            mating.evaluated.append((rows, values[:, 0]))
            Evaluator().eval(StaticProblem(shape, F=values), generation)
            algorithm.tell(infills=generation)


class _Mating:
    """What pymoo asks for children: parents by binary tournament, uniform crossover, integer steps, within the limits."""

    def __init__(self, problem: Problem, fresh: Fresh, settings: Nsga2) -> None:
        self.problem, self.fresh, self.settings = problem, fresh, settings
        self.evaluated: list[tuple[Rows, Floats]] = []
        """Candidates and losses of each generation."""

    def do(self, shape: Any, parents: Any, count: int, random_state: np.random.Generator, **_: Any) -> Any:
        """``count`` children that no search has seen; where hardly any is left, candidates of the start, then fewer."""
        from pymoo.core.population import Population

        wanted = self.settings.children * count
        children = np.empty((0, len(self.problem.most)), dtype=np.int64)
        for _attempt in range(TRIES):
            first, second = parents.get("X")[_winners(parents, (2, wanted), random_state)]
            new = self.problem.shrunk(self._vary(first, second, random_state), random_state)
            children = np.unique(np.concatenate([children, self.fresh.not_seen(new)]), axis=0)
            if len(children) >= wanted:
                break
        if len(children) > count:
            children = self._most_promising(shape, children, count, random_state)
        chosen = [*self.fresh.unseen(children), *self.fresh.take(count - len(children))]
        return Population.new("X", np.array(chosen)) if chosen else Population()

    def _vary(self, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
        """Children of pairs: layers from either parent, some a few widths wider or narrower."""
        layers = first.shape[1]
        from_second = (rng.random(first.shape) < 0.5) & (rng.random((len(first), 1)) < self.settings.crossing)
        children = np.where(from_second, second, first)
        is_changed = rng.random(first.shape) < self.settings.changes / layers
        return (children + is_changed * rng.choice((-2, -1, 1, 2), size=first.shape)).clip(0, self.problem.most)

    def _most_promising(self, shape: Any, children: Rows, count: int, rng: np.random.Generator) -> Rows:
        """Those that NSGA-II would keep by predicted loss and costs."""
        from pymoo.core.population import Population
        from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

        rows, values = (np.concatenate(parts) for parts in zip(*self.evaluated, strict=True))
        columns, wanted = (columns_of(self.problem.widths(some)) for some in (rows, children))
        centre, spread = columns.mean(axis=0), columns.std(axis=0)
        spread[spread < 1e-9] = np.inf  # a layer of one width says nothing
        scaled, target = (columns - centre) / spread, values - values.mean()
        penalty = self.settings.ridge * len(rows) * np.eye(scaled.shape[1])
        slopes = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ target)
        costs = self.problem.costs(children)
        predicted = np.stack([(wanted - centre) / spread @ slopes, *(costs[name] for name in self.problem.front)], axis=1)
        kept = RankAndCrowding().do(shape, Population.new("X", children, "F", predicted), n_survive=count, random_state=rng)
        return kept.get("X")


def _winners(population: Any, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of winners of binary tournaments: the lower front, within one the less crowded (pymoo's own loops over pairs)."""
    rank, crowding = population.get("rank", "crowding")
    order = np.lexsort((-crowding.astype(np.float64), rank.astype(np.int64)))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    first, second = rng.integers(len(order), size=(2, *shape))
    winners: npt.NDArray[np.int64] = np.where(place[first] <= place[second], first, second)
    return winners


def _check_installed() -> None:
    try:
        import pymoo.core.algorithm  # noqa: F401
    except ImportError as error:
        raise InputError(f'search.algorithm: nsga2 needs pymoo ({error}); pip install "nas_lightning[search]"') from None


ALGORITHMS: dict[str, Algorithm] = {
    "nsga2": Nsga2(),
    "random": FromStart(),
    "successive_halving": SuccessiveHalving(),
    "list": FromList(),
}
"""By ``search.algorithm``."""
