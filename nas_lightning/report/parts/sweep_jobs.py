"""One row per job: swept keys, agreement, standing of its setting, final losses, time and commit."""

from collections.abc import Sequence

from nas_lightning.report.content import Link, Part, Table
from nas_lightning.report.parts.sweep_verdict import lead
from nas_lightning.report.sweep import LAST, Job, Setting, Sweep
from nas_lightning.report.sweep_keys import clean

MOST_ROWS = 500
MOST_KEYS = 8
"""Maximum swept keys with a column."""
STANDING = ("setting's mean", "std over seeds", "behind the best", "beyond the noise")
CORRELATIONS = {"kendall": "Kendall tau-b", "pearson": "Pearson"}


def sweep_jobs(sweep: Sweep) -> Part:
    """A table, the jobs of the best setting first."""
    ordered = [(setting, job) for setting in sweep.settings for job in setting.jobs][:MOST_ROWS]
    jobs = [job for _, job in ordered]
    keys = [(factor, number) for factor in sweep.factors for number in range(len(factor.keys))]
    stages = list(dict.fromkeys(name for job in jobs for name in job.losses))
    correlations = [key for key in CORRELATIONS if any(job.statistic(key) is not None for job in jobs)]
    columns: list[tuple[str, Sequence[str | Link]]] = [
        ("", ["★" if sweep.ranked[:1] == (setting,) else "" for setting, _ in ordered]),
        ("job", [job.name if job.report is None else Link(job.name, job.report) for job in jobs]),
        *((factor.names[number], [factor.values[factor.of(job.leaves)][number] for job in jobs]) for factor, number in keys[:MOST_KEYS]),
        ("seed", [clean(job.seed) for job in jobs]),
        *((CORRELATIONS[key], [str(job.statistic(key) or "") for job in jobs]) for key in correlations),
        *zip(STANDING, zip(*(_standing(sweep, setting) for setting, _ in ordered), strict=True), strict=True),
        *((f"loss, {clean(stage)}", [_loss(job, stage) for job in jobs]) for stage in stages),
        ("time", list(map(_time, jobs))),
        ("commit", list(map(_commit, jobs))),
        ("overrides", list(map(_overrides, jobs))),
    ]
    sentences = [
        "A row a job, the best setting (what jobs share that differ in nothing but their seed) first and marked ★. Each setting is judged "
        "for itself against the best: of many, some exceed the noise by chance.",
        "In brackets: 95 % intervals over candidates, which leave out the noise of the seeds." if correlations else "",
        f"A loss is the mean of the last {LAST} logged values, or of as many as there are." if stages else "",
        "A time is that of the process which finished the job; a continued job took longer in all.",
        f"Listed: {len(jobs):,} jobs of {len(sweep.jobs):,}." if len(jobs) < len(sweep.jobs) else "",
        f"Swept keys without a column here: {len(keys) - MOST_KEYS:,}." if len(keys) > MOST_KEYS else "",
    ]
    if stale := [job.name for job in sweep.jobs if job.run.stale is not None]:
        sentences.append(f"Agreements left out, as they were made from other files than the folders hold: {len(stale):,} ({stale[0]}).")
    caption = "Left out, as a file of theirs cannot be read"
    unread = [Table(["job", "what is wrong"], sweep.unread[:MOST_ROWS], caption)] if sweep.unread else []
    return Part("Jobs", (" ".join(filter(None, sentences)),), tables=(Table.of(columns), *unread))


def duration(seconds: float) -> str:
    """A duration in its most readable unit."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _standing(sweep: Sweep, setting: Setting) -> list[str]:
    if not setting.by_seed:
        return ["no result yet", "", "", ""]
    spread = "one seed" if setting.std is None else f"{setting.std:.4f}"
    if setting is sweep.ranked[0]:
        return [f"{setting.mean:.4f}", spread, "the best", ""]
    behind = lead(sweep, sweep.ranked[0], setting)
    noise = "" if behind.needed is None else f" (noise {behind.needed:.4f})"
    return [f"{setting.mean:.4f}", spread, f"{behind.difference:.4f}{noise}", behind.shown.value]


def _loss(job: Job, stage: str) -> str:
    if stage not in job.losses:
        return ""
    return f"{job.losses[stage]:.4f}{' so far' if job.running is not None and job.running.name == stage else ''}"


def _time(job: Job) -> str:
    if job.seconds is None:
        running = job.running
        return "unfinished" if running is None else f"unfinished: {clean(running.name)}, step {int(running.steps.max(initial=0)):,}"
    continued = job.run.environment.get("continued")
    return f"{duration(job.seconds)}{', continued' if isinstance(continued, list) and continued else ''}"


def _commit(job: Job) -> str:
    commit = job.run.environment.get("commit")
    if not isinstance(commit, str):
        return ""
    return f"{clean(commit)[:7]}{' with changes' if job.run.environment.get('dirty') is True else ''}"


def _overrides(job: Job) -> str:
    command = job.run.environment.get("command")
    if not isinstance(command, list):
        return ""
    return clean(" ".join(str(argument) for argument in command[1:] if not str(argument).startswith("hydra.")))
