"""A score is what the cut-out network does on the images; a ranking is the same scores, however they were come by."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from nas_lightning.errors import InputError
from nas_lightning.scoring import predict
from nas_lightning.scoring.halves import read_losses_of_halves
from nas_lightning.scoring.predict import rank_to_folder
from nas_lightning.scoring.score import Scorer, rank_by_image, score, score_candidates
from nas_lightning.scoring.table import Score, write_part
from nas_lightning.space import Architecture, Candidate, Population, SearchSpace
from nas_lightning.supernet import Supernet, cut

SPACE = SearchSpace("tiny", (1, 1), (4, 6), 2, 8)
CLASSES = 7
CPU = {"accelerator": "cpu", "devices": 1}


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(40, 1, 8, 8, generator=draw), torch.randint(CLASSES, (40,), generator=draw)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(SPACE, CLASSES, 1, seed=5).eval()


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(SPACE, 11, 3)


def by_hand(logits: torch.Tensor, labels: torch.Tensor) -> Score:
    """A plain loop over images in plain floats."""
    top1 = top5 = loss = 0.0
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        better = sum(value > row[label] for value in row)
        top1 += better < 1
        top5 += better < 5
        loss += math.log(sum(math.exp(value - row[label]) for value in row))
    return Score(top1 / len(labels), top5 / len(labels), loss / len(labels))


def test_a_score_is_the_cut_out_networks_top1_top5_and_cross_entropy(supernet, population, images):
    for candidate in population:
        network = cut(supernet, candidate.architecture).eval()
        with torch.no_grad():
            logits = network(images[0])
        got = score(supernet, candidate.architecture, *images)
        assert got == pytest.approx(by_hand(logits, images[1]), rel=1e-6)
        for value, k in ((got.top1, 1), (got.top5, 5)):
            assert value == pytest.approx(float(multiclass_accuracy(logits, images[1], CLASSES, average="micro", top_k=k)))


def test_a_batch_size_scores_each_batch_with_its_own_statistics(supernet, population, images):
    network = cut(supernet, population[0].architecture).eval()
    with torch.no_grad():
        logits = torch.cat([network(batch) for batch in images[0].split([14, 13, 13])])
    assert score(supernet, population[0].architecture, *images, batch_size=16) == pytest.approx(by_hand(logits, images[1]), rel=1e-6)


def test_the_batch_size_changes_scores_by_batch_statistics_only(population, images):
    for norm, changes in (("batch", True), ("running", False)):
        supernet = Supernet(SPACE, CLASSES, 1, norm=norm, seed=5).eval()
        whole, parts = (score_candidates(supernet, population.architectures, *images, batch_size=size) for size in (None, 10))
        difference = max(abs(one.cross_entropy - other.cross_entropy) for one, other in zip(whole, parts, strict=True))
        assert (difference > 1e-3) is changes
        assert changes or difference < 1e-6


def test_with_fewer_than_five_classes_top5_is_one(images):
    supernet = Supernet(SPACE, 3, 1).eval()
    assert score(supernet, SPACE.largest, images[0], images[1] % 3).top5 == 1


def test_weights_that_have_diverged_are_refused(images):
    supernet = Supernet(SPACE, CLASSES, 1).eval()
    torch.nn.init.constant_(supernet.classifier.full.weight, float("nan"))
    with pytest.raises(InputError, match=r"the score of .* is not finite"):
        score(supernet, SPACE.largest, *images)


def test_codes_that_differ_in_the_entry_that_does_nothing_score_the_same(tmp_path: Path):
    space = SearchSpace("resnet20", (3, 3, 3), (16, 32, 64), 4, 32, trailing_entries=1)
    code = "16-4-12-16-8-16-16-24-12-8-16-4-32-52-52-52-20-40-8"
    texts = [code + "-44", code + "-4", code, code.replace("16-4", "8-4", 1) + "-44"]
    population = Population(space, tuple(Candidate(f"arch{i}", text, space.parse(text)) for i, text in enumerate(texts)))
    images, labels = torch.randn(6, 3, 32, 32), torch.arange(6)
    scores = folder_ranking(Supernet(space, 10), population, (images, labels), tmp_path)
    assert scores[0] == scores[1] == scores[2]
    assert scores[0].cross_entropy != scores[3].cross_entropy


def folder_ranking(supernet: Supernet, population: Population, images: tuple, folder: Path, **more: Any) -> list[Score]:
    settings = {"scorer": Scorer(chunk_size=more.pop("chunk_size", 3)), "trainer_arguments": CPU, **more}
    return rank_to_folder(supernet, population, *images, folder, **settings)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """The candidates that are computed."""
    computed: list[Architecture] = []

    def counting(supernet: Supernet, architectures: list[Architecture], *more: Any) -> tuple[list[Score], torch.Tensor]:
        computed.extend(architectures)
        return rank_by_image(supernet, architectures, *more)

    monkeypatch.setattr(predict, "rank_by_image", counting)
    return computed


def test_a_ranking_has_each_candidates_own_score_in_list_order(supernet, population, images, tmp_path, counted):
    scores = folder_ranking(supernet, population, images, tmp_path)
    assert scores == [score(supernet, one.architecture, *images) for one in population]
    assert sorted(one.widths for one in counted) == sorted(one.architecture.widths for one in population)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0-2.csv", "3-5.csv", "6-8.csv", "9-10.csv"]


def test_the_order_of_the_list_does_not_change_a_score(supernet, population, images, tmp_path):
    backward = Population(SPACE, population.candidates[::-1])
    forward = folder_ranking(supernet, population, images, tmp_path / "a")
    assert folder_ranking(supernet, backward, images, tmp_path / "b") == forward[::-1]


def test_a_candidate_that_stands_twice_is_computed_once_and_scored_twice(supernet, population, images, tmp_path, counted):
    doubled = Population(SPACE, (*population.candidates, Candidate("again", population[4].text, population[4].architecture)))
    scores = folder_ranking(supernet, doubled, images, tmp_path)
    assert len(scores) == 12
    assert scores[11] == scores[4]
    assert len(counted) == 11


def test_a_stopped_ranking_computes_only_what_its_parts_lack(supernet, population, images, tmp_path, counted):
    whole = folder_ranking(supernet, population, images, tmp_path)
    counted.clear()
    lost = [tmp_path / "3-5.csv", tmp_path / "9-10.csv"]
    missing = {line.split(",")[0] for path in lost for line in path.read_text().splitlines()[1:]}
    (tmp_path / ".3-5.csv.123.tmp").write_text("architecture,top1,top5,cross_entropy\n2-2-2")
    for path in lost:
        path.unlink()
    assert folder_ranking(supernet, population, images, tmp_path) == whole
    assert {str(one) for one in counted} == missing
    counted.clear()
    assert folder_ranking(supernet, population, images, tmp_path) == whole
    assert not counted


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 100])
def test_a_stopped_ranking_goes_on_with_another_chunk_size(chunk_size, supernet, population, images, tmp_path, counted):
    whole = folder_ranking(supernet, population, images, tmp_path)
    (tmp_path / "0-2.csv").unlink()
    (tmp_path / "6-8.csv").unlink()
    counted.clear()
    assert folder_ranking(supernet, population, images, tmp_path, chunk_size=chunk_size) == whole
    assert len(counted) == 6


@pytest.mark.parametrize("chunk_size", [1, 3])
def test_a_ranking_of_a_sample_goes_on_as_one_of_the_whole_list(chunk_size, supernet, population, images, tmp_path, counted):
    sample = Population(SPACE, population.candidates[::2])
    folder_ranking(supernet, sample, images, tmp_path, chunk_size=chunk_size)
    counted.clear()
    scores = folder_ranking(supernet, population, images, tmp_path, chunk_size=chunk_size)
    assert scores == [score(supernet, one.architecture, *images) for one in population]
    assert len(counted) == 5


def test_the_parts_hold_the_cross_entropy_on_both_halves_of_the_images(supernet, population, images, tmp_path):
    folder_ranking(supernet, population, images, tmp_path)
    losses = read_losses_of_halves(tmp_path, SPACE)
    assert losses.keys() == {candidate.architecture for candidate in population}
    for architecture, halves in losses.items():
        with torch.no_grad():
            logits = cut(supernet, architecture).eval()(images[0])
        assert halves == pytest.approx([by_hand(logits[first::2], images[1][first::2]).cross_entropy for first in (0, 1)], rel=1e-6)


def test_a_part_of_an_older_version_is_read_and_lacks_halves(supernet, population, images, tmp_path, counted):
    whole = folder_ranking(supernet, population, images, tmp_path)
    lines = [line.rsplit(",", 2)[0] for line in (tmp_path / "0-2.csv").read_text().splitlines()]
    assert lines[0] == "architecture,top1,top5,cross_entropy"
    (tmp_path / "0-2.csv").write_text("\n".join([*lines, ""]))
    counted.clear()
    assert folder_ranking(supernet, population, images, tmp_path) == whole
    assert not counted
    assert len(read_losses_of_halves(tmp_path, SPACE)) == len(population) - 3


def test_a_part_keeps_every_bit_of_a_score(tmp_path: Path):
    scores = [Score(1 / 3, 2 / 3, math.pi), Score(0.1, 0.7, 1e-7)]
    candidates = Population.draw(SPACE, 2, 0).candidates
    write_part(tmp_path, 5, candidates, scores)
    assert predict.read_parts(tmp_path, SPACE) == dict(zip((one.architecture for one in candidates), scores, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["5-6.csv"]


def test_a_whole_number_of_runs_without_gaps_is_cut_out():
    rng = np.random.default_rng(0)
    for _ in range(50):
        numbers = sorted(rng.choice(30, size=int(rng.integers(1, 30)), replace=False).tolist())
        longest = int(rng.integers(1, 6))
        runs = predict._runs(numbers, longest)
        assert [number for run in runs for number in run] == numbers
        assert all(len(run) <= longest and run == list(range(run[0], run[0] + len(run))) for run in runs)


def test_ranking_leaves_the_supernet_as_it_was(supernet, population, images, tmp_path):
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    folder_ranking(supernet, population, images, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())


@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-5), ("bf16-mixed", 0.05)])
def test_another_precision_gives_nearly_the_same_scores(precision: str, tolerance: float, supernet, population, images, tmp_path):
    whole, other = (
        folder_ranking(supernet, population, images, tmp_path / one, trainer_arguments={**CPU, "precision": one})
        for one in ("32-true", precision)
    )
    assert [one.cross_entropy for one in other] == pytest.approx([one.cross_entropy for one in whole], rel=tolerance)
    assert other != whole


def test_batches_that_do_not_divide_the_images_are_of_nearly_equal_size(supernet, population, images):
    architecture, (pixels, labels) = population[0].architecture, (images[0][:13], images[1][:13])
    logits = torch.cat([supernet(part, architecture) for part in (pixels[:5], pixels[5:9], pixels[9:])])  # never 6, 6 and 1
    assert score(supernet, architecture, pixels, labels, batch_size=6) == pytest.approx(by_hand(logits, labels), rel=1e-5)
