"""Latency as a cost: measured for a spread of candidates, predicted for all others by a linear model of counted costs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import kendalltau

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import Progress, report
from nas_lightning.errors import InputError, shorten
from nas_lightning.runs.reading import as_written, read_json
from nas_lightning.runs.writing import write_json
from nas_lightning.search.problem import CostOf, Floats, Problem, Rows
from nas_lightning.search.starts import Fresh, Spread
from nas_lightning.space import Architecture, Space, Structure

LATENCIES = ("latency", "batch_latency")
"""Costs in milliseconds: of a pass of one image, and of ``search.latency_batch``."""
FILE = "latency.json"
FIT, CHECK = 100, 20
"""Measured candidates to fit the model on, and others to check it on."""
FIGURES = ("fastest_ms", "median_ms", "iqr_ms")
LATENCY = FIGURES[0]
"""The figure that counts as the latency: what else the machine does can only add to a time."""
TERMS = ("constant", "multiply_adds", "activations")
"""Of the model: milliseconds per pass, per multiply-add and per activation of an image."""
Figures = Mapping[str, float]
Measured = Mapping[str, Figures]
"""By the cost's name."""


def terms(structure: Structure, widths: Rows) -> Floats:
    """(n, 3) what a latency is a linear function of."""
    counts = structure.cost(widths).multiply_adds, structure.activations(widths)
    return np.stack([np.ones(len(widths)), *counts], axis=1).astype(np.float64)


def fit(columns: Floats, milliseconds: Floats) -> Floats:
    """(k,) non-negative coefficients of (n, k) columns with the least sum of squared relative errors.

    Relative, as the noise of a measurement grows with it, and so that one which something delayed counts little. Non-negative,
    so that no candidate is predicted to be faster than a narrower one.
    """
    scale = columns.max(axis=0)
    return nnls(columns / scale / milliseconds[:, None], np.ones(len(milliseconds)))[0] / scale


def cost_of(structure: Structure, model: Mapping[str, Mapping[str, float]]) -> dict[str, CostOf]:
    """Predicted latencies by the cost's name, from the coefficients of each."""

    def predicted(coefficients: Floats, widths: Rows) -> Floats:
        return terms(structure, widths) @ coefficients

    return {name: partial(predicted, np.array([coefficients[term] for term in TERMS])) for name, coefficients in model.items()}


