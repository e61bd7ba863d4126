"""Recalibrated norms: those of the cut-out network with statistics pooled by hand, whatever the test batch."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.data import Digits, evaluation_images, normalize, to_unit
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.scoring.bn_recalibration import Recalibration
from nas_lightning.scoring.score import Scorer, rank_by_image, score, score_candidates
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import SingleNetwork, Supernet, cut
from nas_lightning.supernet.checkpoint import load_supernet

SPACE = SearchSpace("tiny", (1, 1), (4, 6), 2, 8)
CLASSES = 7
BATCHES = (12, 12, 6)
"""Of the training images."""


@pytest.fixture(scope="module", params=[("batch", "always"), ("batch", "where_needed"), ("running", "always")], ids="-".join)
def supernet(request: pytest.FixtureRequest) -> Supernet:
    norm, shortcuts = request.param
    made = Supernet(SPACE, CLASSES, 1, norm=norm, shortcuts=shortcuts, seed=5)
    draw = torch.Generator().manual_seed(1)
    for name, parameter in made.named_parameters():
        if "norm" in name:  # so that scales and shifts matter
            parameter.data.uniform_(0.5, 1.5, generator=draw)
    for name, average in made.named_buffers():
        if name.endswith(("mean", "var")):
            average.uniform_(0.5, 1.5, generator=draw)
    return made.double().eval()


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(20, 1, 8, 8, generator=draw, dtype=torch.float64), torch.randint(CLASSES, (20,), generator=draw)


@pytest.fixture(scope="module")
def recalibration() -> Recalibration:
    draw = torch.Generator().manual_seed(2)
    scales = torch.linspace(0.5, 3, sum(BATCHES), dtype=torch.float64)[:, None, None, None]  # so that no two batches are alike
    return Recalibration(scales * torch.randn(sum(BATCHES), 1, 8, 8, generator=draw, dtype=torch.float64) + scales, BATCHES[0])


def candidates(count: int = 12) -> list[Architecture]:
    """In order, as a ranking takes them."""
    return sorted(SPACE.sample_distinct(count, generator(0, "test")), key=lambda one: one.widths)


@torch.no_grad()
def recalibrated_by_hand(network: SingleNetwork, batches: list[Tensor]) -> SingleNetwork:
    """In training mode each batch takes its own statistics; forward hooks keep what every norm reads, to be pooled at the end."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    read: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    hooks = [norm.register_forward_hook(lambda norm, inputs, _: read[norm].append(inputs[0])) for norm in norms]
    network.train()
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        whole = torch.cat(read[norm]).transpose(0, 1).flatten(1)
        norm.track_running_stats = True
        norm.register_buffer("running_mean", whole.mean(1))
        norm.register_buffer("running_var", (whole - whole.mean(1, keepdim=True)).square().mean(1))
    return network.eval()


def test_a_recalibrated_score_is_the_cut_networks_with_pooled_statistics(supernet, images, recalibration):
    architectures = [*candidates(), SPACE.smallest, SPACE.largest]
    scores, losses = rank_by_image(supernet, architectures, *images, Scorer(recalibration=recalibration))
    for one, by_image, architecture in zip(scores, losses, architectures, strict=True):
        network = recalibrated_by_hand(cut(supernet, architecture).double(), list(recalibration.images.split(BATCHES)))
        with torch.no_grad():
            logits = network(images[0])
        torch.testing.assert_close(by_image.double(), F.cross_entropy(logits, images[1], reduction="none"), rtol=1e-6, atol=1e-6)
        assert one.cross_entropy == pytest.approx(float(F.cross_entropy(logits, images[1])), rel=1e-12)
        assert one.top1 == pytest.approx(float((logits.argmax(1) == images[1]).double().mean()))


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_a_recalibrated_score_does_not_depend_on_the_test_batch(batch_size: int, supernet, images, recalibration):
    whole = score_candidates(supernet, candidates(), *images, recalibration=recalibration)
    for one, other in zip(whole, score_candidates(supernet, candidates(), *images, batch_size, recalibration=recalibration), strict=True):
        assert other == pytest.approx(one, rel=1e-12)
    few = score_candidates(supernet, candidates(), images[0][:batch_size], images[1][:batch_size], recalibration=recalibration)
    losses = rank_by_image(supernet, candidates(), *images, Scorer(recalibration=recalibration))[1][:, :batch_size]
    assert [one.cross_entropy for one in few] == pytest.approx(losses.double().mean(1).tolist(), rel=1e-6)


def test_a_recalibrated_score_does_not_depend_on_the_other_candidates(supernet, images, recalibration):
    together = score_candidates(supernet, candidates(), *images, recalibration=recalibration)
    for one, architecture in zip(together, candidates(), strict=True):
        alone = score_candidates(supernet, [architecture], *images, recalibration=recalibration)[0]
        assert one == pytest.approx(alone, rel=1e-12)


def test_recalibration_changes_a_score_but_not_the_supernet(supernet, images, recalibration):
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    plain = score(supernet, SPACE.largest, *images)
    assert score_candidates(supernet, [SPACE.largest], *images, recalibration=recalibration)[0] != pytest.approx(plain, rel=1e-3)
    assert score(supernet, SPACE.largest, *images) == plain
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.state_dict().items())


def test_the_images_are_the_first_of_the_training_split_as_they_are():
    dataset = Digits(train_images=100)
    made = Recalibration.from_training(dataset, 30, 12)
    assert torch.equal(made.images, normalize(to_unit(dataset.train().images[:30]), dataset.mean, dataset.std))
    assert made.protocol()["recalibration_sha256"] != Recalibration.from_training(dataset, 29, 12).protocol()["recalibration_sha256"]
    with pytest.raises(InputError, match=r"ranking\.recalibration_images: 101 is more than the 100 training images"):
        Recalibration.from_training(dataset, 101, 12)


@pytest.mark.slow
def test_the_command_ranks_with_the_statistics_of_training_images(micro: Path, tmp_path: Path, command: Callable):
    start = (f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", "ranking.images=100")
    more = ("ranking.statistics=recalibrated", "ranking.recalibration_images=90", "ranking.recalibration_batch=40", "ranking.count=8")
    done = command("rank", *start, *more, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    protocol = json.loads((tmp_path / "run/ranking/protocol.json").read_text())
    assert [protocol[key] for key in ("statistics", "recalibration_images", "recalibration_batch")] == ["recalibrated", 90, 40]
    supernet, header = load_supernet(micro / "supernet.safetensors")
    dataset = Digits(**header["data"]["arguments"])
    images, recalibration = evaluation_images(dataset, 100), Recalibration.from_training(dataset, 90, 40)
    assert protocol["recalibration_sha256"] == recalibration.data
    with (tmp_path / "run/ranking/scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    scores = score_candidates(supernet, [supernet.space.parse(row["architecture"]) for row in rows], *images, recalibration=recalibration)
    assert [float(row["cross_entropy"]) for row in rows] == pytest.approx([one.cross_entropy for one in scores], rel=1e-6)


def test_more_training_images_than_there_are_stop_a_run_before_it_trains(tmp_path: Path, command: Callable):
    done = command("train", "experiment=micro", "ranking.statistics=recalibrated", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "ranking.recalibration_images: 1000 is more than the 200 training images" in done.err
    assert not (tmp_path / "run/stages").exists()
