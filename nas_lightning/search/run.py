"""Runs an algorithm: asks it for generations, has them evaluated, and replays what an earlier process evaluated."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import Score
from nas_lightning.search.algorithms import Algorithm
from nas_lightning.search.evaluated import Evaluated, losses
from nas_lightning.search.problem import Budget, Problem
from nas_lightning.search.starts import Start
from nas_lightning.space import Architecture

Evaluate = Callable[[int, Sequence[Architecture]], Sequence[Score | float]]
"""The scores of a generation, or its predicted cross entropies."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search, apart from what evaluates its candidates."""

    problem: Problem
    algorithm: Algorithm
    start: Start
    objective: str
    evaluations: int
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
        rows = next(proposals, None)
        for generation in range(self.evaluations):
            done.proposing += time.perf_counter() - seconds
            if rows is None:
                break
            rows = rows[: self.evaluations - len(done.rows)]
            before, asked = len(done.rows), self.problem.architectures(rows)
            replayed = known[before : before + len(rows)]
            for row, architecture in zip(replayed, asked, strict=False):
                if row.architecture != architecture:
                    raise InputError(
                        f"{place}: holds {row.architecture} where this search proposes {architecture} (another version of the package, "
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
            for number, architecture in enumerate(asked):
                result = values.get(architecture) or results[architecture]
                priced = {name: float(column[number]) for name, column in costs.items()}
                done.rows.append(result if isinstance(result, Evaluated) else Evaluated.of(generation, architecture, result, priced))
            if missing:
                finished(done.rows)
            if len(done.rows) >= self.evaluations:
                break
            seconds = time.perf_counter()
            try:
                rows = proposals.send(losses(done.rows[before:], self.objective, self.problem.front))
            except StopIteration:
                rows = None
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

    def __str__(self) -> str:
        return (
            f"{self.new:,} candidates in {self.evaluating:.1f} s ({self.processor:.1f} s of CPU in this process), "
            f"proposals in {self.proposing:.1f} s"
        )


def best_under(rows: Sequence[Evaluated], budget: Budget, objective: str, count: int) -> list[Evaluated]:
    """The best candidates that keep to a budget, best first; ties go to the one that was evaluated first."""
    kept = [row for row in rows if all(row.costs[name] <= limit for name, limit in budget.items())]
    return sorted(kept, key=lambda row: row.loss(objective))[:count]
