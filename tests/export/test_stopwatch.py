"""The measuring of a latency, by a clock that the test sets."""

import numpy as np
import pytest
import torch

from nas_lightning.export.latency import FEWEST, MOST, SECONDS, latency


@pytest.mark.parametrize("seconds", [1e-5, 0.01, 1.0])
def test_each_pass_is_timed_by_itself(seconds: float, monkeypatch: pytest.MonkeyPatch):
    rng, now, times = np.random.default_rng(0), [100.0], list[float]()
    monkeypatch.setattr("torch.utils.benchmark.utils.timer.timer", lambda: now[0])

    def run(images: torch.Tensor) -> None:
        assert len(images) == 3
        times.append(seconds * (1 + rng.uniform()))
        now[0] += times[-1]

    measured = latency(run, torch.zeros(3, 1))
    passes = measured["measurements"]
    assert FEWEST <= passes <= MOST
    assert passes in (FEWEST, MOST) or 0.3 * SECONDS < passes * seconds < 3 * SECONDS
    low, median, high = np.quantile(1e3 * np.array(times[-passes:]), (0.25, 0.5, 0.75))
    figures = [measured[name] for name in ("batch", "fastest_ms", "median_ms", "iqr_ms")]
    assert figures == pytest.approx([3, 1e3 * min(times[-passes:]), median, high - low], abs=1e-4)
