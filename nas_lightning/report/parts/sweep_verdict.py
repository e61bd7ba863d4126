"""The headline of a sweep: the best setting, its lead over the next, and whether that exceeds the noise."""

import math
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from scipy.stats import t

from nas_lightning.agreement import Estimate
from nas_lightning.report.content import Part, Tile
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import listed

LEVEL = 0.95
"""Level of the interval that a lead must exceed."""


class Shown(Enum):
    """Whether the data show that a lead is real."""

    YES = "yes"
    NO = "no"
    CANDIDATES = "beyond that of the candidates; of the seeds unknown"
    UNKNOWN = "not shown"


HEADLINES = {
    Shown.YES: "{} is best, and its lead exceeds the noise of the seeds.",
    Shown.NO: "{} comes first, but its lead does not exceed the noise of the seeds.",
    Shown.CANDIDATES: "{} comes first, beyond the noise of the candidates; that of the seeds is unknown.",
    Shown.UNKNOWN: "{} comes first; that it is better than the next is not shown.",
}
LOSS_WARNING = (
    " No job has an agreement with known accuracies. A training loss says little about the order of candidates, and is comparable only "
    "where objective, candidates and data are the same."
)


class Pooled(NamedTuple):
    """The standard deviation over seeds, assumed equal in all settings."""

    std: float
    freedom: int
    """Degrees of freedom: seeds minus settings, over settings with at least two seeds."""

    @property
    def factor(self) -> float:
        """Quantile of Student's t."""
        return float(t.ppf((1 + LEVEL) / 2, self.freedom))


class Lead(NamedTuple):
    """How far one setting is ahead of another."""

    difference: float
    """In the statistic's unit, positive if ahead."""
    needed: float | None
    """The noise that the difference must exceed; None if either has a single seed."""
    shown: Shown


def pooled(settings: Sequence[Setting]) -> Pooled | None:
    """The pooled deviation over settings with at least two seeds; None if there are none."""
    known = [(setting.std, len(setting.by_seed) - 1) for setting in settings if setting.std is not None]
    freedom = sum(weight for _, weight in known)
    return Pooled(math.sqrt(sum(std**2 * weight for std, weight in known) / freedom), freedom) if known else None


def lead(sweep: Sweep, first: Setting, second: Setting) -> Lead:
    """Compares two settings with results.

    With two or more seeds each, the noise is the standard error of the difference, from the pooled standard deviation,
    times Student's t. With a single seed each, only each job's interval over candidates is known, without the noise of
    seeds: disjoint intervals show a little. Overlapping ones, or a single seed on one side only, show nothing.
    """
    difference = sweep.statistic.sign * (first.mean - second.mean)
    counts = len(first.by_seed), len(second.by_seed)
    noise = pooled(sweep.ranked)
    if min(counts) >= 2 and noise is not None:
        needed = noise.factor * noise.std * math.sqrt(1 / counts[0] + 1 / counts[1])
        if needed == 0:
            return Lead(difference, needed, Shown.UNKNOWN)  # the seeds changed nothing: they measure no noise
        return Lead(difference, needed, Shown.YES if difference > needed else Shown.NO)
    upper, lower = interval(sweep, first), interval(sweep, second)
    least, most = None if upper is None else upper.low, None if lower is None else lower.high
    apart = counts == (1, 1) and least is not None and most is not None and least > most
    return Lead(difference, None, Shown.CANDIDATES if apart else Shown.UNKNOWN)


def interval(sweep: Sweep, setting: Setting) -> Estimate | None:
    """Kendall's tau-b with its interval over candidates, of a setting with a single seed."""
    if sweep.statistic.stage is not None or len(setting.by_seed) != 1:
        return None
    return next((kendall for job in setting.jobs if (kendall := job.statistic("kendall")) is not None), None)


