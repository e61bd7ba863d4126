"""A row a job: what was swept, final losses, agreement, time and commit."""

from nas_lightning.report.content import Part, Table
from nas_lightning.report.sweep import LAST, Job, Sweep
from nas_lightning.report.sweep_keys import clean

TITLE = "Jobs"
MOST_ROWS = 500
MOST_KEYS = 8
"""Swept keys that have a column."""
CORRELATIONS = {"kendall": "Kendall tau-b", "pearson": "Pearson"}


def jobs(sweep: Sweep) -> Part:
    """A table, the jobs of the best setting first."""
    ordered = [job for one in sweep.settings for job in one.jobs][:MOST_ROWS]
    best = set() if not sweep.ranked else {job.name for job in sweep.ranked[0].jobs}
    stages = list(dict.fromkeys(name for job in ordered for name in job.losses))
    correlations = {key: name for key, name in CORRELATIONS.items() if any(job.statistic(key) is not None for job in ordered)}
    keys = [(factor, number) for factor in sweep.factors for number in range(len(factor.keys))]
    head = [
        "",
        "job",
        *(factor.names[number] for factor, number in keys[:MOST_KEYS]),
        "seed",
        *correlations.values(),
        *(f"loss, {clean(stage)}" for stage in stages),
        "time",
        "commit",
        "overrides",
    ]
    rows = [
        [
            "★" if job.name in best else "",
            job.name,
            *(factor.values[factor.of(job.leaves)][number] for factor, number in keys[:MOST_KEYS]),
            clean(job.seed),
            *("" if (found := job.statistic(key)) is None else found.text() for key in correlations),
            *(_loss(job, stage) for stage in stages),
            _time(job),
            _commit(job),
            _overrides(job),
        ]
        for job in ordered
    ]
    counts = {count for job in ordered for _, count in job.losses.values()}
    said = ["A row a job, the best setting first and marked ★." if best else "A row a job."]
    if len(sweep.jobs) > MOST_ROWS:
        said.append(f"The first {MOST_ROWS} of {len(sweep.jobs):,} are listed.")
    if len(keys) > MOST_KEYS:
        said.append(f"{len(keys) - MOST_KEYS:,} more swept keys have no column here.")
    if correlations:
        said.append("In brackets: 95 % intervals over candidates, which leave out the noise of the seeds.")
    if stale := [job.name for job in sweep.jobs if job.run.stale is not None]:
        said.append(f"The agreement of {len(stale):,} is left out, as it was made from other files than they hold ({stale[0]}).")
    if counts:
        few = "" if counts == {LAST} else f", or of as many as there are (at least {min(counts)})"
        said.append(f"A loss is the mean of the last {LAST} logged values{few}.")
    said.append("A time is that of the process which finished the job; a continued job took longer in all.")
    unread = [list(entry) for entry in sweep.unread[:MOST_ROWS]]
    left_out = [Table(["job", "what is wrong"], unread, "Left out, as a file of theirs cannot be read")] if unread else []
    return Part(TITLE, (" ".join(said),), tables=(Table(head, rows), *left_out))


def duration(seconds: float) -> str:
    """In the unit that reads best."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _loss(job: Job, stage: str) -> str:
    if stage not in job.losses:
        return ""
    so_far = job.running is not None and job.running.name == stage
    return f"{job.losses[stage][0]:.4f}{' so far' if so_far else ''}"


def _time(job: Job) -> str:
    if job.seconds is None:
        running = job.running
        return "unfinished" if running is None else f"unfinished: {clean(running.name)}, step {int(running.steps.max(initial=0)):,}"
    continued = (job.run.environment or {}).get("continued")
    return f"{duration(job.seconds)}{', continued' if isinstance(continued, list) and continued else ''}"


def _commit(job: Job) -> str:
    environment = job.run.environment or {}
    commit = environment.get("commit")
    if not isinstance(commit, str):
        return ""
    return f"{clean(commit)[:7]}{' with changes' if environment.get('dirty') is True else ''}"


def _overrides(job: Job) -> str:
    command = (job.run.environment or {}).get("command")
    if not isinstance(command, list):
        return ""
    return clean(" ".join(str(one) for one in command[1:] if not str(one).startswith("hydra.")))
