"""A ranking of a traced network is what its candidates, each cut out and run alone, give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nas_lightning.agreement import agreement_with
from nas_lightning.data import Digits
from nas_lightning.data.image_dataset import evaluation_images
from nas_lightning.python import rank
from nas_lightning.scoring.predict import rank_to_folder
from nas_lightning.scoring.predictors import PREDICTORS
from nas_lightning.scoring.score import Scorer
from nas_lightning.space import Population, ResidualStructure, SearchSpace, size_and_last_width
from nas_lightning.supernet import cut
from nas_lightning.supernet.traced import TracedFamily, TracedSupernet, Widths
from tests.supernet.traced.grey import Counting, Plain
from tests.supernet.traced.networks import FINE, Everything, images_of, supernet_of

DIGITS = Digits(8, 100)
CPU = {"accelerator": "cpu", "devices": 1}


@pytest.fixture(scope="module", params=[Plain, Counting])
def supernet(request: pytest.FixtureRequest) -> TracedSupernet:
    return TracedFamily(request.param, "grey", 10, 1, 8, Widths(divisor=1, least=1)).supernet("batch", 3).eval()


def cross_entropy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, batch: int) -> float:
    with torch.no_grad():
        logits = torch.cat([network(part) for part in images.split(batch)])
    return float(F.cross_entropy(logits.double(), labels))


def test_a_table_is_a_loop_over_networks_cut_out(supernet: TracedSupernet):
    population = Population.draw(supernet.space, 40, 0)
    table = rank(supernet, population, DIGITS, images=90, batch_size=30, fitted_on=30, predictor="monotone_with_capacity")
    images, labels = evaluation_images(DIGITS, 90)
    networks = [cut(supernet, candidate.architecture).eval() for candidate in population]
    expected = [cross_entropy(network, images, labels, 30) for network in networks]
    assert -table.quality("cross_entropy") == pytest.approx(expected, rel=1e-5)
    assert table.parameters.tolist() == [sum(weights.numel() for weights in network.parameters()) for network in networks]
    for network, macs in zip(networks, table.multiply_adds, strict=True):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images[:1])
        assert counter.get_total_flops() == 2 * macs
    known = dict(zip(population.architectures, np.linspace(0.1, 0.9, 40), strict=True))
    baselines = agreement_with(table, known, 0).baselines
    heads = [network.head.weight.shape[1] for network in networks]
    assert table.last_widths.tolist() == heads
    untrained = np.log(table.parameters), -1 / np.array(heads)
    standard = sum((column - column.mean()) / column.std() for column in untrained)
    by_hand = np.corrcoef(standard, np.linspace(0.1, 0.9, 40))[0, 1]
    assert baselines["size and last width"].estimates["pearson"].value == pytest.approx(by_hand)


def test_a_stopped_ranking_goes_on_and_shared_layers_change_nothing(supernet: TracedSupernet, tmp_path: Path):
    population = Population.draw(supernet.space, 12, 1)
    images, labels = evaluation_images(DIGITS, 40)
    scorer = Scorer(chunk_size=3)
    whole = rank_to_folder(supernet, population, images, labels, tmp_path / "a", scorer=scorer, trainer_arguments=CPU)
    lost = tmp_path / "a/3-5.csv"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("*.csv") if path != lost}
    lost.unlink()
    assert rank_to_folder(supernet, population, images, labels, tmp_path / "a", scorer=scorer, trainer_arguments=CPU) == whole
    assert lost.is_file()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    none = replace(scorer, prefix_memory=0.0)
    assert rank_to_folder(supernet, population, images, labels, tmp_path / "b", scorer=none, trainer_arguments=CPU) == whole


class Joined(nn.Module):
    """A classifier that reads two groups of channels side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 16, 3), nn.Conv2d(24, 10, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.one(images), self.two(images)], 1).relu()).mean((2, 3))


class Added(Joined):
    """Logits of two layers, so that there is no single classifier."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.one(images), self.two(images)], 1)
        return (self.head(x) + self.head(x.relu())).mean((2, 3))


def test_the_last_width_is_what_the_classifier_reads_or_counts_nothing():
    joined, added = (supernet_of(kind(), images_of(8).float(), FINE).structure for kind in (Joined, Added))
    widths = np.array([[2, 4], [8, 4], [8, 16]])
    assert joined.last_widths(widths).tolist() == [6, 12, 24]
    assert added.last_widths(widths).tolist() == [1, 1, 1]
    residual = ResidualStructure(SearchSpace("tiny", (1,), (8,), 4, 8), 10)
    assert residual.last_widths([[4, 8, 4], [8, 8, 8]]).tolist() == [4, 8]
    parameters = added.cost(widths).parameters
    score = size_and_last_width(parameters, added.last_widths(widths))(parameters, added.last_widths(widths))
    logs = np.log(parameters)
    assert score == pytest.approx((logs - logs.mean()) / logs.std())


@pytest.mark.parametrize("name", ["monotone", "monotone_with_capacity"])
def test_a_predictor_learns_a_loss_that_is_a_sum_over_the_choices(name: str):
    structure = supernet_of(Everything(), images_of(16).float()).structure
    rows, held_out = (Population.draw(structure.space, 60, seed).widths for seed in (0, 1))

    def loss(widths: np.ndarray) -> np.ndarray:
        return 3 - 0.2 * np.log(widths).sum(axis=1)

    predicted = PREDICTORS[name].fit(structure, rows, loss(rows))(held_out)
    assert np.corrcoef(predicted, loss(held_out))[0, 1] > 0.95
