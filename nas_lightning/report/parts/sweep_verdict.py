"""The verdict on a sweep in plain words: the best setting, its lead over the next, and whether that exceeds the noise."""

from nas_lightning.report.content import Part, Tile
from nas_lightning.report.parts.sweep_settings import LEVEL, Lead, Shown, interval, lead, pooled
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.sweep_keys import joined

HEADLINES = {
    Shown.YES: "{} is best, and its lead exceeds the noise of the seeds.",
    Shown.NO: "{} comes first, but its lead does not exceed the noise of the seeds.",
    Shown.CANDIDATES: "{} comes first, beyond the noise of the candidates; that of the seeds is unknown.",
    Shown.UNKNOWN: "{} comes first; that it is better than the next is not shown.",
}


def sweep_verdict(sweep: Sweep) -> Part:
    """The report's first part."""
    ranked = sweep.ranked
    if sweep.statistic is None or not ranked:
        paragraphs = [one for one in (_jobs(sweep), _no_statistic(sweep)) if one]
        return Part("No job has a result to compare yet.", paragraphs, tiles=_counts(sweep))
    best = ranked[0]
    told = [("Compared by", _compared(sweep)), ("Jobs", _jobs(sweep)), ("Mind", " ".join([*_ends(sweep, best), *_cautions(sweep)]))]
    tiles = (*_counts(sweep), Tile("the best setting's mean", f"{best.mean:.4f}", sweep.statistic.name))
    if len(ranked) == 1:
        which = "There is one setting" if len(sweep.settings) == 1 else "Only one setting has a result so far"
        return Part(f"{which}: nothing to compare it with.", (_alone(sweep, best),), _said(told), tiles)
    found = lead(sweep, best, ranked[1])
    headline = "The first two settings are equal." if found.difference == 0 else HEADLINES[found.shown].format(best.label)
    told.insert(0, ("Noise", _noise(sweep, best, ranked[1], found)))
    note = "" if found.needed is None else f"noise {found.needed:.4f}"
    return Part(
        headline,
        (_ahead(sweep, best, ranked[1], found),),
        _said(told),
        (*tiles, Tile("lead over the next", f"{found.difference:.4f}", note)),
    )


def _said(told: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(about, said) for about, said in told if said]


def _counts(sweep: Sweep) -> tuple[Tile, ...]:
    unfinished = sum(job.seconds is None for job in sweep.jobs)
    seeds = sorted({len({job.seed for job in one.jobs}) for one in sweep.settings})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        Tile("jobs", f"{len(sweep.jobs):,}", "all finished" if not unfinished else f"{unfinished:,} unfinished"),
        Tile("settings", f"{len(sweep.settings):,}", f"{each} {'seed' if seeds[-1] == 1 else 'seeds'} each"),
    )


def _seeds(one: Setting) -> str:
    return "one seed" if len(one.by_seed) == 1 else f"{len(one.by_seed)} seeds"


def _mean(one: Setting) -> str:
    return f"{one.mean:.4f}" if one.std is None else f"{one.mean:.4f} (standard deviation {one.std:.4f})"


def _alone(sweep: Sweep, best: Setting) -> str:
    name = "" if sweep.statistic is None else sweep.statistic.name
    return f"{best.label} has a {name} of {_mean(best)} with {_seeds(best)}."


def _ahead(sweep: Sweep, best: Setting, following: Setting, found: Lead) -> str:
    name = "" if sweep.statistic is None else sweep.statistic.name
    lower = sweep.statistic is not None and sweep.statistic.sign < 0
    return (
        f"{best.label} has a mean {name} of {_mean(best)} over {_seeds(best)}; the next, {following.label}, has {_mean(following)} over "
        f"{_seeds(following)}. The first is {'lower' if lower else 'higher'} by {found.difference:.4f}."
    )


