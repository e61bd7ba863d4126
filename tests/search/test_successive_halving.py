"""Few images for most, all for the best: against the full evaluation of every candidate."""

import csv
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_lightning.commands.ranking import _rank_cheap_first
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring import predict
from nas_lightning.scoring.predict import rank_to_folder
from nas_lightning.scoring.score import Scorer, rank_by_image, score_candidates
from nas_lightning.scoring.table import Score
from nas_lightning.search.successive_halving import Losses, make_rungs, may_be_among, successive_halving
from nas_lightning.space import Architecture, Candidate, Population, SearchSpace
from nas_lightning.supernet import Supernet

SPACE = SearchSpace("tiny", (1, 1), (4, 6), 2, 8)
CLASSES, BATCH, IMAGES = 7, 6, 42  # levels of 6, 12, 24 and 42 images


def test_levels_double_and_the_last_takes_what_is_left():
    assert make_rungs(1000, 250) == [(0, 250), (250, 500), (500, 1000)]
    assert make_rungs(IMAGES, BATCH) == [(0, 6), (6, 12), (12, 24), (24, 42)]
    assert make_rungs(30, 30) == [(0, 30)]


@pytest.mark.parametrize(
    ("images", "batch_size", "says"),
    [(30, None, "batch_size: None must be"), (30, 1, "batch_size: 1 must be"), (30, 12, "images: 30 are not whole batches"), (5, 10, "5")],
)
def test_images_that_are_not_whole_batches_are_refused(images: int, batch_size: int | None, says: str):
    with pytest.raises(InputError, match=says):
        make_rungs(images, batch_size)


@pytest.mark.parametrize("seed", range(5))
def test_who_goes_on_is_what_a_plain_loop_finds(seed: int):
    rng = np.random.default_rng(seed)
    losses = (rng.normal(size=(30, 1)) * 0.2 + rng.normal(size=20) + rng.normal(size=(30, 20)) * 0.5).astype(np.float32)
    for place in (1, 5, 29, 30, 40):
        order = sorted(range(30), key=lambda row: sum(map(float, losses[row])))
        expected = []
        for row in range(30):
            if place >= 30 or row in order[:place]:
                expected.append(True)
                continue
            differences = [float(one - other) for one, other in zip(losses[row], losses[order[place - 1]], strict=True)]
            mean = sum(differences) / 20
            variance = sum((one - mean) ** 2 for one in differences) / 19
            expected.append(mean <= 2 * math.sqrt(variance / 20))
        assert may_be_among(losses, place).tolist() == expected
        assert place >= 29 or not all(expected)


def test_a_tie_with_the_last_kept_is_lost_in_two_percent_of_draws():
    rng = np.random.default_rng(0)
    kept = [may_be_among(rng.normal(size=(2, 100)).astype(np.float32), 1) for _ in range(4000)]  # either may be the one that is lost
    assert np.mean([not both.all() for both in kept]) / 2 == pytest.approx(0.023, abs=0.006)


# --- on made-up losses


def population(count: int) -> Population:
    return Population.of(SPACE, SPACE.sample_distinct(count, generator(0, "test")))


def made_up(quality: np.ndarray, seed: int = 0) -> Losses:
    """Losses of candidates by their quality: images differ in difficulty, and every pair has a chance of its own."""
    rng = np.random.default_rng(seed)
    return (3 + quality[:, None] + rng.normal(size=IMAGES) + 0.3 * rng.normal(size=(len(quality), IMAGES))).astype(np.float32)


def ranked(losses: Losses, keep: float) -> tuple[Any, list[tuple[int, int, int]]]:
    """The ranking, and how many candidates were given which images."""
    whole, calls = population(len(losses)), []
    places = {candidate: row for row, candidate in enumerate(whole)}

    def evaluate(some: Population, first: int, end: int) -> tuple[list[Score], Losses]:
        calls.append((len(some), first, end))
        part = losses[[places[candidate] for candidate in some], first:end]
        return [Score(float((row < 3).mean()), float((row < 4).mean()), float(row.mean(dtype=float))) for row in part], part

    return successive_halving(whole, make_rungs(IMAGES, BATCH), keep, evaluate), calls


def images_given(calls: list[tuple[int, int, int]]) -> int:
    return sum(count * (end - first) for count, first, end in calls)


def test_clear_differences_give_the_full_evaluations_best():
    quality = np.random.default_rng(1).permutation(60) * 0.5
    losses = made_up(quality)
    found, calls = ranked(losses, keep=0.1)
    assert found.place == 6
    mine = np.argsort([one.cross_entropy for one in found.scores])
    full = np.argsort(losses.mean(1, dtype=float))
    assert mine[:6].tolist() == full[:6].tolist()
    assert mine.tolist() == full.tolist()  # here even a single batch tells all of them apart
    assert [level.candidates for level in found.rungs] == [count for count, _, _ in calls]
    assert found.evaluated == images_given(calls) < 0.4 * 60 * IMAGES
    assert found.saved == pytest.approx(1 - images_given(calls) / (60 * IMAGES))


