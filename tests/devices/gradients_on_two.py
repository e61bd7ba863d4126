"""A program that two processes run together: what their gradients are at each step of several trainings, and how often they talk.

    torchrun --nproc-per-node 2 tests/devices/gradients_on_two.py FOLDER

Each process writes ``FOLDER/<rank>.pt``: by case a list of steps, each the gradients by name, and the number of all-reduces.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.utils.data import DataLoader, TensorDataset

from nas_lightning.devices.trainer import make_trainer
from nas_lightning.space import SearchSpace, ShortcutRule, Space
from nas_lightning.supernet import ResidualFamily
from nas_lightning.supernet.traced import TracedFamily
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.objectives import AlphaDivergence, CrossEntropy, InplaceDistillation, SandwichDistillation
from nas_lightning.training.passes import Batched
from nas_lightning.training.samplers import FairSampler, UniformSampler
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage
from nas_lightning.training.step_rules import Different, Power
from tests.supernet.traced.networks import FINE, Everything

SPACE = SearchSpace("small", (2, 1), (4, 8), 2, 8)
TRACK1 = SearchSpace("resnet20_track1", (3, 3, 3), (16, 32, 64), 4, 32)
STEPS, BATCH, RATE = 3, 6, 0.05
FAMILY = TracedFamily(lambda: Everything(7, dropout=0.0), "everything", 7, 3, 8, FINE)

CASES: dict[str, dict[str, Any]] = {
    "same images": {"same_images": True},
    "different images": {},
    "skipped shortcuts": {"shortcuts": "where_needed"},
    "distillation": {"objective": InplaceDistillation(SPACE)},
    "fair paths, sandwich distillation": {
        "sampler": FairSampler(SPACE, seed=0, paths=3),
        "objective": SandwichDistillation(SPACE, AlphaDivergence()),
        "across_devices": Different(),
    },
    "different paths": {"across_devices": Different()},
    "different paths, skipped shortcuts": {"across_devices": Different(), "shortcuts": "where_needed"},
    "all paths at once": {"path_execution": Batched()},
    "scaled rate": {"rate_scaling": Power(1)},
    "real space": {"space": TRACK1, "paths": 6},
    "traced network": {"network": FAMILY},
    "traced network, different paths": {"network": FAMILY, "across_devices": Different()},
}


def space_of(case: dict[str, Any]) -> Space:
    """The candidates of a case."""
    return case["network"].space if "network" in case else case.get("space", SPACE)


def batches(space: Space, rank: int) -> TensorDataset:
    """The images of one process, ``STEPS`` batches of them."""
    rng = torch.Generator().manual_seed(rank)
    count, side = STEPS * BATCH, space.resolution
    return TensorDataset(torch.randn(count, 3, side, side, generator=rng, dtype=torch.float64), torch.randint(7, (count,), generator=rng))


def make_module(case: dict[str, Any]) -> SupernetTraining:
    """The training of one case, in double precision."""
    space = space_of(case)
    family = case.get("network", ResidualFamily(space, 7, 3, ShortcutRule(case.get("shortcuts", "always"))))
    supernet = family.supernet("batch", 0).double()
    stage = Stage(
        epochs=1,
        sampler=case.get("sampler", UniformSampler(space, seed=0, paths=case.get("paths", 3))),
        objective=case.get("objective", CrossEntropy()),
        optimizer=partial(torch.optim.SGD, lr=RATE, momentum=0.9, weight_decay=0.01),
        schedule=Cosine(),
        **{key: case[key] for key in ("across_devices", "path_execution", "rate_scaling") if key in case},
    )
    return SupernetTraining(supernet, stage)


class Watch(pl.Callback):
    """Keeps the gradients that a step was made with, and counts all-reduces."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self.rates: list[float] = []
        self.calls: list[int] = []
        self.count = 0

    def on_train_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if trainer.world_size > 1:
            trainer.strategy.model.register_comm_hook(None, self._reduce)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.steps.append({name: one.grad.clone() for name, one in pl_module.named_parameters() if one.grad is not None})
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.calls.append(self.count)
        self.count = 0

    def _reduce(self, _: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        self.count += 1
        return allreduce_hook(None, bucket)


def train(case: dict[str, Any], images: TensorDataset, devices: int, batch: int = BATCH) -> Watch:
    """One epoch; the weights of every case begin alike."""
    watch, module = Watch(), make_module(case)
    arguments = {"accelerator": "cpu", "devices": devices}
    skips = module.supernet.skips_parameters
    trainer = make_trainer(arguments, callbacks=[watch], find_unused_parameters=skips, max_epochs=1, enable_checkpointing=False)
    trainer.fit(module, DataLoader(images, batch_size=batch))
    return watch


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    found = {}
    for name, case in CASES.items():
        watch = train(case, batches(space_of(case), 0 if case.get("same_images") else rank), devices=2)
        found[name] = {"gradients": watch.steps, "calls": watch.calls, "rates": watch.rates}
    torch.save(found, folder / f"{rank}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
