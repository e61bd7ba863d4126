"""The swept keys of a multirun: the keys in which the jobs' configs differ."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas_lightning.config.roles import GONE, of_today
from nas_lightning.errors import InputError
from nas_lightning.report.drawing import short

SEED = "seed"
"""The key whose values repeat a setting."""
ELSEWHERE = ("run_dir", "resume", "dry_run", "hydra", "data.root", "data.download")
"""Keys of where a run is, not what it is; with all keys below them."""
ABSENT = "none"
"""The value of a key that a config lacks."""
MOST_VALUES, DEEPEST = 20_000, 40
"""Limits of one job's config; ours have some 200 values in 6 levels, and a file that contains itself has no end."""
LONGEST = 160
"""Maximum characters of a key or a value in a report."""


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

    def text(self, place: int) -> str:
        """A value in words."""
        return listed(self.values[place])


def read_leaves(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The values of a config as text by dotted key, a list as one value.

    Raises:
        InputError: if there are too many.
    """
    return dict(_leaves(config, "", 0, iter(range(MOST_VALUES)), path))


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
    names = {key: clean(next((end for end in several if counts[end] == 1), several[-1])) for key, several in ends.items()}
    return tuple(_factor(keys, [names[key] for key in keys], jobs) for keys in together.values())


def listed(words: Sequence[str], most: int = 6) -> str:
    """The first ``most`` words, and the number of others."""
    return ", ".join([*words[:most], *([f"{len(words) - most:,} more"] if len(words) > most else [])])


def clean(text: str) -> str:
    """Text of a file as shown in a sweep's report."""
    return short(text, LONGEST)


def _leaves(node: Any, key: str, depth: int, budget: Iterator[int], path: Path) -> Iterator[tuple[str, str]]:
    if next(budget, None) is None or depth > DEEPEST:
        raise InputError(f"{path}: {key[:80]!r}: a config has at most {MOST_VALUES:,} values in {DEEPEST} levels")
    if isinstance(node, dict) and node:
        for name, value in node.items():
            if name in GONE:
                continue
            yield from _leaves(value, f"{key}.{name}" if key else str(name), depth + 1, budget, path)
    elif isinstance(node, list | tuple):
        entries = (", ".join(text for _, text in _leaves(value, key, depth + 1, budget, path)) for value in node)
        yield key, f"[{', '.join(entries)}]"
    else:
        yield key, _leaf(of_today(node) if key.endswith("._target_") and isinstance(node, str) else node)


def _leaf(value: Any) -> str:
    """The same text for equal values, such as 1 and 1.0."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 2**63:
        return hex(value)  # Python refuses to write very large integers in decimal
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


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
    return clean(value.rsplit(".", 1)[-1] if key.endswith("_target_") else value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _ends(key: str) -> list[str]:
    """The ends of a key, at least two parts such as ``optimizer.lr``, shortest first; a class goes by its purpose."""
    parts = key.removesuffix("._target_").split(".")
    return [".".join(parts[-length:]) for length in range(min(2, len(parts)), len(parts) + 1)]
