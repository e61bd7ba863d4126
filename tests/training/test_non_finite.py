"""A loss that is nan or infinite ends a stage with a line that says where, or is skipped and counted; no weight or file ever gets it."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nas_lightning.devices.trainer import make_trainer
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.checkpoints import StageCheckpoints
from nas_lightning.training.interruption import Interruption
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.objectives import CrossEntropy, PathLoss
from nas_lightning.training.passes import Batched, PathExecution, Sequential
from nas_lightning.training.samplers import Position
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage
from nas_lightning.training.step_rules import NonFiniteLoss, Skip

pytestmark = pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`.*")
SPACE = SearchSpace("small", (2, 1), (4, 8), 2, 8)
PATHS = [SPACE.sample(generator(number, "test")) for number in range(2)]


def loader(count: int, size: int) -> DataLoader:
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 8, 8, generator=rng)
    return DataLoader(TensorDataset(images, torch.randint(7, (count,), generator=rng)), batch_size=size)


class SamePaths:
    paths = 2

    def sample(self, position: Position) -> list[Architecture]:  # noqa: ARG002
        return PATHS


class Broken:
    """Cross entropy, but for the second path at one step."""

    def __init__(self, value: float = float("nan"), step: int = 2) -> None:
        self.whole, self.value, self.step, self.calls = CrossEntropy(), value, step, 0

    def architectures(self, paths: Sequence[Architecture]) -> list[Architecture]:
        return list(paths)

    def __call__(self, network: Any, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        self.calls += 1
        for number, one in enumerate(self.whole(network, images, labels, paths)):
            bad = self.calls == self.step + 1 and number == 1
            yield one._replace(loss=one.loss * self.value) if bad else one


class BrokenPass(CrossEntropy):
    """Cross entropy, of which one step's second path is given images that are infinite."""

    calls = 0

    def __call__(self, network: Any, images: Tensor, labels: Tensor, paths: Sequence[Architecture]) -> Iterator[PathLoss]:
        BrokenPass.calls += 1
        yield from super().__call__(network, images, labels, paths[:1])
        yield from super().__call__(network, images * (math.inf if self.calls == 3 else 1), labels, paths[1:])


def fit(folder: Path, norm: str = "batch", **changed: Any) -> tuple[Supernet, SupernetTraining, Any]:
    supernet = Supernet(SPACE, 7, seed=3, norm=norm)
    arguments: dict[str, Any] = {"objective": Broken(), "sampler": SamePaths(), "schedule": Cosine()}
    optimizer = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01)
    module = SupernetTraining(supernet, Stage(epochs=2, optimizer=optimizer, **{**arguments, **changed}))
    trainer = make_trainer(
        {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 1},
        max_epochs=2,
        default_root_dir=folder,
        callbacks=[StageCheckpoints(folder, Interruption(), every_steps=1)],
    )
    trainer.fit(module, loader(24, 6))  # 4 steps an epoch
    return supernet, module, trainer


@pytest.mark.parametrize("execution", [Sequential(), Batched()])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_stage_stops_and_says_where(execution: PathExecution, value: float, tmp_path: Path):
    with pytest.raises(NonFiniteLoss, match=r"at step 2, learning rate 0\.04\d+, with") as stop:
        fit(tmp_path, objective=Broken(value=value), path_execution=execution)
    assert str(PATHS[1]) in str(stop.value)
    assert (str(PATHS[0]) in str(stop.value)) is (execution == Batched())  # where all losses are added up, it may be any
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(tensor.isfinite().all() for tensor in saved["state_dict"].values() if tensor.is_floating_point())


