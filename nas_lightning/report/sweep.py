"""Reads a multirun folder: its jobs, grouped by setting over seeds."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np

from nas_lightning.errors import InputError
from nas_lightning.report.run import RunFiles, StageMetrics, read_run, section
from nas_lightning.report.sweep_keys import ABSENT, SEED, Factor, find_factors, read_leaves
from nas_lightning.report.text import listed
from nas_lightning.runs.reading import read_json

INSIDE_A_RUN = {"stages", "ranking", "standalone", ".submitit", ".hydra"}
"""Folders without jobs, skipped in the search."""
LAST = 5
"""Number of last logged losses whose mean is the final loss."""


@dataclass(frozen=True)
class Job:
    """One job's folder."""

    name: str
    """Below the multirun folder."""
    run: RunFiles
    """Without its score table."""
    leaves: Mapping[str, str]
    """The config's values by dotted key."""
    seconds: float | None
    """Duration of the process that finished the job; None while unfinished."""
    truth: int
    """A hash of the known accuracies and their candidates."""
    report: str | None
    """The address of the job's own report, relative to the multirun folder; None if it has none."""

    @property
    def seed(self) -> str:
        """As text."""
        return self.leaves.get(SEED, ABSENT)

    @cached_property
    def losses(self) -> dict[str, float]:
        """The mean of the last logged losses by stage, also of a running stage."""
        by_stage = {}
        for stage in self.run.stages:
            values = stage.columns.get("loss", np.zeros(0))
            kept = values[np.isfinite(values)][-LAST:]
            if len(kept):
                by_stage[stage.name] = float(kept.mean())
        return by_stage

    @property
    def running(self) -> StageMetrics | None:
        """The stage in which an unfinished job stands, as far as its metrics tell."""
        return self.run.stages[-1] if self.seconds is None and self.run.stages else None


@dataclass(frozen=True)
class Statistic:
    """The statistic that compares the jobs."""

    name: str
    sign: int
    """-1 if less is better."""
    stage: str | None
    """The stage of the final loss; None for Kendall's tau-b, also if the jobs' last stages differ."""

    def of(self, job: Job) -> float | None:
        """The job's value; an unfinished one has no final loss."""
        if self.stage is None:
            kendall = job.run.statistic("kendall")
            return None if kendall is None else kendall.value
        return None if job.seconds is None else job.losses.get(self.stage)


@dataclass(frozen=True)
class Setting:
    """The jobs that agree in all swept keys except the seed."""

    places: tuple[int, ...]
    """Places of its values, one per factor."""
    label: str
    jobs: tuple[Job, ...]
    by_seed: Mapping[str, float]
    """The statistic; the mean over jobs that share a seed, as they repeat the same draws."""

    @cached_property
    def mean(self) -> float:
        """Mean over the seeds; nan without a result."""
        return float(np.mean(list(self.by_seed.values()))) if self.by_seed else np.nan

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over the seeds; None with fewer than two."""
        return float(np.std(list(self.by_seed.values()), ddof=1)) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Sweep:
    """A multirun folder."""

    jobs: tuple[Job, ...]
    """By name, 2 before 10."""
    factors: tuple[Factor, ...]
    statistic: Statistic
    settings: tuple[Setting, ...]
    """Best mean first, those without a result last."""
    unread: Mapping[str, str]
    """What is wrong with a file, by the name of its job."""

    @property
    def ranked(self) -> tuple[Setting, ...]:
        """The settings with a result."""
        return tuple(setting for setting in self.settings if setting.by_seed)


def read_sweep(folder: Path) -> Sweep:
    """Reads all jobs.

    Raises:
        InputError: if the folder holds no multirun, or no job that can be read, with what is wrong with the first.
    """
    if not folder.is_dir():
        raise InputError(f"sweep: {folder} is not a folder")
    if (folder / "config.yaml").is_file():
        raise InputError(f"sweep: {folder} is the folder of a run, not of a multirun; give it as run_dir")
    places = sorted((job.relative_to(folder).as_posix() for job in _job_folders(folder)), key=_natural)
    if not places:
        raise InputError(f"sweep: {folder} holds no job (no folder below it has a config.yaml)")
    jobs: list[Job] = []
    unread: dict[str, str] = {}
    for place in places:
        try:
            jobs.append(_read_job(folder, place))
        except InputError as error:
            unread[place] = str(error)
    if not jobs:
        raise InputError(next(iter(unread.values())))
    factors = find_factors([job.leaves for job in jobs])
    statistic = _statistic(jobs)
    unread = {place: error.replace(f"{folder}/", "") for place, error in unread.items()}
    return Sweep(tuple(jobs), factors, statistic, _settings(jobs, factors, statistic), unread)


def _job_folders(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder):
        if "config.yaml" in files:
            below.clear()
            yield Path(place)
        else:
            below[:] = [name for name in below if name not in INSIDE_A_RUN]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,15})", text)]


def _read_job(sweep: Path, place: str) -> Job:
    folder = sweep / place
    run = read_run(folder)
    finished = folder / "finished.json"
    known = () if (ranking := run.ranking) is None else ranking.known
    return Job(
        place,
        replace(run, ranking=None),  # 50,000 candidates per job are many
        read_leaves(run.config),
        _seconds(finished) if finished.is_file() else None,
        hash(tuple((ranking.table.population[row].architecture, ranking.truth[row]) for row in known if ranking)),
        f"./{quote(os.fsencode(place))}/report.html" if (folder / "report.html").is_file() else None,
    )


def _seconds(path: Path) -> float:
    value = read_json(path).get("seconds")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e12:
        raise InputError(f"{path}: seconds: {str(value)[:80]!r} is not a time in seconds")
    return float(value)


def _statistic(jobs: Sequence[Job]) -> Statistic:
    """Kendall's tau-b if any job has it, else the final loss of the last stage that all finished jobs share."""
    kendall = Statistic("Kendall tau-b of the configured score", 1, None)
    labels = {job.run.label for job in jobs if kendall.of(job) is not None}
    if labels:
        return replace(kendall, name=f"Kendall tau-b of {min(labels)}") if len(labels) == 1 else kendall
    last = {list(stages)[-1] for job in jobs if job.seconds is not None and (stages := section(job.run.config, "stages"))}
    return Statistic(f"final loss of {min(last)}", -1, min(last)) if len(last) == 1 else kendall


def _settings(jobs: Sequence[Job], factors: Sequence[Factor], statistic: Statistic) -> tuple[Setting, ...]:
    groups: dict[tuple[int, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(tuple(factor.of(job.leaves) for factor in factors), []).append(job)
    settings = []
    for places, group in groups.items():
        values: dict[str, list[float]] = {}
        for job in group:
            if (value := statistic.of(job)) is not None:
                values.setdefault(job.seed, []).append(value)
        by_seed = {seed: float(np.mean(several)) for seed, several in values.items()}
        settings.append(Setting(places, _label(factors, places), tuple(group), by_seed))
    return tuple(sorted(settings, key=lambda setting: (not setting.by_seed, -statistic.sign * np.nan_to_num(setting.mean))))


def _label(factors: Sequence[Factor], places: Sequence[int]) -> str:
    """The first key of each factor distinguishes settings; keys that change with it come last, if there is room."""
    pairs = [
        [f"{name} {value}" for name, value in zip(f.names, f.values[place], strict=True)] for f, place in zip(factors, places, strict=True)
    ]
    return listed([*(pair[0] for pair in pairs), *(word for pair in pairs for word in pair[1:])]) or "the one setting"
