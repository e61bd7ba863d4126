"""The settings of a sweep, best first, and whether the lead of one over another exceeds the noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from scipy.stats import t

from nas_lightning.report.agreement import Estimate
from nas_lightning.report.content import Part, Table
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import clean

TITLE = "Settings"
MOST_ROWS = 60
"""Settings that the table holds."""
LEVEL = 0.95
"""Of the interval that a lead must leave."""


class Shown(Enum):
    """What the data say of a lead."""

    YES = "yes"
    NO = "no"
    CANDIDATES = "beyond that of the candidates; of the seeds unknown"
    UNKNOWN = "not shown"


@dataclass(frozen=True)
class Pooled:
    """The standard deviation over seeds, taken to be the same in all settings."""

    std: float
    freedom: int
    """Degrees of freedom: seeds minus settings."""
    settings: int
    """With at least two seeds."""


@dataclass(frozen=True)
class Lead:
    """How far one setting is ahead of another."""

    difference: float
    """In the statistic's unit, positive if ahead."""
    error: float | None
    """The standard error of the difference over seeds; None where one of them has a single seed."""
    needed: float | None
    """A difference beyond it exceeds the noise."""
    shown: Shown


def pooled(settings: Sequence[Setting]) -> Pooled | None:
    """Over the settings with at least two seeds; None where there is none."""
    known = [(one.std, len(one.by_seed) - 1) for one in settings if one.std is not None]
    freedom = sum(weight for _, weight in known)
    if not known:
        return None
    return Pooled(math.sqrt(sum(std**2 * weight for std, weight in known) / freedom), freedom, len(known))


def lead(sweep: Sweep, first: Setting, second: Setting) -> Lead:
    """Compares two settings with results.

    With two seeds each or more, the noise is the standard error of the difference, from the pooled standard deviation, times Student's t.
    With a single seed each, all that is known is each job's interval over candidates. It leaves out the seeds: apart, the intervals
    show a little; overlapping, or with a single seed on one side only, nothing.
    """
    sign = 1 if sweep.statistic is None else sweep.statistic.sign
    difference = sign * ((first.mean or 0.0) - (second.mean or 0.0))
    counts = len(first.by_seed), len(second.by_seed)
    noise = pooled(sweep.ranked)
    if min(counts) >= 2 and noise is not None:
        error = noise.std * math.sqrt(1 / counts[0] + 1 / counts[1])
        needed = error * float(t.ppf((1 + LEVEL) / 2, noise.freedom))
        if error == 0:
            return Lead(difference, error, needed, Shown.UNKNOWN)  # the seeds changed nothing: they measure no noise
        return Lead(difference, error, needed, Shown.YES if difference > needed else Shown.NO)
    intervals = interval(sweep, first), interval(sweep, second)
    apart = counts == (1, 1) and _apart(*intervals)
    return Lead(difference, None, None, Shown.CANDIDATES if apart else Shown.UNKNOWN)


def interval(sweep: Sweep, setting: Setting) -> Estimate | None:
    """Kendall's tau-b with its interval over candidates, of a setting with a single seed."""
    if sweep.statistic is None or sweep.statistic.stage is not None or len(setting.by_seed) != 1:
        return None
    return next((found for job in setting.jobs if (found := job.statistic("kendall")) is not None), None)


def settings(sweep: Sweep) -> Part:
    """A table of the settings and one of the swept keys."""
    ranked = sweep.ranked
    keys = _keys_table(sweep)
    if sweep.statistic is None or not ranked:
        return Part(TITLE, ("No setting has a result yet.",), tables=keys)
    best = ranked[0]
    rows = []
    for place, one in enumerate(sweep.settings[:MOST_ROWS], start=1):
        if one.mean is None:
            rows.append(["", one.label, "0", "no result yet", "", "", "", "", ""])
            continue
        found = lead(sweep, best, one)
        values = one.by_seed.values()
        rows.append(
            [
                str(place),
                one.label,
                str(len(one.by_seed)),
                f"{one.mean:.4f}",
                "one seed" if one.std is None else f"{one.std:.4f}",
                "" if one is best else f"{found.difference:.4f}",
                "" if one is best or found.needed is None else f"{found.needed:.4f}",
                "the best" if one is best else found.shown.value,
                f"{min(values):.4f} to {max(values):.4f}" if len(values) > 1 else "",
            ]
        )
    head = ["", "setting", "seeds", "mean", "std over seeds", "behind by", "noise", "behind by more than noise", "lowest to highest"]
    more = f" The first {MOST_ROWS} of {len(sweep.settings):,} are listed." if len(sweep.settings) > MOST_ROWS else ""
    less = "less" if sweep.statistic.sign < 0 else "more"
    said = (
        f"A setting is what jobs share that differ in nothing but their seed. They are compared by the mean {sweep.statistic.name} over "
        f"their seeds, {less} is better.{more}"
    )
    caption = (
        "Behind by: the best one's lead. Noise: what it must exceed. Each pair is judged for itself: of many, some exceed theirs by chance"
    )
    return Part(TITLE, (said, noise_rule(sweep)), tables=(Table(head, rows, caption), *keys))


def noise_rule(sweep: Sweep) -> str:
    """How the noise was found, in words."""
    noise = pooled(sweep.ranked)
    if noise is None:
        return "No setting has two seeds: how far a value moves from seed to seed is unknown."
    factor = float(t.ppf((1 + LEVEL) / 2, noise.freedom))
    few = " With so few seeds this is a rough guess." if noise.freedom < 10 else ""
    return (
        f"From seed to seed a value has a standard deviation of {noise.std:.4f}, pooled over the settings with at least two seeds "
        f"({noise.settings} of them, {noise.freedom} {'degree' if noise.freedom == 1 else 'degrees'} of freedom) as if it were the same in "
        f"all. The noise of a difference is its standard error, that deviation times the root of 1/n + 1/m for n and m seeds, times "
        f"{factor:.2f} (Student's t, {100 * LEVEL:.0f} %).{few}"
    )


def _apart(first: Estimate | None, second: Estimate | None) -> bool:
    if first is None or second is None or first.low is None or second.high is None:
        return False
    return first.low > second.high


def _keys_table(sweep: Sweep) -> list[Table]:
    if not sweep.factors:
        return []
    rows = [
        [name, clean(key), ", ".join(_several([value[number] for value in factor.values]))]
        for factor in sweep.factors
        for number, (name, key) in enumerate(zip(factor.names, factor.keys, strict=True))
    ]
    caption = "Swept keys, and their values" + (f"; the first {MOST_ROWS} of {len(rows):,}" if len(rows) > MOST_ROWS else "")
    return [Table(["here", "key", "values"], rows[:MOST_ROWS], caption)]


def _several(values: Sequence[str], most: int = 12) -> list[str]:
    distinct = list(dict.fromkeys(values))
    return distinct if len(distinct) <= most else [*distinct[:most], f"and {len(distinct) - most} more"]