@dataclass(frozen=True)
class Latencies:
    """What was measured, each candidate once: all is written at once to a file, which a resumed search reads.

    Args:
        path: of the file.
        structure: of the candidates.
        protocol: device and threads, in which measurements must agree to be compared, and the images of a pass by the cost's name.
        measure: the figures of a candidate for a number of images, in milliseconds.
        wait: for the other processes of the launch, of which rank zero measures.
    """

    path: Path
    structure: Structure
    protocol: Mapping[str, Any]
    measure: Callable[[Architecture, int], Figures]
    wait: Callable[[], object]

    def of(self, architectures: Sequence[Architecture], label: str = "latency") -> dict[Architecture, Measured]:
        """What was measured of candidates, after measuring those that never were."""
        known, model = self.read()
        missing = [one for one in dict.fromkeys(architectures) if one not in known] if is_rank_zero() else []
        progress = Progress(label, len(missing), 0, "candidates", bool(missing))
        try:
            for architecture in missing:
                figures = {name: self.measure(architecture, images) for name, images in self.protocol["images"].items()}
                known[architecture] = {name: {figure: float(one[figure]) for figure in FIGURES} for name, one in figures.items()}
                self._write(known, model)
                progress.advance()
        finally:
            progress.close()
        self.wait()
        known, _ = self.read()
        return {architecture: known[architecture] for architecture in architectures}

    def model(self, problem: Problem, seed: int) -> dict[str, CostOf]:
        """Measures a spread of candidates, fits the model of each latency on most of them, and says how well it orders the others.

        Args:
            problem: with the counted costs, without limits.
        """
        space, fresh = self.structure.space, Fresh(Spread().stream(problem, seed))
        ends = fresh.unseen(problem.rows([space.smallest, space.largest]))
        rows = np.concatenate([ends, fresh.take(FIT + CHECK - len(ends)).reshape(-1, space.layers)])
        measured = list(self.of(problem.architectures(rows)).values())
        columns, fitted = terms(self.structure, problem.widths(rows)), min(FIT, len(rows))
        model: dict[str, dict[str, Any]] = {}
        for name, images in self.protocol["images"].items():
            times = np.array([figures[name][LATENCY] for figures in measured])
            coefficients = fit(columns[:fitted], times[:fitted])
            predicted, others = columns[fitted:] @ coefficients, times[fitted:]
            tau = float(kendalltau(predicted, others).statistic) if len(others) > 1 else float("nan")
            model[name] = {
                **dict(zip(TERMS, coefficients.tolist(), strict=True)),
                "fitted_on": fitted,
                "kendall": round(tau, 4) if np.isfinite(tau) else None,
                "checked_on": len(others),
                "median_relative_error": round(float(np.median(abs(predicted / others - 1))), 4) if len(others) else None,
            }
            if is_rank_zero():
                report(f"{name}: {describe(self.protocol, images, model[name])}")
        if is_rank_zero():
            self._write(self.read()[0], model)
        self.wait()
        return cost_of(self.structure, model)

    def read(self) -> tuple[dict[Architecture, Measured], dict[str, Any]]:
        """What the file holds: the measured candidates, and the model.

        Raises:
            InputError: if they were measured elsewhere or otherwise.
        """
        if not self.path.is_file():
            return {}, {}
        content = read_json(self.path)
        for key, value in self.protocol.items():
            if (before := content.get(key)) != value:
                shown = (json.dumps(one) if isinstance(one, dict) else shorten(one) for one in (before, value))
                raise InputError(
                    "{}: {} was {}, is {}; other latencies do not compare; give another run_dir".format(self.path, key, *shown)
                )
        return _measured(self.path, content, self.structure.space, self.protocol["images"]), content.get("model") or {}

    def _write(self, known: Mapping[Architecture, Measured], model: Mapping[str, Any]) -> None:
        rows = [{"architecture": self.structure.space.text(one), **measured} for one, measured in known.items()]
        write_json(self.path, {**self.protocol, "model": dict(model), "measured": rows})


def describe(protocol: Mapping[str, Any], images: int, model: Mapping[str, Any]) -> str:
    """How a latency was measured, and how far its predictions can be trusted."""
    threads, tau = protocol["threads"], model["kendall"]
    measured = f"{images} image{'s' * (images > 1)} a pass on {protocol['device']}, {threads} thread{'s' * (threads > 1)}"
    fitted = f"{measured}; fitted on {model['fitted_on']} candidates"
    if tau is None:
        return fitted
    return f"{fitted}\n  on {model['checked_on']} others: Kendall {tau:.2f}, median error {model['median_relative_error']:.1%}"


def read_model(folder: Path, structure: Structure) -> dict[str, CostOf]:
    """The predicted latencies of a search, from its folder; none if it has none.

    Raises:
        InputError: if the file does not hold what a search writes.
    """
    if not (path := folder / FILE).is_file():
        return {}
    content = read_json(path)
    with as_written(path, "nas-search"):
        return cost_of(structure, {str(name): {term: float(one[term]) for term in TERMS} for name, one in content["model"].items()})


def _measured(path: Path, content: Mapping[str, Any], space: Space, names: Mapping[str, int]) -> dict[Architecture, Measured]:
    with as_written(path, "nas-search"):
        return {
            space.parse(row["architecture"]): {name: {figure: float(row[name][figure]) for figure in FIGURES} for name in names}
            for row in content["measured"]
        }
