"""What this process shows while it works: a bar on a terminal, elsewhere a line a minute; one line for what is done."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""
FIRST = 20.0
"""Seconds before the first of them."""
OFTEN = 0.3
"""Seconds between two looks at a terminal's notes."""
FORMAT = "{desc} |{bar}| {n_fmt}/{total_fmt} [{remaining} left{postfix}]"
FORMAT_AT_FIRST = "{desc} |{bar}| {n_fmt}/{total_fmt}"
_is_one_of_many: ContextVar[bool] = ContextVar("_is_one_of_many", default=False)


@contextmanager
def one_of_many() -> Iterator[None]:
    """Within it ``report`` is silent: whoever makes many runs prints one line for each."""
    before = _is_one_of_many.set(True)
    try:
        yield
    finally:
        _is_one_of_many.reset(before)


def report(text: str, *, to_stdout: bool = False) -> None:
    """Prints what was done, unless this is one of many runs."""
    if not _is_one_of_many.get():
        print(text, file=sys.stdout if to_stdout else sys.stderr)


class Progress:
    """Shows how far a work is, and how long it will take.

    Args:
        label: of the bar, and at the head of each line.
        total: units of work, those included that were done before.
        done: units done before, which tell nothing about the speed.
        unit: of the work, in the plural.
        is_shown: false in processes that leave this to another.
        side_by_side: units that end together; before so many have, the time left is not told.
    """

    def __init__(self, label: str, total: int, done: int, unit: str, is_shown: bool = True, side_by_side: int = 1) -> None:
        self.label, self.total, self.done, self.unit, self.side_by_side = label, total, done, unit, side_by_side
        self.began = time.monotonic()
        self.told = self.began - EVERY + FIRST
        self.bar: tqdm[Any] = tqdm(
            total=total,
            initial=done,
            desc=label,
            disable=None if is_shown else True,
            dynamic_ncols=True,
            leave=False,
            bar_format=FORMAT if side_by_side == 1 else FORMAT_AT_FIRST,
        )
        self.count, self.is_shown = done, is_shown

    @property
    def seconds_per_unit(self) -> float:
        """Measured since the start."""
        return (time.monotonic() - self.began) / max(1, self.count - self.done)

    def advance(self, count: int = 1, note: Callable[[], str] = str, label: str | None = None) -> None:
        """Counts finished units.

        Args:
            note: what else to show, called only now and then: it may wait for the device.
            label: a new one.
        """
        self.count += count
        self.label = label or self.label
        knows_speed = self.count - self.done >= self.side_by_side
        if knows_speed:
            self.bar.bar_format = FORMAT
        now = time.monotonic()
        if not self.is_shown or now - self.told < (EVERY if self.bar.disable else OFTEN):
            self.bar.update(count)
            return
        self.told = now
        if self.bar.disable:
            line = f"{self.label}: {self.count:,} of {self.total:,} {self.unit}"
            if knows_speed:
                line += f", {duration(self.seconds_per_unit * (self.total - self.count))} left"
            print(", ".join(filter(None, (line, note()))), file=sys.stderr)
        else:
            self.bar.set_description_str(self.label, refresh=False)
            self.bar.set_postfix_str(note(), refresh=False)
            self.bar.update(count)

    def close(self) -> None:
        """Removes the bar, so that what follows is printed in its place."""
        self.bar.close()


def duration(seconds: float) -> str:
    """A time in a unit that fits, such as ``2.5 hours``."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
