"""Reads a multirun folder: its jobs, grouped by setting over seeds."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np

from nas_lightning.errors import InputError
from nas_lightning.report.run import RunFiles, read_run, section
from nas_lightning.report.sweep_keys import ABSENT, SEED, Factor, find_factors, read_leaves
from nas_lightning.report.text import listed

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
    seed: str
    truth: int
    """A hash of the known accuracies and their candidates."""
    report: str | None
    """The address of the job's own report, relative to the multirun folder; None if it has none."""

    @property
    def losses(self) -> dict[str, float]:
        """The mean of the last logged losses by stage, also of a running stage."""
        return {stage.name: float(stage.columns["loss"][1, -LAST:].mean()) for stage in self.run.stages if "loss" in stage.columns}


@dataclass(frozen=True)
class Setting:
    """The jobs that agree in all swept keys except the seed."""

    places: tuple[int, ...]
    """Places of its values, one per factor."""
    values: Mapping[str, str]
    """By name of the key."""
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
    statistic: str
    """What compares the jobs: Kendall's tau-b, or the final loss of a stage."""
    is_loss: bool
    results: Mapping[str, float]
    """The statistic by the name of its job."""
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
    found = {path.parent for path in folder.rglob("config.yaml")}
    outermost = [place.relative_to(folder) for place in found if not found & set(place.parents)]
    places = sorted((place.as_posix() for place in outermost if not INSIDE_A_RUN & set(place.parts)), key=_natural)
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
    statistic, is_loss, results = _results(jobs)
    settings = list(_settings(jobs, factors, results))
    settings.sort(key=lambda setting: (not setting.by_seed, setting.mean if is_loss else -setting.mean))
    unread = {place: error.replace(f"{folder}/", "") for place, error in unread.items()}
    return Sweep(tuple(jobs), factors, statistic, is_loss, results, tuple(settings), unread)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,15})", text)]


def _read_job(sweep: Path, place: str) -> Job:
    run = read_run(sweep / place)
    known = [] if run.ranking is None else [(run.ranking.table.population[row], run.ranking.truth[row]) for row in run.ranking.known]
    return Job(
        place,
        replace(run, ranking=None),  # 50,000 candidates per job are many
        leaves := read_leaves(run.config),
        leaves.get(SEED, ABSENT),
        hash(tuple(known)),
        f"./{quote(os.fsencode(place))}/report.html" if (sweep / place / "report.html").is_file() else None,
    )


def _results(jobs: Sequence[Job]) -> tuple[str, bool, dict[str, float]]:
    """Kendall's tau-b if any job has it, else the final loss of the last stage that all finished jobs share."""
    kendalls = {job.name: kendall.value for job in jobs if (kendall := job.run.statistic("kendall")) and kendall.value is not None}
    finished = [job for job in jobs if job.run.seconds is not None]
    last = {str(list(stages)[-1]) for job in finished if (stages := section(job.run.config, "stages"))}
    if kendalls or len(last) != 1:
        labels = {job.run.label for job in jobs if job.name in kendalls}
        label = labels.pop() if len(labels) == 1 else "the configured score"
        return f"Kendall tau-b of {label}", False, kendalls
    stage = last.pop()
    return f"final loss of {stage}", True, {job.name: job.losses[stage] for job in finished if stage in job.losses}


def _settings(jobs: Sequence[Job], factors: Sequence[Factor], results: Mapping[str, float]) -> Iterator[Setting]:
    groups: dict[tuple[int, ...], list[Job]] = defaultdict(list)
    for number, job in enumerate(jobs):
        groups[tuple(factor.by_job[number] for factor in factors)].append(job)
    firsts = [factor.names[0] for factor in factors]  # they distinguish the settings; keys that change with them come last in a label
    for places, group in groups.items():
        by_seed: dict[str, list[float]] = defaultdict(list)
        for job in group:
            by_seed[job.seed] += [results[job.name]] if job.name in results else []
        valued = zip(factors, places, strict=True)
        values = {name: value for factor, place in valued for name, value in zip(factor.names, factor.values[place], strict=True)}
        label = listed([f"{name} {values[name]}" for name in dict.fromkeys([*firsts, *values])]) or "the one setting"
        yield Setting(places, values, label, tuple(group), {seed: float(np.mean(several)) for seed, several in by_seed.items() if several})
