"""An optimizer that cannot train is refused before work starts; one of the command line has its own values."""

from typing import Any

import pytest
import torch

from nas_lightning.commands.prepare import check_optimizer
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import OPTIMIZER
from nas_lightning.errors import InputError
from nas_lightning.training.stage import MakeOptimizer
from tests.composing import composed


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


SGD, ADAMW = {"momentum": 0.9, "nesterov": False}, {"betas": [0.9, 0.999]}


@pytest.mark.parametrize(
    ("place", "overrides", "values"),
    [
        ("stages.pretrain", ["experiment=short"], {"lr": 0.05, "weight_decay": 5e-4, **SGD}),
        ("stages.pretrain", ["experiment=short", "=sgd"], {"lr": 0.05, "weight_decay": 5e-4, **SGD}),
        ("stages.pretrain", ["experiment=short", "=adamw"], {"lr": 1e-3, "weight_decay": 0.05, **ADAMW}),
        ("stages.pretrain", ["experiment=short", "=adamw", ".lr=3e-4"], {"lr": 3e-4, "weight_decay": 0.05, **ADAMW}),
        ("stages.distill_2", ["experiment=track1", "=adamw"], {"lr": 1e-3, "weight_decay": 0.05, **ADAMW}),
        ("stages.finetune", ["experiment=finetune", "=adamw"], {"lr": 5e-4, "weight_decay": 0.05, **ADAMW}),
        ("stages.finetune", ["experiment=finetune", "=sgd"], {"lr": 0.025, "weight_decay": 5e-4, **SGD}),
        ("standalone", ["experiment=short", "=adamw"], {"lr": 1e-3, "weight_decay": 0.05, **ADAMW}),
    ],
)
def test_an_optimizer_chosen_for_another_has_its_own_rate_and_decay(place: str, overrides: list[str], values: dict[str, Any]):
    prefixes = {"=": f"optimizer@{place}.optimizer", ".": f"{place}.optimizer"}
    node: Any = composed("config", "run_dir=x", *(f"{prefixes.get(word[0], '')}{word}" for word in overrides))
    for part in f"{place}.optimizer".split("."):
        node = node[part]
    assert {key: value for key, value in node.items() if key != "_target_"} == values


@pytest.mark.parametrize(
    ("overrides", "place", "values"),
    [
        (["experiment=short", "schedule@stages.pretrain.schedule=original"], "stages.pretrain.schedule", {"final_lr": 0.0}),
        (["experiment=micro", "sampler@stages.finetune.sampler=wide"], "stages.finetune.sampler", {"paths": 3, "share": 0.5}),
        (["experiment=short", "sampler@stages.pretrain.sampler=fair"], "stages.pretrain.sampler", {"paths": 4}),
        (
            ["experiment=quickstart", "sampler@stages.distill_1.sampler=listed_spaced200"],
            "stages.distill_1.sampler.choose",
            {"step": 250, "count": 200},
        ),
        (
            ["experiment=quickstart", "sampler@stages.distill_1.sampler=listed_random100"],
            "stages.distill_1.sampler.choose",
            {"count": 100, "seed": 1},
        ),
    ],
)
def test_an_option_chosen_for_another_has_none_of_its_arguments(overrides: list[str], place: str, values: dict[str, Any]):
    node: Any = composed("config", "run_dir=x", *overrides)
    for part in place.split("."):
        node = node[part]
    assert {key: value for key, value in node.items() if key != "_target_"} == values
