"""Candidates of a traced network, trained alone."""

from typing import Any

import pytest
import torch
from torch import nn

from nas_lightning.data import Augmentation, Digits
from nas_lightning.space import Population
from nas_lightning.standalone.train_alone import Recipe, train_alone, train_network
from nas_lightning.supernet.traced import TracedFamily, Widths
from nas_lightning.training.schedules import Cosine
from tests.supernet.traced.grey import Counting, Plain, Viewing

CPU = {"accelerator": "cpu", "devices": 1}
FINE = Widths(divisor=1, least=1)


def recipe(family: TracedFamily) -> Recipe:
    def sgd(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)

    return Recipe(epochs=6, batch_size=32, optimizer=sgd, schedule=Cosine(), augmentation=Augmentation({}), family=family)


def seeded(kind: type[nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind()


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(resolution=8, train_images=300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Plain, Counting])
def test_the_truth_is_that_of_the_class_written_with_these_widths(kind: type[nn.Module], digits: Digits):
    family = TracedFamily(kind, "grey", 10, 1, 8, FINE)
    assert family.cuts_natively == (kind is Plain)
    architecture = Population.draw(family.space, 1, 1).architectures[0]
    by_hand, whole = kind(10, architecture.widths), seeded(kind, 2)
    with torch.no_grad():
        for (_, part), (name, parameter) in zip(by_hand.named_parameters(), whole.named_parameters(), strict=True):
            part.copy_(parameter[tuple(map(slice, part.shape))])
            if name.endswith("weight") and parameter.ndim > 1:
                part.mul_((parameter.shape[1] / part.shape[1]) ** 0.5)
    expected = train_network(by_hand, "by hand", digits, recipe(family), 2, CPU)
    found = train_alone(architecture, digits, recipe(family), 2, CPU)
    assert found == expected > 0.3
    torch.rand(1)  # dropout does not depend on what was drawn before
    assert train_alone(architecture, digits, recipe(family), 2, CPU) == expected
    assert train_alone(architecture, digits, recipe(family), 3, CPU) != expected


def test_a_network_that_views_its_tensors_is_trained_as_a_graph(digits: Digits):
    family = TracedFamily(Viewing, "viewing", 10, 1, 8, FINE)
    assert isinstance(family.alone(family.space.smallest, "running"), torch.fx.GraphModule)
    assert train_alone(family.space.largest, digits, recipe(family), 0, CPU) > 0.3