def test_a_step_can_be_skipped_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights: list[dict[str, Tensor]] = []
    step = SupernetTraining.training_step

    def watched(self: SupernetTraining, *arguments: Any) -> None:
        weights.append({name: tensor.clone() for name, tensor in self.supernet.state_dict().items()})
        step(self, *arguments)

    monkeypatch.setattr(SupernetTraining, "training_step", watched)
    supernet, module, trainer = fit(tmp_path, non_finite=Skip())
    assert trainer.global_step == 8
    assert int(module.skipped) == 1
    changes = [any(not torch.equal(one[name], other[name]) for name in one) for one, other in pairwise(weights)]
    assert changes == [True, True, False, True, True, True, True]
    assert all(tensor.isfinite().all() for tensor in supernet.state_dict().values())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["skipped"] == 1


def test_a_skipped_step_leaves_running_averages_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(BrokenPass, "calls", 0)
    supernet, module, _ = fit(tmp_path, norm="running", non_finite=Skip(), objective=BrokenPass())
    assert int(module.skipped) == 1
    assert all(tensor.isfinite().all() for tensor in supernet.state_dict().values())


def test_a_step_is_skipped_where_gradients_are_scaled(tmp_path: Path):
    supernet = Supernet(SPACE, 7, seed=3)
    optimizer = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    stage = Stage(epochs=1, optimizer=optimizer, objective=Broken(), sampler=SamePaths(), schedule=Cosine(), non_finite=Skip())
    module, scaled = SupernetTraining(supernet, stage), MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    weights: list[list[Tensor]] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            weights.append([parameter.detach().clone() for parameter in supernet.parameters()])

    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, default_root_dir=tmp_path, plugins=[scaled], callbacks=[Watch()], **quiet
    )
    trainer.fit(module, loader(24, 6))
    assert (trainer.global_step, int(module.skipped)) == (4, 1)
    same = [all(map(torch.equal, one, other)) for one, other in pairwise(weights)]
    assert same[1:] == [True, False]
    assert all(tensor.isfinite().all() for tensor in supernet.state_dict().values())


def test_a_skipped_step_counts_in_no_mean_of_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses: list[float] = []
    log = SupernetTraining._log

    def watched(self: SupernetTraining, values: dict[str, Any]) -> None:
        losses.append(float(values.get("loss", "nan")))
        log(self, values)

    monkeypatch.setattr(SupernetTraining, "_log", watched)
    _, _, trainer = fit(tmp_path, non_finite=Skip(), objective=Broken(step=6))  # the third step of the second epoch
    first, second, skipped, fourth = losses[4:]
    assert math.isnan(skipped)
    assert trainer.callback_metrics["epoch_loss"].item() == pytest.approx((first + second + fourth) / 3)


def test_an_epoch_of_skipped_steps_has_no_means(tmp_path: Path):
    class AlwaysBroken(Broken):
        def __call__(self, *arguments: Any) -> Iterator[PathLoss]:
            self.calls = self.step
            yield from super().__call__(*arguments)

    _, module, trainer = fit(tmp_path, non_finite=Skip(), objective=AlwaysBroken())
    assert int(module.skipped) == 8
    assert not {"epoch_loss", "top1"} & set(trainer.callback_metrics)


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    step = SupernetTraining.training_step

    def spoiling(self: SupernetTraining, *arguments: Any) -> None:
        step(self, *arguments)
        if self.global_step == 3:
            next(self.supernet.parameters()).data[0] = float("inf")

    monkeypatch.setattr(SupernetTraining, "training_step", spoiling)
    with pytest.raises(NonFiniteLoss, match="after step 3"):
        fit(tmp_path, objective=CrossEntropy())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.slow
def test_the_command_ends_in_a_line_with_the_last_good_checkpoint(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "stages.finetune.optimizer.lr=1e30", "save_every_steps=1", f"run_dir={tmp_path}/run")
    assert done.code == 2
    line = done.err.strip().splitlines()[-1]
    assert line.startswith("error: stages.finetune: ")
    assert "the last good checkpoint is" in line or "no checkpoint had been written" in line
    assert "Traceback" not in done.err
    assert (tmp_path / "run/stages/pretrain/last.ckpt").is_file()
