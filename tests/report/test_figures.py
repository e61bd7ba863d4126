"""The figures show what the files hold."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from example_run import LAYERS, write_example

from nas_lightning.report.candidates import match, read_candidates
from nas_lightning.report.content import Figure
from nas_lightning.report.look import spaced
from nas_lightning.report.parts.costs import pareto_front
from nas_lightning.report.run import Run, read_run
from nas_lightning.report.write import make_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


@pytest.fixture(scope="module")
def figures(run: Run) -> dict[str, Figure]:
    return {part.figure.name: part.figure for part in make_parts(run, points=3000) if part.figure is not None}


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "ranking/scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def known(folder: Path) -> dict[str, float]:
    return {name: entry["acc"] for name, entry in json.loads((folder / "ranking/known_accuracies.json").read_text()).items()}


def test_no_cheaper_candidate_has_the_score_of_one_on_the_front():
    rng = np.random.default_rng(1)
    macs, quality = rng.integers(1, 20, 200).astype(float), rng.integers(1, 30, 200).astype(float)
    front = pareto_front(macs, quality)
    expected = set()
    for row in range(200):
        better = (macs <= macs[row]) & (quality >= quality[row]) & ((macs < macs[row]) | (quality > quality[row]))
        if not better.any():
            expected.add((macs[row], quality[row]))
    assert {(macs[row], quality[row]) for row in front} == expected
    assert len(front) == len(expected)
    assert (np.diff(macs[front]) > 0).all()


def test_a_point_lies_at_its_score_and_its_known_accuracy(figures: dict[str, Figure], rows: list[dict[str, str]], known: dict[str, float]):
    found = sorted(point for trace in figures["against_truth"].traces for point in zip(trace["x"], trace["y"], strict=True))
    expected = sorted((-float(row["cross_entropy"]), 100 * known[row["name"]]) for row in rows if row["name"] in known)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_places_are_counted_from_the_best_and_ties_share_theirs(run: Run, figures: dict[str, Figure], known: dict[str, float]):
    assert run.candidates is not None
    scores = {name: score for name, score in zip(run.candidates.names, run.quality, strict=True) if name in known}

    def place(values: dict[str, float], name: str) -> float:
        return (
            1 + sum(value > values[name] for value in values.values()) + (sum(value == values[name] for value in values.values()) - 1) / 2
        )

    expected = sorted((place(known, name), place(scores, name) - place(known, name)) for name in known)
    (trace,) = figures["ranks"].traces
    np.testing.assert_allclose(sorted(zip(trace["x"], trace["y"], strict=True)), expected)


def test_a_cell_is_the_mean_score_of_the_candidates_with_that_width_minus_the_mean_of_all(
    figures: dict[str, Figure], rows: list[dict[str, str]]
):
    scores = defaultdict(list)
    for row in rows:
        for layer, width in enumerate(row["architecture"].split("-")[:LAYERS]):
            scores[layer, width].append(-float(row["cross_entropy"]))
    mean = np.mean([-float(row["cross_entropy"]) for row in rows])
    (trace,) = figures["widths"].traces
    for line, width in enumerate(trace["y"]):
        for layer in range(LAYERS):
            cell = trace["z"][line][layer]
            if (layer, width) in scores:
                assert cell == pytest.approx(np.mean(scores[layer, width]) - mean, rel=1e-3, abs=1e-4)
            else:
                assert cell is None


def test_accuracies_are_matched_with_and_without_the_entry_that_no_layer_reads(folder: Path):
    candidates = read_candidates(folder / "ranking/scores.csv", LAYERS)
    first, second = (tuple(widths) for widths in candidates.widths[:2].tolist())
    truth = match(candidates, {(*first, 99): 0.5, second: 0.6})
    np.testing.assert_array_equal(truth[:3], [0.5, 0.6, np.nan])
    assert np.isnan(truth[2:]).all()


def test_a_sample_is_evenly_spaced_and_keeps_both_ends():
    np.testing.assert_array_equal(spaced(np.arange(101), 11), np.arange(0, 101, 10))
    np.testing.assert_array_equal(spaced(np.arange(5), 11), np.arange(5))
