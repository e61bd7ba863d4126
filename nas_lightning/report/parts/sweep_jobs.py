"""One row per job: swept keys, agreement, standing of its setting, final losses, time and commit."""

from nas_lightning.report.content import Link, Part, Table
from nas_lightning.report.parts.statistics import cell, head
from nas_lightning.report.parts.sweep_verdict import lead
from nas_lightning.report.sweep import LAST, Job, Setting, Sweep

EXPLAINED = (
    "A row a job, the best setting (what jobs share that differ in nothing but their seed) first and marked ★. Each setting is judged "
    "for itself against the best: of many, some exceed the noise by chance.",
    f"In brackets: 95 % intervals over candidates, which leave out the noise of the seeds. A loss is the mean of the last {LAST} logged "
    "values. A time is that of all processes that worked on the job; 'at least' where an older version did not keep those before the last.",
)


def sweep_jobs(sweep: Sweep) -> Part:
    """A table, the jobs of the best setting first."""
    rows = [_row(sweep, setting, job) for setting in sweep.settings for job in setting.jobs]
    unread = [{"job": name, "what is wrong": why} for name, why in sweep.unread.items()]
    stale = [{"job": job.name, "what is left out": job.run.stale} for job in sweep.jobs if job.run.stale]
    tables = (Table(rows), Table(unread, "Left out, as a file of theirs cannot be read"), Table(stale, "Agreements left out"))
    return Part("Jobs", EXPLAINED, tables=tables)


def _row(sweep: Sweep, setting: Setting, job: Job) -> dict[str, str | Link]:
    return {
        "": "★" if sweep.ranked[:1] == (setting,) else "",
        "job": job.name if job.report is None else Link(job.name, job.report),
        **setting.values,
        "seed": job.seed,
        **{head(statistic): cell(statistic, job.run.statistic(statistic)) for statistic in ("kendall", "pearson")},
        **_standing(sweep, setting),
        **{f"loss, {stage}": f"{loss:.3f}" for stage, loss in job.losses.items()},
        "time": _time(job),
        "commit": job.run.commit,
        "overrides": " ".join(word for word in job.run.command[1:] if not word.startswith("hydra.")),
    }


def _standing(sweep: Sweep, setting: Setting) -> dict[str, str]:
    if not setting.by_seed:
        return {"setting's mean": "no result yet"}
    behind = lead(sweep, sweep.ranked[0], setting)
    noise = "" if behind.needed is None else f" (noise {behind.needed:.3f})"
    is_best = setting is sweep.ranked[0]
    return {
        "setting's mean": f"{setting.mean:.3f}",
        "std over seeds": "one seed" if setting.std is None else f"{setting.std:.3f}",
        "behind the best": "the best" if is_best else f"{behind.difference:.3f}{noise}",
        "beyond the noise": "" if is_best else behind.shown,
    }


def _time(job: Job) -> str:
    if job.run.time:
        return job.run.time
    return ", ".join(["unfinished", *(f"{stage.name} step {stage.steps:,}" for stage in job.run.stages[-1:])])
