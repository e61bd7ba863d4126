"""The swept keys of a multirun: the keys in which the jobs' configs differ."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas_lightning.config.roles import as_of_today
from nas_lightning.report.text import listed, plain, short

SEED = "seed"
"""The key whose values repeat a setting."""
ELSEWHERE = ("run_dir", "resume", "dry_run", "hydra", "data.root", "data.download")
"""Keys of where a run is, not what it is; with all keys below them."""
ABSENT = plain(None)
"""The value of a key that a config lacks."""
LONGEST = 160
"""Maximum characters of a key or a value."""


@dataclass(frozen=True)
class Factor:
    """A swept key, or several whose values always change together."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    """The keys' shortest distinct ends."""
    places: Mapping[str, int]
    """By the text of the first key's value: numbers ascending, others in the jobs' order."""
    values: tuple[tuple[str, ...], ...]
    """Shown values by place, one entry per key."""
    numeric: bool

    def of(self, leaves: Mapping[str, str]) -> int:
        """The place of a job's value."""
        return self.places[leaves.get(self.keys[0], ABSENT)]

    @property
    def title(self) -> str:
        """The names in words."""
        return listed(self.names)

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
    ends = {key: _ends(key) for keys in together.values() for key in keys}
    counts = Counter(end for several in ends.values() for end in several)
    names = {key: short(next((end for end in several if counts[end] == 1), several[-1]), LONGEST) for key, several in ends.items()}
    return tuple(_factor(keys, [names[key] for key in keys], jobs) for keys in together.values())


def _leaves(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, json.dumps(node, default=str) if isinstance(node, list) else plain(node)


def _factor(keys: Sequence[str], names: Sequence[str], jobs: Sequence[Mapping[str, str]]) -> Factor:
    examples: dict[str, Mapping[str, str]] = {}  # the first job with each value
    for job in jobs:
        examples.setdefault(job.get(keys[0], ABSENT), job)
    numbers = {text: _number(text) for text in examples}
    numeric = all(map(math.isfinite, numbers.values()))
    order = sorted(examples, key=lambda text: numbers[text]) if numeric else list(examples)
    values = tuple(tuple(_shown(key, examples[text].get(key, ABSENT)) for key in keys) for text in order)
    return Factor(tuple(keys), tuple(names), {text: place for place, text in enumerate(order)}, values, numeric)


def _shown(key: str, value: str) -> str:
    """A value as shown; of a class only its last name."""
    return short(value.rsplit(".", 1)[-1] if key.endswith("_target_") else value, LONGEST)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _ends(key: str) -> list[str]:
    """The ends of a key, at least two parts such as ``optimizer.lr``, shortest first; a class goes by its purpose."""
    parts = key.removesuffix("._target_").split(".")
    return [".".join(parts[-length:]) for length in range(min(2, len(parts)), len(parts) + 1)]
