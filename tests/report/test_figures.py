"""The figures show what the files hold."""

import csv
import io
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from example_run import LAYERS, WIDTHS, write_example
from matplotlib.figure import Figure as Canvas
from PIL import Image

from nas_lightning.report.drawing import ACCENT, Picture, draw_both, spaced
from nas_lightning.report.parts.scores import pareto_front
from nas_lightning.report.run import RunFiles, read_run
from nas_lightning.report.write import make_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def run(folder: Path) -> RunFiles:
    return read_run(folder)


@pytest.fixture(scope="module")
def figures(run: RunFiles) -> dict[str, tuple[Picture, Picture]]:
    return {figure.name: draw_both(figure) for part in make_parts(run, points=3000) for figure in part.figures}


def points(picture: Picture) -> list[tuple[float, float]]:
    return [point for hover in picture.hovers for point in zip(hover.x, hover.y, strict=True)]


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


def test_a_point_lies_at_its_score_and_its_known_accuracy(
    figures: dict[str, tuple[Picture, Picture]], rows: list[dict[str, str]], known: dict[str, float]
):
    found = sorted(points(figures["against_truth"][0]))
    expected = sorted((float(row["cross_entropy"]), 100 * known[row["name"]]) for row in rows if row["name"] in known)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_places_are_counted_from_the_best_and_ties_share_theirs(
    run: RunFiles, figures: dict[str, tuple[Picture, Picture]], known: dict[str, float]
):
    assert run.ranking is not None
    candidates = run.ranking.table.population
    scores = {row.name: score for row, score in zip(candidates, run.ranking.quality, strict=True) if row.name in known}

    def place(values: dict[str, float], name: str) -> float:
        return (
            1 + sum(value > values[name] for value in values.values()) + (sum(value == values[name] for value in values.values()) - 1) / 2
        )

    expected = sorted((place(scores, name), place(known, name)) for name in known)
    np.testing.assert_allclose(sorted(points(figures["ranks"][0])), expected)


def test_a_cell_is_the_mean_score_of_a_width_minus_the_mean_of_all(figures: dict[str, tuple[Picture, Picture]], rows: list[dict[str, str]]):
    scores = defaultdict(list)
    for row in rows:
        for layer, width in enumerate(row["architecture"].split("-")[:LAYERS]):
            scores[layer, width].append(-float(row["cross_entropy"]))
    mean = np.mean([-float(row["cross_entropy"]) for row in rows])
    (hover,) = figures["widths"][0].hovers
    told = {f"layer {layer + 1}, width {width}": np.mean(values) - mean for (layer, width), values in scores.items()}
    found = {text.split("\n")[0]: float(text.split("\n")[1].split()[-2]) for text in hover.texts}
    assert found == {cell: pytest.approx(value, abs=6e-4) for cell, value in told.items()}


def test_choices_that_have_names_are_shown_by_them_and_by_places_in_their_lists(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "run")
    path, names = tmp_path / "run/ranking/protocol.json", [f"blocks.{number}" for number in range(LAYERS)]
    choices = {name: [*WIDTHS, 1000 + number] for number, name in enumerate(names)}  # the last is no candidate's
    path.write_text(json.dumps({**json.loads(path.read_text()), "choices": choices}))
    part = next(part for part in make_parts(read_run(tmp_path / "run"), points=3000) if part.title == "What each layer's width does")
    canvas = Canvas()
    (hover,) = part.figures[0].draw(canvas)
    for text, layer, place in zip(hover.texts, hover.x, hover.y, strict=True):
        assert text.startswith(f"blocks.{layer}, width {WIDTHS[place]}\n")
    assert len(hover.texts) == 13  # of 15: all have one width in the last layer
    assert all(name in names for name in part.paragraphs[0].rpartition(": ")[2].rstrip(".").split(", "))
    for wrong in ({"a": [4]}, {name: ["4"] for name in names}, {name: [4] for name in names}, [1]):
        path.write_text(json.dumps({**json.loads(path.read_text()), "choices": wrong}))
        parts = make_parts(read_run(tmp_path / "run"), points=3000)
        (hover,) = next(figure for part in parts for figure in part.figures if figure.name == "widths").draw(Canvas())
        assert hover.texts[0].startswith("layer 1, width")


def test_a_pointer_finds_a_point_where_the_picture_has_it(figures: dict[str, tuple[Picture, Picture]]):
    accent = np.array([int(ACCENT[start : start + 2], 16) for start in (1, 3, 5)])
    for picture in figures["costs"]:
        pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)
        height, width, _ = pixels.shape
        (hover,), ((left, top, across, down, x0, x1, y0, y1),) = picture.hovers, picture.frames
        places = [(left + across * (x - x0) / (x1 - x0), top + down * (y1 - y) / (y1 - y0)) for x, y in zip(hover.x, hover.y, strict=True)]
        colours = np.array([pixels[int(y * height), int(x * width)] for x, y in places])
        assert (np.abs(colours - 255).sum(axis=1) > 60).all()  # every point is drawn
        assert (np.abs(colours - accent).sum(axis=1) < 20).sum() > 1  # the front in the accent


def test_the_ceiling_is_dashed_where_it_is_known(run: RunFiles):
    (figure,) = [figure for part in make_parts(run, points=3000) for figure in part.figures if figure.name == "baselines"]
    canvas = Canvas()
    figure.draw(canvas)
    assert [line.get_xdata()[0] for axes in canvas.axes for line in axes.lines if line.get_linestyle() == "--"] == [0.9, 0.95]


def test_both_arrangements_have_the_same_points_within_their_axes(figures: dict[str, tuple[Picture, Picture]]):
    assert set(figures) == {"against_truth", "baselines", "ranks", "costs", "parameters", "widths", "training"}
    for wide, narrow in figures.values():
        assert points(wide) == points(narrow)
        for picture in (wide, narrow):
            for hover, (left, top, across, down, x0, x1, y0, y1) in zip(picture.hovers, picture.frames, strict=True):
                assert 0 <= left < left + across <= 1
                assert 0 <= top < top + down <= 1
                assert all(min(x0, x1) <= x <= max(x0, x1) for x in hover.x)
                assert all(min(y0, y1) <= y <= max(y0, y1) for y in hover.y)


def test_a_sample_is_evenly_spaced_and_keeps_both_ends():
    np.testing.assert_array_equal(spaced(np.arange(101), 11), np.arange(0, 101, 10))
    np.testing.assert_array_equal(spaced(np.arange(5), 11), np.arange(5))


def test_of_few_candidates_only_the_best_quarter_is_outlined(tmp_path: Path):
    write_example(tmp_path, known=8)
    (figure,) = [one for part in make_parts(read_run(tmp_path), 3000) for one in part.figures if one.name == "against_truth"]
    figure.draw(canvas := Canvas())
    others, best = (len(points.get_offsets()) for points in canvas.axes[0].collections[-2:])
    assert (others, best) == (6, 2)  # all eight of one colour would single out none
    losses = [points.get_offsets()[:, 0] for points in canvas.axes[0].collections[-2:]]
    assert losses[1].max() < losses[0].min()  # cross entropies, of which less is better
    assert canvas.axes[0].xaxis.get_inverted()  # the best at the right
    assert "Outlined: the 2 best by score." in " ".join(figure.notes)
