"""The headline of a sweep: the best setting, its lead over the next, and whether that exceeds the noise."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scipy.stats import t

from nas_lightning.report.content import Part, Tile
from nas_lightning.report.sweep import Setting, Sweep

NOISE = (
    "The standard error of a difference of two settings over their seeds, from the standard deviation pooled over all settings with two "
    "seeds or more, times Student's t (95 %). A single seed, or seeds that changed nothing, show no noise: run both with "
    "two seeds or more, such as seed=0,1,2."
)
LOSS_WARNING = (
    " No job has an agreement with known accuracies. A training loss says little about the order of candidates, and is comparable only "
    "where objective, candidates and data are the same."
)


class Lead(NamedTuple):
    """How far one setting is ahead of another."""

    difference: float
    """In the statistic's unit, positive if ahead."""
    needed: float | None
    """The noise of the seeds, which the difference must exceed; None if it is unknown."""

    @property
    def shown(self) -> str:
        """Whether it exceeds the noise."""
        return "not shown" if self.needed is None else "yes" if self.difference > self.needed else "no"


def pooled(settings: Sequence[Setting]) -> tuple[float, int]:
    """The standard deviation over seeds, assumed equal in all settings, and its degrees of freedom; zeros if no setting has two seeds."""
    known = [(setting.std, len(setting.by_seed) - 1) for setting in settings if setting.std is not None]
    freedom = sum(weight for _, weight in known)
    return math.sqrt(sum(std**2 * weight for std, weight in known) / max(freedom, 1)), freedom


def lead(sweep: Sweep, first: Setting, second: Setting) -> Lead:
    """Compares two settings with results: the noise is as ``NOISE`` says."""
    difference = (second.mean - first.mean) if sweep.is_loss else first.mean - second.mean
    counts, (std, freedom) = (len(first.by_seed), len(second.by_seed)), pooled(sweep.ranked)
    if min(counts) < 2 or std == 0:
        return Lead(difference, None)
    return Lead(difference, float(t.ppf(0.975, freedom)) * std * math.sqrt(1 / counts[0] + 1 / counts[1]))


def sweep_verdict(sweep: Sweep) -> Part:
    """The report's first part."""
    ranked = sweep.ranked
    left = f"{sum(job.run.seconds is None for job in sweep.jobs):,} unfinished, {len(sweep.unread):,} unreadable"
    tiles = [Tile("jobs", f"{len(sweep.jobs):,}", left), Tile("settings", f"{len(sweep.settings):,}")]
    if not ranked:
        why = "There is neither an agreement with known accuracies nor a final loss of the same last stage."
        return Part("No job has a result to compare yet.", (why,), tiles=tiles)
    best, *others = ranked
    tiles.append(Tile("the best setting's mean", f"{best.mean:.3f}", sweep.statistic))
    better = "less is better" if sweep.is_loss else "more is better"
    seeds_alone = "There is one job." if len(sweep.jobs) == 1 else "The jobs differ in their seeds alone."
    title = seeds_alone if len(sweep.settings) == 1 else f"Only one setting has a result: {best.label}."
    if others:
        ahead = lead(sweep, best, others[0])
        title = _headline(sweep)
        noise = "unknown" if ahead.needed is None else f"{ahead.needed:.3f}"
        tiles.append(Tile("lead over the next", f"{ahead.difference:.3f}", f"noise {noise}"))
    statements = {
        "Mind": " ".join(_mind(sweep, best)),
        "Noise": NOISE,
        "Compared by": f"The mean {sweep.statistic} over seeds, {better}.{LOSS_WARNING if sweep.is_loss else ''}",
    }
    return Part(title, (), statements, tiles)


def _headline(sweep: Sweep) -> str:
    """Whether one setting wins: ahead of all others by more than the noise of the seeds, as far as that is known."""
    best, *others = sweep.ranked
    leads = [(lead(sweep, best, other), other) for other in others]
    close = [other for ahead, other in leads if ahead.shown == "no" or (ahead.shown == "not shown" and _may_be_equal(sweep, best, other))]
    if close:
        return f"No winner yet: {len(close) + 1} settings within noise."
    if all(ahead.shown == "yes" for ahead, _ in leads):
        return f"{best.label} is best, and its lead exceeds the noise of the seeds."
    return f"No winner yet: {best.label} comes first, but the noise of the seeds is unknown."


def _may_be_equal(sweep: Sweep, best: Setting, other: Setting) -> bool:
    """Whether the means are equal, or the settings' 95 % intervals over candidates overlap."""
    if best.mean == other.mean:
        return True
    ends = [[estimate for job in setting.jobs if (estimate := job.run.statistic("kendall"))] for setting in (best, other)]
    lows, highs = ([getattr(estimate, end) for estimate in ends[place]] for place, end in ((0, "low"), (1, "high")))
    return not sweep.is_loss and None not in (*lows, *highs) and bool(lows and highs) and min(lows) <= max(highs)


def _mind(sweep: Sweep, best: Setting) -> Iterator[str]:
    """Best values at the end of their range, and causes of a difference besides the swept keys."""
    for place, factor in zip(best.places, sweep.factors, strict=True):
        last, value = len(factor.values) - 1, factor.texts[place]
        is_least_count = value in ("0", "1")  # such as a number of paths: nothing lies below
        if len(factor.keys) == 1 and factor.numeric and last > 1 and (place == last or (place == 0 and not is_least_count)):
            yield f"{factor.title} {value} is at the end of the values tried: a better one may lie beyond."
    used = [job for job in sweep.jobs if sweep.results.get(job.name) is not None]
    if len({job.run.commit for job in used}) > 1:
        yield "The jobs ran on different code: see their commits."
    truths = {(job.truth, job.run.agreement.n if job.run.agreement else None) for job in used}
    if not sweep.is_loss and len(truths) > 1:
        yield "The jobs were not all compared with the same known accuracies of the same candidates, which moves Kendall's tau-b too."
