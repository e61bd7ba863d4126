"""Measures how long a network takes on this machine."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Measurement, Timer

SECONDS, FEWEST = 0.2, 5
"""Minimum time of the measurements of a network, and their minimum number."""


def latency(run: Callable[[Tensor], object], images: Tensor) -> dict[str, Any]:
    """Milliseconds of a pass: median and interquartile range over the measurements, after a pass that does not count."""
    run(images)
    timer = Timer("run(images)", globals={"run": run, "images": images}, num_threads=torch.get_num_threads())
    found: list[Measurement] = []
    while sum(len(some.times) for some in found) < FEWEST:
        found.append(timer.blocked_autorange(min_run_time=SECONDS))
    (measured,) = Measurement.merge(found)
    return {
        "batch": len(images),
        "median_ms": round(1e3 * measured.median, 4),
        "iqr_ms": round(1e3 * measured.iqr, 4),
        "measurements": len(measured.times),
    }
