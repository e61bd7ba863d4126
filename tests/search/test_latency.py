"""Latency as a cost: the linear model, what is measured once, and finalists that keep to their budget as measured."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nas_lightning.errors import InputError
from nas_lightning.search.finalists import Finalists
from nas_lightning.search.latency import CHECK, FIT, Latencies, fit, read_model, terms
from nas_lightning.search.problem import Problem
from nas_lightning.search.record import Record
from nas_lightning.space import Architecture, ResidualStructure, ShortcutRule
from nas_lightning.supernet import SingleNetwork
from tests.search.problems import SPACE, STRUCTURE, evaluate, problem
from tests.search.test_search import search

TRUE = np.array([0.8, 3e-6, 2e-4])
"""Milliseconds of a pass, of a multiply-add and of an activation, made up."""
PROTOCOL = {"device": "a test", "threads": 1, "images": {"latency": 1}}


def made_up(architecture: Architecture, noise: float = 0.0) -> dict[str, float]:
    """Figures by a linear function, with noise that is a candidate's own."""
    factor = 1 + noise * np.random.default_rng(list(architecture.widths)).uniform(-1, 1)
    time = float(terms(STRUCTURE, np.array([architecture.widths]))[0] @ TRUE * factor)
    return {"fastest_ms": time, "median_ms": 2 * time, "iqr_ms": 0.5, "measurements": 7}


class Stopwatch:
    """Measures made-up latencies, and keeps what it was asked for."""

    def __init__(self, noise: float = 0.0, stops_after: int | None = None) -> None:
        self.noise, self.stops_after, self.asked = noise, stops_after, list[Architecture]()

    def __call__(self, architecture: Architecture, images: int) -> Mapping[str, float]:
        assert images == 1
        if len(self.asked) == self.stops_after:
            raise KeyboardInterrupt
        self.asked.append(architecture)
        return made_up(architecture, self.noise)


def latencies(folder: Path, measure: Stopwatch, **changed: Any) -> Latencies:
    return Latencies(folder / "latency.json", STRUCTURE, {**PROTOCOL, **changed}, measure, lambda: None)


def random_widths(count: int, seed: int = 0) -> np.ndarray:
    return np.array([one.widths for one in SPACE.sample_distinct(count, np.random.default_rng(seed))])


@pytest.mark.parametrize("shortcuts", ShortcutRule)
def test_activations_are_what_the_convolutions_write(shortcuts: ShortcutRule):
    structure, written = ResidualStructure(SPACE, classes=10, shortcuts=shortcuts), list[int]()
    architectures = [SPACE.largest, SPACE.smallest, *SPACE.sample_distinct(4, np.random.default_rng(0))]
    for architecture, counted in zip(architectures, structure.activations([one.widths for one in architectures]), strict=True):
        written.clear()
        network = SingleNetwork(structure, architecture)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, output: written.append(output.numel()))
        network(torch.zeros(1, 3, 8, 8))
        assert sum(written) == counted