def sweep_verdict(sweep: Sweep) -> Part:
    """The report's first part."""
    unfinished = sum(job.seconds is None for job in sweep.jobs)
    tiles = [Tile("jobs", f"{len(sweep.jobs):,}", f"{unfinished:,} unfinished"), Tile("settings", f"{len(sweep.settings):,}")]
    ranked, statistic = sweep.ranked, sweep.statistic
    if not ranked:
        why = "There is neither an agreement with known accuracies nor a final loss of the same last stage."
        return Part("No job has a result to compare yet.", (why, _jobs(sweep)), tiles=tiles)
    best, *others = ranked
    tiles.append(Tile("the best setting's mean", f"{best.mean:.4f}", statistic.name))
    better = "more is better" if statistic.sign > 0 else "less is better"
    statements = {
        "Noise": "",
        "Compared by": f"The mean {statistic.name} over seeds, {better}.{LOSS_WARNING if statistic.stage else ''}",
        "Jobs": _jobs(sweep),
        "Mind": _mind(sweep, best),
    }
    title, results = "One setting has a result: nothing to compare it with.", _result(best)
    if others:
        ahead = lead(sweep, best, others[0])
        title = "The first two settings are equal." if ahead.difference == 0 else HEADLINES[ahead.shown].format(best.label)
        tiles.append(Tile("lead over the next", f"{ahead.difference:.4f}", "" if ahead.needed is None else f"noise {ahead.needed:.4f}"))
        results = f"First: {results} Next: {_result(others[0])} Lead: {ahead.difference:.4f}."
        statements["Noise"] = _noise(sweep, best, others[0], ahead)
    return Part(title, (results,), statements, tiles)


def _result(setting: Setting) -> str:
    spread = "" if setting.std is None else f", standard deviation {setting.std:.4f}"
    return f"{setting.label}, mean {setting.mean:.4f} (seeds: {len(setting.by_seed)}{spread})."


def _noise(sweep: Sweep, best: Setting, following: Setting, ahead: Lead) -> str:
    noise = pooled(sweep.ranked)
    if ahead.needed is not None and noise is not None:
        if ahead.needed == 0:
            return "Every seed gave its setting the same value, so they measure no noise: nothing is shown."
        return (
            f"A lead must exceed {ahead.needed:.4f}: the standard error of a difference over seeds times {noise.factor:.2f} (Student's t, "
            f"{100 * LEVEL:.0f} %). It comes from a standard deviation of {noise.std:.4f} from seed to seed, pooled over all settings with "
            f"two seeds or more (degrees of freedom: {noise.freedom})."
        )
    unknown = "A single seed shows no noise of seeds. Run both settings with two seeds or more, such as seed=0,1,2."
    first, second = interval(sweep, best), interval(sweep, following)
    if first is None or second is None:
        return unknown
    apart = "they lie apart" if ahead.shown is Shown.CANDIDATES else "they are not known to lie apart"
    return f"{unknown} A lower bound are the intervals over candidates, {first.text()} and {second.text()}: {apart}."


def _jobs(sweep: Sweep) -> str:
    groups = {
        "Left out, as a file of theirs cannot be read": [name for name, _ in sweep.unread],
        "Not finished, so that what is said here may change": [job.name for job in sweep.jobs if job.seconds is None],
        "Finished without a result to compare": [
            job.name for job in sweep.jobs if job.seconds is not None and sweep.statistic.of(job) is None
        ],
    }
    return " ".join(f"{title}: {len(names):,} ({listed(names)})." for title, names in groups.items() if names)


def _mind(sweep: Sweep, best: Setting) -> str:
    """Best values at the end of their range, and causes of a difference besides the swept keys."""
    sentences = []
    for place, factor in zip(best.places, sweep.factors, strict=True):
        last = len(factor.values) - 1
        is_least_count = factor.text(place) in ("0", "1")  # such as a number of paths: nothing lies below
        if len(factor.keys) == 1 and factor.numeric and last > 1 and (place == last or (place == 0 and not is_least_count)):
            which = "highest" if place else "lowest"
            sentences.append(f"{factor.title} {factor.text(place)} is the {which} value tried: a better one may lie beyond.")
    used = [job for job in sweep.jobs if sweep.statistic.of(job) is not None]
    environments = [job.run.environment for job in used if job.run.environment.get("commit")]
    codes = {(str(environment["commit"]), environment.get("dirty") is True) for environment in environments}
    if len(codes) > 1:
        sentences.append("The jobs ran on different code: see their commits.")
    elif any(dirty for _, dirty in codes):
        sentences.append("The jobs ran on code with changes that no commit holds.")
    truths = {(job.truth, job.run.agreement.n if job.run.agreement else None) for job in used}
    if sweep.statistic.stage is None and len(truths) > 1:
        sentences.append(
            "The jobs were not all compared with the same known accuracies of the same candidates, which moves Kendall's tau-b too."
        )
    return " ".join(sentences)
