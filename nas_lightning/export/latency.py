"""Measures how long a network takes on this machine."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

SECONDS, FEWEST, MOST = 0.1, 7, 100
"""How long a measurement takes, about, and the bounds of its number of passes."""


def latency(run: Callable[[Tensor], object], images: Tensor) -> dict[str, Any]:
    """Milliseconds of a pass: the fastest, median and interquartile range, after passes that do not count.

    Each pass is timed by itself: what else the machine does delays some of them, and can only add to a time.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns on import of a compiler without a GPU
    from torch.utils.benchmark import Timer
    from torch.utils.benchmark.utils.timer import timer as clock

    ends: list[float] = []
    names = {"run": run, "images": images, "ends": ends, "clock": clock}
    timer = Timer("run(images); ends.append(clock())", globals=names, num_threads=torch.get_num_threads(), timer=clock)
    passes = min(MOST, max(FEWEST, round(SECONDS / timer.timeit(1).mean)))
    timer.timeit(passes + 1)
    times = 1e3 * np.diff(ends[-passes - 1 :])
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return {
        "batch": len(images),
        "fastest_ms": round(float(times.min()), 4),
        "median_ms": round(float(median), 4),
        "iqr_ms": round(float(high - low), 4),
        "measurements": passes,
    }
