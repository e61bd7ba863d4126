"""An optimizer that cannot train is refused before work starts."""

from typing import Any

import pytest
import torch

from nas_lightning.commands.prepare import check_optimizer
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import OPTIMIZER
from nas_lightning.errors import InputError
from nas_lightning.training.stage import MakeOptimizer


def made(node: dict[str, Any]) -> MakeOptimizer:
    make = Builder().build(Target(node, OPTIMIZER, is_partial=True), "stages.a.optimizer")
    check_optimizer(make, "stages.a.optimizer")
    return make


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"_target_": "torch.optim.SparseAdam"}, "sparse"),  # takes no dense gradients: the first step of a stage raised
        ({"_target_": "torch.optim.Muon"}, "2D"),
        ({"_target_": "torch.optim.LBFGS"}, "closure"),
        ({"_target_": "torch.optim.SGD", "lr": -1}, "learning rate"),
        ({"_target_": "torch.optim.Adam", "betas": [2, 0.9]}, "beta"),
    ],
)
def test_an_optimizer_that_cannot_take_a_step_is_one_line(node: dict, reason: str):
    with pytest.raises(InputError, match=rf"(?i)^stages\.a\.optimizer: .*{reason}"):
        made(node)


def test_an_optimizer_by_its_whole_path_is_taken():
    make = made({"_target_": "torch.optim.adamw.AdamW", "lr": 0.1})
    assert isinstance(make([torch.nn.Parameter(torch.ones(2))]), torch.optim.Optimizer)
