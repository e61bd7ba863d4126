"""Runs an algorithm: asks it for generations, has them evaluated, and replays what an earlier process evaluated."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import Score
from nas_lightning.search.algorithms import Algorithm
from nas_lightning.search.evaluated import Evaluated, losses, work
from nas_lightning.search.problem import Budget, Problem
from nas_lightning.search.starts import Start
from nas_lightning.space import Architecture


class Generation(NamedTuple):
    """What is evaluated together."""

    number: int
    """From 0."""
    share: float = 1.0
    """Of the search's images, the first of which score it."""


Evaluate = Callable[[Generation, Sequence[Architecture]], Sequence[Score | float]]
"""The scores of a generation, or its predicted cross entropies."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search, apart from what evaluates its candidates."""

    problem: Problem
    algorithm: Algorithm
    start: Start
    objective: str
    evaluations: int
    """A candidate on a share of the images is that share of an evaluation."""
    population: int
    seed: int

    def run(
        self,
        evaluate: Evaluate,
        known: Sequence[Evaluated] = (),
        place: str = "",
        finished: Callable[[Sequence[Evaluated]], object] = lambda _: None,
    ) -> "Evaluations":
        """Evaluates candidates until there are enough, or no others.

        Args:
            evaluate: called with the candidates of a generation that are not known, in order of their widths.
            known: those that an earlier process evaluated, in order; the same seed proposes them again.
            place: their file, for errors.
            finished: called after each generation with all candidates so far.

        Raises:
            InputError: if the known ones are not those that this search proposes.
        """
        done, seconds = Evaluations(), time.perf_counter()
        proposals = self.algorithm.propose(self.problem, self.start, self.population, self.seed)
        proposed = next(proposals, None)
        for number in range(self.evaluations):
            done.proposing += time.perf_counter() - seconds
            if proposed is None:
                break
            generation, left = Generation(number, proposed.share), int((self.evaluations - work(done.rows)) / proposed.share)
            rows = proposed.rows[:left]
            before, asked = len(done.rows), self.problem.architectures(rows)
            replayed = known[before : before + len(rows)]
            for row, architecture in zip(replayed, asked, strict=False):
                if (row.architecture, row.share) != (architecture, generation.share):
                    held, wanted = _words(row.architecture, row.share), _words(architecture, generation.share)
                    raise InputError(
                        f"{place}: holds {held} where this search proposes {wanted} (another version of the package, "
                        "or of pymoo or NumPy?); give another run_dir"
                    )
            values = {row.architecture: row for row in replayed}
            # Neighbours in this order share their first layers.
            missing = sorted((one for one in asked if one not in values), key=lambda one: one.widths)
            began = time.perf_counter(), time.process_time()
            results = dict(zip(missing, evaluate(generation, missing) if missing else (), strict=True))
            done.evaluating += time.perf_counter() - began[0]
            done.processor += time.process_time() - began[1]
            done.new += len(missing)
            costs = self.problem.costs(rows)
            for place_of_row, architecture in enumerate(asked):
                result: Evaluated | Score | float = values.get(architecture) or results[architecture]
                priced = {name: float(column[place_of_row]) for name, column in costs.items()}
                if not isinstance(result, Evaluated):
                    result = Evaluated.of(number, architecture, result, priced, generation.share)
                done.rows.append(result)
            if missing:
                finished(done.rows)
            if left <= len(proposed.rows):
                break
            seconds = time.perf_counter()
            try:
                proposed = proposals.send(losses(done.rows[before:], self.objective, self.problem.front))
            except StopIteration:
                proposed = None
        return done


@dataclass
class Evaluations:
    """What a search evaluated."""

    rows: list[Evaluated] = field(default_factory=list)
    proposing: float = 0.0
    """Seconds that this process spent on proposals."""
    evaluating: float = 0.0
    """Seconds that it spent on candidates."""
    processor: float = 0.0
    """Seconds of CPU in these."""
    new: int = 0
    """Candidates that this process evaluated; the others were known."""

    @property
    def whole(self) -> list[Evaluated]:
        """Those that were scored on all images of the search."""
        return [row for row in self.rows if row.share == 1]

    def __str__(self) -> str:
        new = self.rows[len(self.rows) - self.new :]  # the known come first
        is_whole = len(self.whole) == len(self.rows)
        what = f"{len(new):,} candidates" if is_whole else f"{len(new):,} scores, the work of {work(new):,.0f} candidates,"
        return f"{what} in {self.evaluating:.1f} s ({self.processor:.1f} s of CPU in this process), proposals in {self.proposing:.1f} s"


def best_under(rows: Sequence[Evaluated], budget: Budget, objective: str, count: int) -> list[Evaluated]:
    """The best candidates that keep to a budget, best first; ties go to the one that was evaluated first."""
    kept = [row for row in rows if all(row.costs[name] <= limit for name, limit in budget.items())]
    return sorted(kept, key=lambda row: row.loss(objective))[:count]


def _words(architecture: Architecture, share: float) -> str:
    return str(architecture) if share == 1 else f"{architecture} on {share:g} of the images"
