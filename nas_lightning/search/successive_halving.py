"""Evaluates all candidates on a few images, and on more images only those that may still be among the best.

**Rungs.** The first takes one batch of images, each further one as many again as all before it, the last what is left. Batches have one
size throughout, so that a batch's norms, and with them the losses of its images, are those of the full evaluation.

**Who stays.** Each rung orders its candidates by mean cross entropy over the images so far. The best ``ceil(keep * n)``
of n distinct candidates stay. Any other is compared with the candidate at that rank, image by image, and stays unless
the mean difference exceeds ``STANDARD_ERRORS`` times its standard error. This bounds one comparison: a tie is lost with
a probability of about 2 % per rung, a clearly better candidate hardly ever.

**The order.** Those that reach the last rung have the scores of the full evaluation. Of the others each has its mean over the images that
it was given, with two constants added for all that were dropped together. The first puts it on the scale of all images: how much the
candidates that reached the last rung score otherwise there than on those fewer images, on average. The second raises the cross entropies,
where that is needed, until the best of the group stands just behind the worst that was given more. Order and distances within a group stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import Score
from nas_lightning.space import Population

STANDARD_ERRORS = 2.0
"""Largest mean difference that may be chance, in standard errors."""
MIN_GAP_NATS = 1e-6
"""Smallest gap between the worst candidate with more images and the best with fewer."""

CROSS_ENTROPY = Score._fields.index("cross_entropy")
HITS = [number for number in range(len(Score._fields)) if number != CROSS_ENTROPY]
"""The columns of shares of images."""
Losses = npt.NDArray[np.float32]
"""(candidates, images) cross entropies, in nats."""
Evaluate = Callable[[Population, int, int], tuple[list[Score], Losses]]
"""Scores of candidates on images first to end - 1, with the loss of every image."""


class Rung(NamedTuple):
    """Evaluates the remaining candidates on images first to end - 1."""

    first: int
    end: int


@dataclass(frozen=True)
class RungResult:
    """What happened at one rung."""

    images: int
    """That its candidates have been given, with those of the rungs before."""
    candidates: int
    """Candidates evaluated at this rung."""
    dropped: int
    """Of these, that were given no more; 0 at the last rung."""
    scale: float = 0.0
    """Nats added to the cross entropies of the dropped, to estimate those on all images."""
    raised: float = 0.0
    """Nats added to rank them behind candidates with more images."""


@dataclass(frozen=True)
class Halving:
    """A ranking, and the work it saved."""

    scores: list[Score]
    """In the list's order."""
    rungs: list[RungResult]
    place: int
    """Number of best candidates kept at every rung."""

    @property
    def evaluated(self) -> int:
        """Images, over all distinct candidates."""
        before = [0, *(rung.images for rung in self.rungs)]
        return sum(rung.candidates * (rung.images - fewer) for rung, fewer in zip(self.rungs, before, strict=False))

    @property
    def saved(self) -> float:
        """The share of the full evaluation's images that was not needed, in [0, 1)."""
        return 1 - self.evaluated / (self.rungs[0].candidates * self.rungs[-1].images)

    def to_json(self) -> dict[str, Any]:
        """The content of ranking/cheap_first.json."""
        levels = [vars(rung) for rung in self.rungs]
        return {"kept_best": self.place, "levels": levels, "images_evaluated": self.evaluated, "images_saved": self.saved}

    def __str__(self) -> str:
        steps = ", ".join(f"{rung.candidates:,} on {rung.images:,}" for rung in self.rungs)
        return (
            f"Cheap first: candidates on images: {steps}; {self.saved:.1%} of all images saved.\n"
            f"Below the best {self.place:,} a candidate may have been given fewer images: it stands behind those given more."
        )


def make_rungs(images: int, batch_size: int | None) -> list[Rung]:
    """Rungs of one batch, one more, two more, four more, and so on; the last takes the rest.

    Raises:
        InputError: if the images are not whole batches of at least two.
    """
    if batch_size is None or batch_size < 2:
        raise InputError(f"ranking.batch_size: {batch_size!r} must be at least 2 with cheap_first, whose first level is one batch")
    if images % batch_size:
        raise InputError(f"ranking.images: {images} are not whole batches of ranking.batch_size={batch_size}, which cheap_first needs")
    ends = [batch_size]
    while ends[-1] < images:
        ends.append(min(2 * ends[-1], images))
    return [Rung(first, end) for first, end in zip([0, *ends], ends, strict=False)]


