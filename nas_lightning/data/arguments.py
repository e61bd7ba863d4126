"""Checks of a user's settings in this room; each failure names the argument, its value and the rule."""

import math
from collections.abc import Mapping
from typing import Any

from nas_lightning.errors import InputError


def callable_entries(argument: str, entries: Mapping[str, Any], takes: str) -> dict[str, Any]:
    """The non-null entries; raises InputError naming the first that is not a function of ``takes``."""
    kept = {name: entry for name, entry in entries.items() if entry is not None}
    for name, entry in kept.items():
        if not callable(entry):
            raise InputError(f"{argument}.{name}: {entry!r} is not a function of {takes}")
    return kept


def channel_values(argument: str, values: object, channels: int, *, positive: bool = False) -> tuple[float, ...]:
    """One finite number per channel, as a tuple; accepts any sequence, Hydra's lists included."""
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != channels or not all(math.isfinite(number) and (number > 0 or not positive) for number in numbers):
        kind = "positive numbers" if positive else "numbers"
        raise InputError(f"{argument}: {' '.join(repr(values).split())[:100]} is not {channels} {kind}, one per channel")
    return numbers
