"""Where a search starts: endless or finite streams of candidates within the limits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from nas_lightning.rng import generator
from nas_lightning.search.problem import Problem, Rows

BATCH = 50
"""Candidates drawn at a time."""
TRIES = 20
"""Batches without a new candidate after which there are taken to be no others."""


class Start(Protocol):
    """Draws candidates without looking at a score."""

    def stream(self, problem: Problem, seed: int) -> Iterator[Rows]:
        """Batches of candidates within the limits, the same for the same seed; candidates may repeat."""
        ...


@dataclass(frozen=True)
class Spread:
    """One scale a candidate, uniform in the logarithm of the first cost of the front, and noise in each layer.

    Candidates that are uniform in each layer nearly all cost the same: the ends of the front would start empty.
    """

    noise: float = 0.2
    """Standard deviation, as a share of a layer's list of widths."""

    def stream(self, problem: Problem, seed: int) -> Iterator[Rows]:
        """See Start."""
        scales = np.linspace(0, 1, 65)
        costs = problem.costs(np.rint(scales[:, None] * problem.most).astype(np.int64))[problem.front[0]]
        logs = np.log(np.maximum.accumulate(costs))
        highest = min(logs[-1], np.log(problem.limits.get(problem.front[0], np.inf)))
        for number in _endless():
            rng = generator(seed, "spread start", number)
            scale = np.interp(rng.uniform(logs[0], highest, BATCH), logs, scales)
            noisy = scale[:, None] + self.noise * rng.standard_normal((BATCH, len(problem.most)))
            yield problem.shrunk(np.rint(noisy.clip(0, 1) * problem.most).astype(np.int64), rng)


@dataclass(frozen=True)
class Uniform:
    """Each width uniform over its legal values; candidates beyond a limit are narrowed to it."""

    def stream(self, problem: Problem, seed: int) -> Iterator[Rows]:
        """See Start."""
        for number in _endless():
            rng = generator(seed, "uniform start", number)
            yield problem.shrunk(rng.integers(problem.most + 1, size=(BATCH, len(problem.most))), rng)


@dataclass(frozen=True)
class Listed:
    """The candidates of ``search.list`` within the limits, in its order."""

    def stream(self, problem: Problem, seed: int) -> Iterator[Rows]:  # noqa: ARG002
        """See Start."""
        rows = problem.rows(problem.listed)
        yield rows[problem.within(rows)]


STARTS: dict[str, Start] = {"spread": Spread(), "uniform": Uniform(), "list": Listed()}
"""By ``search.start``."""


@dataclass
class Fresh:
    """Takes candidates from a stream, none twice."""

    stream: Iterator[Rows]
    seen: set[bytes] = field(default_factory=set)
    """Keys of candidates that are not to come again."""
    waiting: list[Rows] = field(default_factory=list)

    def take(self, count: int) -> Rows:
        """(n, layers) up to ``count`` new candidates; fewer, or none, if the stream has no more."""
        tries = 0
        while len(self.waiting) < count and tries < TRIES and (batch := next(self.stream, None)) is not None:
            new = self.unseen(batch)
            tries = 0 if len(new) else tries + 1
            self.waiting += list(new)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return np.array(taken, dtype=np.int64)

    def unseen(self, rows: Rows) -> Rows:
        """Those of the candidates that never came before, each once; they will not come again."""
        keys = [row.tobytes() for row in np.ascontiguousarray(rows, dtype=np.int64)]
        new = [number for number, key in enumerate(keys) if key not in self.seen and not self.seen.add(key)]  # type: ignore[func-returns-value]
        return rows[new]

    def not_seen(self, rows: Rows) -> Rows:
        """Those of the candidates that never came before, which may still come."""
        return rows[[row.tobytes() not in self.seen for row in np.ascontiguousarray(rows, dtype=np.int64)]]


def _endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1