@pytest.mark.parametrize("seed", range(6))
def test_those_given_more_images_stand_above_those_given_fewer(seed: int):
    rng = np.random.default_rng(seed)
    losses = made_up(rng.normal(size=70) * 0.15, seed)
    losses[:, BATCH:] += rng.normal()  # the first images are easier or harder than the others
    found, _ = ranked(losses, keep=0.05)
    scores = np.array(found.scores)
    order = np.argsort(scores[:, 2])
    given = []
    for number, level in enumerate(found.rungs):
        here = level.dropped if number + 1 < len(found.rungs) else level.candidates
        given = [level.images] * here + given
    assert len(given) == 70
    start = 0
    for count, end in sorted({(given.count(end), end) for end in given}, key=lambda pair: -pair[1]):
        group = order[start : start + count]
        means = losses[group, :end].mean(1, dtype=float)
        assert np.all(np.diff(means) >= 0)  # within a group it is the order of its own images,
        np.testing.assert_allclose(scores[group, 2] - means, scores[group[0], 2] - means[0], atol=1e-9)  # and the distances
        if end < IMAGES:
            level = next(one for one in found.rungs if one.images == end)
            assert scores[group[0], 2] - means[0] == pytest.approx(level.scale + level.raised)
            finalists = order[: given.count(IMAGES)]
            assert level.scale == pytest.approx(float((losses[finalists].mean(1) - losses[finalists, :end].mean(1)).mean()), abs=1e-5)
            assert scores[group[0], 2] > scores[order[start - 1], 2]
        start += count
    assert np.all((scores[:, :2] >= 0) & (scores[:, :2] <= 1))
    assert len(set(given)) > 2


def test_where_everything_is_kept_nothing_is_saved():
    losses = made_up(np.random.default_rng(2).normal(size=30))
    found, calls = ranked(losses, keep=1)
    assert (found.saved, images_given(calls)) == (0, 30 * IMAGES)
    np.testing.assert_allclose([one.cross_entropy for one in found.scores], losses.mean(1, dtype=float), rtol=1e-12)


def test_a_share_of_nothing_keeps_the_best_one():
    found, _ = ranked(made_up(np.arange(20) * 1.0), keep=0)
    assert found.place == 1
    assert int(np.argmin([one.cross_entropy for one in found.scores])) == 0


# --- on a supernet


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(IMAGES, 1, 8, 8, generator=draw, dtype=torch.float64), torch.randint(CLASSES, (IMAGES,), generator=draw)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(SPACE, CLASSES, 1, seed=5).double().eval()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """The candidates that are computed, once for each level."""
    found: list[Architecture] = []

    def counting(supernet: Supernet, architectures: list[Architecture], *more: Any) -> Any:
        found.extend(architectures)
        return rank_by_image(supernet, architectures, *more)

    monkeypatch.setattr(predict, "rank_by_image", counting)
    return found


def assert_alike(ours: list[Score], others: list[Score]) -> None:
    """To rounding: in another chunk a candidate may share other layers."""
    np.testing.assert_allclose(np.array(ours), np.array(others), rtol=1e-12)


def to_folder(supernet: Supernet, some: Population, images: tuple, folder: Path, keep: float = 0.2, chunk_size: int = 4) -> list[Score]:
    cpu = {"accelerator": "cpu", "devices": 1}
    ranking = partial(rank_to_folder, supernet, scorer=Scorer(batch_size=BATCH, chunk_size=chunk_size), trainer_arguments=cpu)
    found = _rank_cheap_first(ranking, some, make_rungs(IMAGES, BATCH), keep, images, folder)
    write_json(folder / "cheap_first.json", found.to_json())
    return found.scores


def test_survivors_have_the_scores_of_the_full_evaluation(supernet, images, tmp_path: Path):
    whole = population(25)
    scores = to_folder(supernet, whole, images, tmp_path)
    full = score_candidates(supernet, whole.architectures, *images, batch_size=BATCH)
    told = json.loads((tmp_path / "cheap_first.json").read_text())
    survivors = told["levels"][-1]["candidates"]
    assert 5 <= survivors < 25
    best = sorted(range(25), key=lambda row: scores[row].cross_entropy)[:survivors]
    for row in best:
        assert (scores[row].top1, scores[row].top5) == (full[row].top1, full[row].top5)
        assert scores[row].cross_entropy == pytest.approx(full[row].cross_entropy, rel=1e-12)
    assert told["images_evaluated"] == sum(
        level["candidates"] * (end - first) for level, (first, end) in zip(told["levels"], make_rungs(IMAGES, BATCH), strict=True)
    )


