"""Measures how long a network takes on this machine."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

REPETITIONS, SECONDS = 7, 0.02
"""Number of measurements, and how long each takes at least, about."""


def latency(run: Callable[[Tensor], object], images: Tensor) -> dict[str, Any]:
    """Milliseconds of a pass: median and interquartile range over the measurements, after passes that do not count."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # warns on import of a compiler without a GPU
    from torch.utils.benchmark import Measurement, Timer

    timer = Timer("run(images)", globals={"run": run, "images": images}, num_threads=torch.get_num_threads())
    passes = max(1, round(SECONDS / timer.timeit(1).mean))
    (measured,) = Measurement.merge([timer.timeit(passes) for _ in range(REPETITIONS)])
    return {
        "batch": len(images),
        "median_ms": round(1e3 * measured.median, 4),
        "iqr_ms": round(1e3 * measured.iqr, 4),
        "measurements": REPETITIONS,
    }