def may_be_among(losses: Losses, place: int) -> npt.NDArray[np.bool_]:
    """(n,) whether each candidate may be among the best ``place``, by the rule at the head of this file.

    Args:
        losses: on the same images, at least two.
    """
    order = np.argsort(losses.mean(1, dtype=np.float64), kind="stable")
    if len(order) <= place:
        return np.ones(len(order), dtype=bool)
    differences = losses - losses[order[place - 1]]
    error = differences.std(1, ddof=1, dtype=np.float64) / np.sqrt(losses.shape[1])
    stays = differences.mean(1, dtype=np.float64) <= STANDARD_ERRORS * error
    stays[order[:place]] = True
    return stays


def successive_halving(population: Population, rungs: Sequence[Rung], keep: float, evaluate: Evaluate) -> Halving:
    """Scores every candidate, most of them on few images.

    Args:
        rungs: as ``make_rungs`` makes them.
        keep: the share of the distinct candidates whose order is wanted, in [0, 1]; the best one at least.
        evaluate: called once a rung, with the candidates that are left.
    """
    distinct = list(dict.fromkeys(population))
    place = max(1, ceil(round(keep * len(distinct), 6)))  # 0.07 of 100 is 7, not 8
    sums = np.zeros((len(rungs), len(distinct), len(Score._fields)))  # over the images up to each rung
    given = np.zeros(len(distinct), dtype=np.int64)
    left = np.arange(len(distinct))
    losses = np.empty((len(left), 0), dtype=np.float32)
    counts = []
    for number, (first, end) in enumerate(rungs):
        scores, more = evaluate(Population(population.space, tuple(distinct[row] for row in left)), first, end)
        new = np.array(scores, dtype=np.float64) * (end - first)
        new[:, HITS] = new[:, HITS].round()  # counts of images
        sums[number, left] = new + (sums[number - 1, left] if number else 0)
        given[left] = end
        losses = np.concatenate([losses, more], axis=1)
        stays = may_be_among(losses, place) if number < len(rungs) - 1 else np.ones(len(left), dtype=bool)
        counts.append((len(left), int((~stays).sum())))
        left, losses = left[stays], losses[stays]
    table, constants = _on_one_scale(sums, given, rungs)
    rows = {candidate: Score(*map(float, row)) for candidate, row in zip(distinct, table, strict=True)}
    results = [RungResult(rung.end, *count, *two) for rung, count, two in zip(rungs, counts, constants, strict=True)]
    return Halving([rows[candidate] for candidate in population], results, place)


def _on_one_scale(
    sums: npt.NDArray[np.float64], given: npt.NDArray[np.int64], rungs: Sequence[Rung]
) -> tuple[npt.NDArray[np.float64], list[tuple[float, float]]]:
    """(n, fields of Score) in their final order, and for each rung the two constants that were added to the cross entropies."""
    last = given == rungs[-1].end
    full = sums[-1, last] / rungs[-1].end
    table = np.empty(sums.shape[1:])
    table[last] = full
    worst = full[:, CROSS_ENTROPY].max()
    constants = [(0.0, 0.0)]
    for number in reversed(range(len(rungs) - 1)):
        means, group = sums[number] / rungs[number].end, given == rungs[number].end
        if not group.any():
            constants.append((0.0, 0.0))
            continue
        scale = (full - means[last]).mean(0)
        table[group] = means[group] + scale
        table[np.ix_(group, HITS)] = table[np.ix_(group, HITS)].clip(0, 1)
        raised = max(0.0, float(worst + MIN_GAP_NATS - table[group, CROSS_ENTROPY].min()))
        table[group, CROSS_ENTROPY] += raised
        worst = table[group, CROSS_ENTROPY].max()
        constants.append((float(scale[CROSS_ENTROPY]), raised))
    return table, constants[::-1]