def test_a_candidate_that_stands_twice_counts_and_is_computed_once(supernet, images, tmp_path: Path, computed):
    whole = population(10)
    doubled = Population(SPACE, (*whole.candidates, Candidate("again", whole[3].text, whole[3].architecture)))
    scores = to_folder(supernet, doubled, images, tmp_path / "a", keep=1)
    assert scores[10] == scores[3]
    assert len(computed) == 10 * len(make_rungs(IMAGES, BATCH))


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_a_stopped_ranking_repeats_nothing(chunk_size: int, supernet, images, tmp_path: Path, computed):
    whole = population(25)
    scores = to_folder(supernet, whole, images, tmp_path)
    computed.clear()
    assert to_folder(supernet, whole, images, tmp_path, chunk_size=chunk_size) == scores
    assert not computed
    before = (tmp_path / "cheap_first.json").read_bytes()
    lost = [tmp_path / "parts/0-5/8-11.csv", *(tmp_path / "parts/6-11").glob("*.csv")]
    missing = sum(len(path.read_text().splitlines()) - 1 for path in lost)
    for path in lost:  # as if it had been stopped within the first level, after the losses of a chunk and before its rows
        path.unlink()
    assert_alike(to_folder(supernet, whole, images, tmp_path, chunk_size=chunk_size), scores)
    assert len(computed) == missing
    assert json.loads(before)["images_evaluated"] == json.loads((tmp_path / "cheap_first.json").read_bytes())["images_evaluated"]


def test_a_ranking_of_some_goes_on_as_one_of_all(supernet, images, tmp_path: Path, computed):
    whole = population(20)
    to_folder(supernet, Population(SPACE, whole.candidates[::2]), images, tmp_path)
    before = list(computed)
    scores = to_folder(supernet, whole, images, tmp_path)
    assert_alike(scores, to_folder(supernet, whole, images, tmp_path / "other"))
    assert computed[len(before) :][:10] == sorted(whole.architectures[1::2], key=lambda one: one.widths)  # the first level of the others


# --- by the command


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ARGUMENTS = (
    "ranking.predictor=none",
    "ranking.score=cross_entropy",
    "ranking.images=300",
    "ranking.batch_size=50",
    "ranking.cheap_first=true",
)


@pytest.mark.slow
def test_the_command_tells_what_was_given_to_whom(micro: Path, tmp_path: Path, command: Callable):
    start = (f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", *ARGUMENTS)
    done = command("rank", *start, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert "Cheap first: candidates on images: 24 on 50, " in done.out
    protocol = json.loads((tmp_path / "run/ranking/protocol.json").read_text())
    assert protocol["cheap_first"] == {"keep": 0.1, "z": 2.0}
    told = json.loads((tmp_path / "run/ranking/cheap_first.json").read_text())
    assert told["kept_best"] == 3
    assert 0 < told["images_saved"] < 1
    assert [level["images"] for level in told["levels"]] == [50, 100, 200, 300]
    assert [*rows(tmp_path / "run/ranking/scores.csv")[0], "predicted"] == list(rows(micro / "ranking/scores.csv")[0])
    before = (tmp_path / "run/ranking/scores.csv").read_bytes()
    assert command("rank", *start, f"run_dir={tmp_path}/run").code == 0
    assert (tmp_path / "run/ranking/scores.csv").read_bytes() == before
    for argument, says in (
        ("ranking.cheap_first_keep=0.2", "cheap_first is {'keep': 0.1, 'z': 2.0}, but this ranking has {'keep': 0.2, 'z': 2.0}"),
        ("ranking.cheap_first=false", "cheap_first is {'keep': 0.1, 'z': 2.0}, but this ranking has False"),
    ):
        refused = command("rank", *start, argument, f"run_dir={tmp_path}/run")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert says in refused.err


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("ranking.score=top1", "ranking.cheap_first: true gives most candidates few images"),
        ("ranking.statistics=recalibrated", "ranking.statistics: recalibrated cannot go with cheap_first"),
        ("ranking.batch_size=null", "ranking.batch_size: None must be at least 2"),
        ("ranking.batch_size=70", "ranking.images: 300 are not whole batches of ranking.batch_size=70"),
        ("ranking.cheap_first_keep=1.1", "ranking.cheap_first_keep: 1.1 must be at most 1"),
    ],
)
@pytest.mark.parametrize("entry", ["rank", "train"])
def test_what_does_not_go_with_cheap_first_is_refused_at_once(
    entry: str, argument: str, says: str, micro: Path, tmp_path: Path, command: Callable
):
    start = [f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json"]
    arguments = start if entry == "rank" else ["experiment=micro"]
    done = command(entry, *arguments, *ARGUMENTS, argument, f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert says in done.err
    assert not (tmp_path / "run/ranking/protocol.json").exists()
    assert not (tmp_path / "run/stages").exists()