def test_a_linear_cost_is_recovered_exactly():
    columns = terms(STRUCTURE, random_widths(20))
    np.testing.assert_allclose(fit(columns, columns @ TRUE), TRUE, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_best_of_all_sets_of_terms(seed: int):
    columns, rng = terms(STRUCTURE, random_widths(30, seed)), np.random.default_rng(seed)
    times = columns @ TRUE * rng.uniform(0.3, 2, 30)  # noise in which some coefficients would be negative

    def error(coefficients: np.ndarray) -> float:
        return float((((columns @ coefficients - times) / times) ** 2).sum())

    best = np.inf
    for size in (1, 2, 3):
        for kept in map(list, combinations(range(3), size)):
            coefficients, scale = np.zeros(3), columns.max(axis=0)
            solved = np.linalg.lstsq((columns / scale)[:, kept] / times[:, None], np.ones(30), rcond=None)[0]
            coefficients[kept] = solved / scale[kept]
            best = min(best, error(coefficients)) if (coefficients >= 0).all() else best
    fitted = fit(columns, times)
    assert (fitted >= 0).all()
    assert error(fitted) == pytest.approx(best, rel=1e-9)


def test_a_spread_is_measured_and_the_model_is_checked_on_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    watch = Stopwatch()
    predicted = latencies(tmp_path, watch).model(problem(), seed=0)["latency"]
    assert len({*watch.asked}) == len(watch.asked) == FIT + CHECK
    assert watch.asked[:2] == [SPACE.smallest, SPACE.largest]
    widths = random_widths(50, seed=1)
    np.testing.assert_allclose(predicted(widths), terms(STRUCTURE, widths) @ TRUE, rtol=1e-9)
    content = json.loads((tmp_path / "latency.json").read_text())
    model = content["model"]["latency"]
    assert (model["kendall"], model["checked_on"], model["fitted_on"], len(content["measured"])) == (1.0, CHECK, FIT, FIT + CHECK)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == [
        "latency: 1 image a pass on a test, 1 thread; fitted on 100 candidates",
        "  on 20 others: Kendall 1.00, median error 0.0%",
    ]
    (again,) = read_model(tmp_path, STRUCTURE).values()
    assert again(widths).tolist() == predicted(widths).tolist()


@pytest.mark.parametrize("killed_after", [0, 1, 12, 20])
def test_nothing_is_measured_twice(killed_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.search.latency.FIT", 15)
    monkeypatch.setattr("nas_lightning.search.latency.CHECK", 5)
    whole = Stopwatch(noise=0.2)
    latencies(tmp_path / "whole", whole).model(problem(), seed=0)
    first, second = Stopwatch(0.2, killed_after), Stopwatch(0.2)
    if killed_after < 20:
        with pytest.raises(KeyboardInterrupt):
            latencies(tmp_path, first).model(problem(), seed=0)
    else:
        latencies(tmp_path, first).model(problem(), seed=0)
    latencies(tmp_path, second).model(problem(), seed=0)
    assert first.asked + second.asked == whole.asked
    assert (tmp_path / "latency.json").read_bytes() == (tmp_path / "whole/latency.json").read_bytes()


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"threads": 2}, "threads was 1, is 2"),
        ({"device": "another"}, "device was 'a test', is 'another'"),
        ({"images": {"latency": 1, "batch_latency": 8}}, 'images was {"latency": 1}, is {"latency": 1, "batch_latency": 8}'),
    ],
)
def test_latencies_measured_otherwise_are_refused(changed: dict[str, Any], line: str, tmp_path: Path):
    latencies(tmp_path, Stopwatch()).of([SPACE.smallest])
    with pytest.raises(InputError) as caught:
        latencies(tmp_path, Stopwatch(), **changed).of([SPACE.largest])
    assert str(caught.value) == f"{tmp_path}/latency.json: {line}; other latencies do not compare; give another run_dir"


@pytest.mark.parametrize(
    "rows", [7, [7], [{"architecture": "8-8"}], [{"architecture": "8-8-8-8-8-8-8", "latency": {"fastest_ms": "fast"}}]]
)
def test_a_damaged_file_is_one_line(rows: Any, tmp_path: Path):
    (tmp_path / "latency.json").write_text(json.dumps({**PROTOCOL, "measured": rows}))
    with pytest.raises(InputError, match=r"latency.json: does not hold what nas-search writes there \("):
        latencies(tmp_path, Stopwatch()).of([SPACE.largest])
    with pytest.raises(InputError, match=r"latency.json: does not hold what nas-search writes there \("):
        read_model(tmp_path, STRUCTURE)


def test_finalists_keep_to_their_budget_as_measured(tmp_path: Path):
    watches = latencies(tmp_path, Stopwatch(noise=0.3))
    unlimited = Problem(SPACE, {**problem().cost_of, **watches.model(problem(), seed=0)})
    low, high = (share * unlimited.ends("latency")[1] for share in (0.6, 0.7))
    limited = replace(unlimited, budgets=({"latency": low}, {"latency": high}))
    rows = search(limited, evaluations=80).run(evaluate).rows
    assert max(row.costs["latency"] for row in rows) <= high
    chosen = Finalists(Record(tmp_path, limited), "cross_entropy", 4, evaluate, evaluate, (20, 20), watches).choose(rows)
    true = {SPACE.text(row.architecture): made_up(row.architecture, 0.3)["fastest_ms"] for row in rows}
    for limit in (low, high):
        kept = [row for row in rows if row.costs["latency"] <= limit]
        assert any(true[SPACE.text(row.architecture)] > limit for row in kept)  # else this would test nothing
        best = sorted((row for row in kept if true[SPACE.text(row.architecture)] <= limit), key=lambda row: row.score.cross_entropy)[:4]
        ours = [entry for entry in chosen if entry["budget"] == {"latency": limit}]
        assert [entry["architecture"] for entry in ours] == [SPACE.text(row.architecture) for row in best]
        for entry in ours:
            assert entry["measured"]["latency"]["fastest_ms"] == true[entry["architecture"]] <= limit
            assert entry["cost"]["latency"] != true[entry["architecture"]]
