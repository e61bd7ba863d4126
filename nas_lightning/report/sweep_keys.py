"""The swept keys of a multirun: the keys in which the jobs' configs differ."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas_lightning.config.roles import as_of_today
from nas_lightning.report.text import listed, plain, short
from nas_lightning.runs.reading import finite

SEED = "seed"
"""The key whose values repeat a setting."""
ELSEWHERE = ("run_dir", "resume", "dry_run", "hydra", "data.root", "data.download")
"""Keys of where a run is, not what it is; with all keys below them."""
ABSENT = plain(None)
"""The value of a key that a config lacks."""
CLOSE = 0.04
"""Share of an axis that two values lie apart at least."""
LONGEST = 160
"""Maximum characters of a key or a value."""


@dataclass(frozen=True)
class Factor:
    """A swept key, or several whose values always change together."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    """The keys' last two parts, of a class without its ``_target_``; whole keys where those are not distinct."""
    by_job: tuple[int, ...]
    """The place of each job's value: numbers ascending, others in the jobs' order."""
    values: tuple[tuple[str, ...], ...]
    """Shown values by place, one entry per key."""
    numeric: bool

    @property
    def title(self) -> str:
        """The names in words."""
        return listed(self.names)

    @property
    def axis(self) -> tuple[str, list[float]]:
        """The name of a logarithmic scale, and where the values stand: numbers that span a decade by their logarithm, others
        by value unless some would lie on each other, and texts in even steps."""
        even = [float(place) for place in range(len(self.values))]
        numbers = [number for values in self.values if (number := finite(values[0])) is not None] if self.numeric else []
        is_log = len(numbers) > 1 and numbers[0] > 0 and numbers[-1] >= 10 * numbers[0]
        places = [math.log10(number) for number in numbers] if is_log else numbers
        gaps = [right - left for left, right in itertools.pairwise(places)]
        if len(places) < len(even) or min(gaps, default=0) < CLOSE * sum(gaps):
            return "", even
        return ", logarithmic" if is_log else "", places

    @property
    def texts(self) -> list[str]:
        """The values in words, by place."""
        return list(map(listed, self.values))


def read_leaves(config: Mapping[str, Any]) -> dict[str, str]:
    """The values of a config as text by dotted key, a list as one value."""
    return dict(_leaves(as_of_today(config), ""))


def find_factors(jobs: Sequence[Mapping[str, str]]) -> tuple[Factor, ...]:
    """Groups the keys that differ between the jobs, except seed and places, by how they change from job to job."""
    together: dict[tuple[int, ...], list[str]] = {}
    for key in dict.fromkeys(key for job in jobs for key in job):
        values = [job.get(key, ABSENT) for job in jobs]
        places = {value: place for place, value in enumerate(dict.fromkeys(values))}
        if len(places) > 1 and key != SEED and not any(f"{key}.".startswith(f"{place}.") for place in ELSEWHERE):
            together.setdefault(tuple(places[value] for value in values), []).append(key)
    together = {by_job: _without_its_arguments(keys, jobs) for by_job, keys in together.items()}
    ends = {key: ".".join(key.removesuffix("._target_").split(".")[-2:]) for keys in together.values() for key in keys}
    counts = Counter(ends.values())
    names = {key: short(end if counts[end] == 1 else key, LONGEST) for key, end in ends.items()}
    return tuple(_factor(by_job, keys, tuple(names[key] for key in keys), jobs) for by_job, keys in together.items())


def _without_its_arguments(keys: Sequence[str], jobs: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys without the arguments of a swept class that another one does not have."""
    nodes = tuple(key.removesuffix("_target_") for key in keys if key.endswith("._target_"))
    return [key for key in keys if key.endswith("._target_") or not key.startswith(nodes) or all(key in job for job in jobs)]


def _leaves(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(node, default=str) if isinstance(node, list) else plain(node)


def _factor(by_job: Sequence[int], keys: Sequence[str], names: tuple[str, ...], jobs: Sequence[Mapping[str, str]]) -> Factor:
    examples = [by_job.index(place) for place in range(max(by_job) + 1)]  # the first job with each value
    numbers = {job: finite(jobs[job].get(keys[0], ABSENT)) for job in examples}
    numeric = None not in numbers.values()
    order = sorted(examples, key=lambda job: numbers[job] or 0) if numeric else examples
    places = {by_job[job]: place for place, job in enumerate(order)}
    values = tuple(tuple(_shown(key, jobs[job].get(key, ABSENT)) for key in keys) for job in order)
    return Factor(tuple(keys), names, tuple(places[value] for value in by_job), values, numeric)


def _shown(key: str, value: str) -> str:
    """A value as shown; of a class only its last name."""
    return short(value.rsplit(".", 1)[-1] if key.endswith("_target_") else value, LONGEST)
