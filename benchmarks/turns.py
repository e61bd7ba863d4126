"""Two processes that take turns, and a row of what they needed."""

import multiprocessing
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from nas_lightning.devices.process import configure_process


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ratio: float
    """How many times faster than the plain way, or what ``note`` says."""
    quartiles: tuple[float, float]
    """Of the ratio over the rounds."""
    seconds: float
    """Ours, the median."""
    note: str
    more: dict[str, float]


class Worker:
    """A process that does one way's work when asked: one at a time, so that neither slows the other."""

    def __init__(self, way: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, way, threads), daemon=True)
        self.process.start()
        theirs.close()  # the process has its own; so that closing ours ends it

    def __call__(self, name: str, *arguments: Any) -> tuple[float, Any]:
        """Seconds that a method of the way took, and what it returned."""
        self.connection.send((name, arguments))
        return self.connection.recv()

    def stop(self) -> None:
        self.connection.close()
        self.process.join()


def _work(connection: Any, way: str, threads: int) -> None:
    if way == "ours":
        configure_process()  # as our commands do; the plain way runs as PyTorch comes
    from benchmarks.ways import serve

    serve(connection, way, threads)


def alternate(rounds: int, plain: Callable[[int], float], ours: Callable[[int], float]) -> tuple[list[float], list[float]]:
    """Seconds of each round; who goes first changes, so that neither always finds the other's traces."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:
            seconds[which].append((plain, ours)[which](number))
    return seconds


def row(name: str, seconds: tuple[list[float], list[float]], note: str, **more: float) -> Row:
    """Medians and quartiles of a measurement."""
    ratios = [plain / ours for plain, ours in zip(*seconds, strict=True)]
    low, high = (statistics.quantiles(ratios, n=4)[::2]) if len(ratios) > 1 else (ratios[0], ratios[0])
    plain, ours = map(statistics.median, seconds)
    return Row(name, statistics.median(ratios), (low, high), ours, note, {"plain_seconds": plain, "rounds": len(ratios), **more})
