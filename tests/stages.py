"""Stages of three steps on made-up images, for tests of how a stage trains."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.objectives import CrossEntropy
from nas_lightning.training.samplers import Position
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage

SPACE = SearchSpace("small", (2, 1), (4, 8), 2, 8)
PATHS = [  # of a step; the second block's shortcut is the identity where entries 3 and 5 agree
    [Architecture((4, 2, 4, 4, 4, 6, 8)), Architecture((2, 4, 2, 2, 2, 4, 2)), SPACE.largest],
    [Architecture((2, 2, 4, 2, 2, 8, 4)), SPACE.smallest, Architecture((4, 4, 2, 2, 4, 2, 6))],
    [SPACE.smallest, Architecture((4, 2, 2, 4, 2, 8, 6)), Architecture((2, 4, 4, 2, 4, 4, 4))],
]
LR, MOMENTUM, DECAY = 0.05, 0.9, 0.01


@dataclass
class GivenPaths:
    """Hands out the paths above, and remembers what it was asked for."""

    steps: Sequence[list[Architecture]] = field(default_factory=lambda: PATHS)
    asked: list[Position] = field(default_factory=list)

    @property
    def paths(self) -> int:
        return len(self.steps[0])

    def sample(self, position: Position) -> list[Architecture]:
        self.asked.append(position)
        return self.steps[position.step % len(self.steps)]


class Record(pl.Callback):
    """What the optimizer is about to use at every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.gradients: list[list[Tensor]] = []
        self.global_steps: list[int] = []
        self.logged: list[dict[str, float]] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, _: pl.LightningModule, optimizer: torch.optim.Optimizer) -> None:
        self.global_steps.append(trainer.global_step)
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        # Those that the step was made with: a callback's hook before the step runs before the module's, which clips.
        self.gradients.append([parameter.grad.clone() for parameter in pl_module.parameters() if parameter.grad is not None])
        self.logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def images_and_labels(count: int = 17, seed: int = 0) -> TensorDataset:
    rng = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(count, 3, 8, 8, generator=rng, dtype=torch.float64), torch.randint(7, (count,), generator=rng))


def loader(count: int = 17, seed: int = 0, size: int = 6) -> DataLoader[Any]:
    """Three batches an epoch, the last of them short."""
    return DataLoader(images_and_labels(count, seed), batch_size=size)


def make_supernet(**rules: str) -> Supernet:
    return Supernet(SPACE, classes=7, **rules).double()  # type: ignore[arg-type]


def make_module(supernet: Supernet, **changed: Any) -> SupernetTraining:
    """A stage of three steps; ``changed`` are fields of Stage, or arguments of SupernetTraining."""
    own = {field.name for field in dataclasses.fields(Stage)}
    stage = Stage(
        **{
            "epochs": 1,
            "sampler": GivenPaths(),
            "objective": CrossEntropy(),
            "optimizer": partial(torch.optim.SGD, lr=LR, momentum=MOMENTUM, weight_decay=DECAY),
            "schedule": Cosine(final_lr=0.001),
            **{key: value for key, value in changed.items() if key in own},
        }
    )
    return SupernetTraining(supernet, stage, **{key: value for key, value in changed.items() if key not in own})


def make_trainer(tmp_path: Path, *callbacks: pl.Callback, **changed: Any) -> pl.Trainer:
    arguments: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "default_root_dir": tmp_path}
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return pl.Trainer(**{**arguments, **quiet, **changed}, callbacks=list(callbacks))


def fit(tmp_path: Path, module: SupernetTraining, **changed: Any) -> Record:
    record = Record()
    make_trainer(tmp_path, record, **changed).fit(module, loader())
    return record


def assert_same_weights(found: nn.Module, expected: nn.Module) -> None:
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")