def _noise(sweep: Sweep, best: Setting, following: Setting, found: Lead) -> str:
    if found.needed is not None and found.error is not None:
        if found.error == 0:
            return "Every seed gave its setting the same value, so they measure no noise: nothing is shown."
        verb = "exceeds" if found.shown is Shown.YES else "does not exceed"
        noise = pooled(sweep.ranked)
        spread = (
            "" if noise is None else f" of {noise.std:.4f} ({noise.freedom} {'degree' if noise.freedom == 1 else 'degrees'} of freedom)"
        )
        return (
            f"The lead of {found.difference:.4f} {verb} {found.needed:.4f}, its noise: the standard error of the difference over seeds, "
            f"{found.error:.4f}, times {found.needed / found.error:.2f} (Student's t, {100 * LEVEL:.0f} %). It comes from a standard "
            f"deviation from seed to seed{spread}, pooled over all settings with at least two seeds."
        )
    single = [one.label for one in (best, following) if len(one.by_seed) == 1]
    unknown = f"{joined(single)} {'has' if len(single) == 1 else 'have'} a single seed, so the noise of this lead over seeds is unknown."
    first, second = interval(sweep, best), interval(sweep, following)
    if first is None or second is None:
        return f"{unknown} Run both with two seeds or more, such as seed=0,1,2."
    apart = "lie apart" if found.shown is Shown.CANDIDATES else "are not known to lie apart"
    return (
        f"{unknown} A lower bound of it are the intervals over candidates, {first.text()} and {second.text()}: they {apart}. Run both with "
        "two seeds or more, such as seed=0,1,2."
    )


def _compared(sweep: Sweep) -> str:
    if sweep.statistic is None:
        return ""
    if sweep.statistic.stage is None:
        return f"{sweep.statistic.name} with the known accuracies, more is better."
    return (
        f"{sweep.statistic.name}, less is better, as no job has an agreement with known accuracies. A training loss says little about the "
        "order of candidates, and is comparable only where objective, candidates and data are the same."
    )


def _jobs(sweep: Sweep) -> str:
    waiting = [job.name for job in sweep.jobs if job.seconds is None]
    without = [job.name for job in sweep.jobs if job.seconds is not None and sweep.value(job) is None]
    said = []
    if sweep.unread:
        names = joined([name for name, _ in sweep.unread], 6)
        said.append(f"Left out, as a file of theirs cannot be read: {len(sweep.unread):,} ({names}).")
    if waiting:
        said.append(f"Not finished: {len(waiting):,} of {len(sweep.jobs):,} ({joined(waiting, 6)}). What is said here may change.")
    if without and sweep.statistic is not None:
        said.append(f"Finished without {sweep.statistic.name}, and not compared: {len(without):,} ({joined(without, 6)}).")
    return " ".join(said)


def _ends(sweep: Sweep, best: Setting) -> list[str]:
    """The keys of which the best setting has the least or the largest of three values or more."""
    said = []
    for place, factor in zip(best.places, sweep.factors, strict=True):
        last = len(factor.values) - 1
        is_least_count = factor.text(place) in ("0", "1")  # such as of paths: nothing lies below
        if len(factor.keys) == 1 and factor.numeric and last > 1 and (place == last or (place == 0 and not is_least_count)):
            which = "highest" if place else "lowest"
            said.append(f"{factor.title} {factor.text(place)} is the {which} value tried: a better one may lie beyond.")
    return said


def _cautions(sweep: Sweep) -> list[str]:
    """What may stand behind a difference beside the swept keys."""
    used = [job for job in sweep.jobs if sweep.value(job) is not None]
    codes = {
        (commit, (job.run.environment or {}).get("dirty") is True)
        for job in used
        if isinstance(commit := (job.run.environment or {}).get("commit"), str)
    }
    said = []
    if len(codes) > 1:
        said.append("The jobs ran on different code: see their commits.")
    elif any(dirty for _, dirty in codes):
        said.append("The jobs ran on code with changes that no commit holds.")
    truths = {(job.truth, job.run.agreement.n if job.run.agreement else None) for job in used}
    if sweep.statistic is not None and sweep.statistic.stage is None and len(truths) > 1:
        said.append(
            "The jobs were not all compared with the same known accuracies of the same candidates, which moves Kendall's tau-b too."
        )
    return said


def _no_statistic(sweep: Sweep) -> str:
    if any(job.seconds is not None for job in sweep.jobs):
        return "Those that finished have neither an agreement with known accuracies nor a final loss of the same last stage."
    return ""
