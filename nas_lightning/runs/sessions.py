"""The time that processes worked on a run: each keeps its own in ``environment.json``, so that a run's sessions add up."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_json
from nas_lightning.runs.writing import write_json

SECONDS = "seconds"
EVERY = 15.0
"""Seconds between two records: as much as a kill can cost."""


@contextmanager
def timed_session(folder: Path, began: float) -> Iterator[Callable[[], float]]:
    """Keeps this process's time on record while it works, and once more at its end, whatever ends it.

    Args:
        folder: where ``claim_config`` wrote the environment.
        began: ``time.monotonic()`` at the process's start.

    Yields:
        A function that returns the seconds of all sessions up to now.
    """
    if not is_rank_zero():
        yield lambda: 0.0
        return
    path, ended, writing = folder / "environment.json", Event(), Lock()

    def keep() -> float:
        with writing:
            record = read_json(path)
            sessions_of(record)[-1][SECONDS] = round(time.monotonic() - began, 1)
            write_json(path, record)
        return sum(seconds for seconds in map(_seconds, sessions_of(record)) if seconds is not None)

    def keep_on() -> None:
        while not ended.wait(EVERY):
            with suppress(InputError):  # such as a full disk, which the run reports where it loses something
                keep()

    thread = Thread(target=keep_on, daemon=True)
    thread.start()
    try:
        yield keep
    finally:
        ended.set()
        thread.join()
        with suppress(InputError):
            keep()


def sessions_of(record: Mapping[str, Any]) -> list[Any]:
    """The environments of a run's processes, the first one's own and those that continued it."""
    continued = record.get("continued")
    return [record, *(continued if isinstance(continued, list) else [])]


def has_every_time(record: Mapping[str, Any]) -> bool:
    """Whether the sum over sessions is known; older versions kept the time of a run's last process alone."""
    sessions = sessions_of(record)
    return len(sessions) == 1 or None not in map(_seconds, sessions)


def _seconds(session: Any) -> float | None:
    value = session.get(SECONDS) if isinstance(session, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12 else None
