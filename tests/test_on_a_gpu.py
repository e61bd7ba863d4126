"""What only a GPU can show: equal to the CPU to stated tolerances, and a step that never waits for the device."""

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.data import Augmentation, Cutout, Digits, RandomCrop, RandomHorizontalFlip
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.devices.precision import exact_float32
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.scoring.score import score_candidates
from nas_lightning.space import Population, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation, Objective
from nas_lightning.training.passes import Batched, PathExecution, Sequential
from nas_lightning.training.samplers import UniformSampler
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.stage import Stage

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used.*"),
    pytest.mark.filterwarnings("ignore:.*no current CUDA context.*"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]
SPACE = SearchSpace("small", (2, 1), (8, 16), 4, 8)
EXECUTIONS: dict[str, PathExecution] = {"sequential": Sequential(), "batched": Batched()}
OBJECTIVES: dict[str, Objective] = {"cross_entropy": CrossEntropy(), "distillation": InplaceDistillation(SPACE)}
PRECISIONS = ("32-true", "bf16-mixed")


class Steps(pl.Callback):
    """Keeps each step's gradients; if asked for, a wait for the device is an error from the third step's reading of images on."""

    def __init__(self, forbid_waiting: bool = False) -> None:
        self.gradients: list[list[Tensor]] = []
        self.forbid_waiting = forbid_waiting

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.gradients.append([one.grad.detach().clone() for one in pl_module.parameters() if one.grad is not None])
        if self.forbid_waiting and trainer.global_step == 2:  # the first compile and allocate
            torch.cuda.set_sync_debug_mode("error")

    def on_train_epoch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")
        self.gradients = [[one.cpu() for one in step] for step in self.gradients]

    def on_exception(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def train(
    accelerator: str,
    precision: str,
    steps: Steps,
    execution: PathExecution = EXECUTIONS["sequential"],
    objective: Objective = OBJECTIVES["cross_entropy"],
    **how: Any,
) -> None:
    sampler, optimizer = UniformSampler(SPACE, seed=0, paths=3), partial(torch.optim.SGD, lr=0.05)
    stage = Stage(epochs=1, sampler=sampler, objective=objective, optimizer=optimizer, schedule=Cosine(), path_execution=execution)
    module = SupernetTraining(Supernet(SPACE, classes=10, channels=1), stage)
    data = ImageDataModule(Digits(resolution=8, train_images=320), **{"augmentation": Augmentation(), "batch_size": 64, **how})
    arguments = {"accelerator": accelerator, "devices": 1, "precision": precision, "log_every_n_steps": 1000}
    with exact_float32():
        make_trainer(arguments, callbacks=[steps], max_epochs=1, enable_checkpointing=False).fit(module, datamodule=data)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_gradients_are_those_of_the_cpu(objective: str, execution: str):
    here, there = Steps(), Steps()
    train("cpu", "32-true", here, objective=OBJECTIVES[objective])
    train("gpu", "32-true", there, EXECUTIONS[execution], OBJECTIVES[objective])
    for one, other in zip(here.gradients[0], there.gradients[0], strict=True):
        assert float((one - other).norm()) <= 1e-4 * float(one.norm()) + 1e-6


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_bf16_rounds_gradients_no_further_than_on_the_cpu(objective: str, execution: str):
    exact, rounded, found = Steps(), Steps(), Steps()
    train("cpu", "32-true", exact, objective=OBJECTIVES[objective])
    train("cpu", "bf16-mixed", rounded, objective=OBJECTIVES[objective])
    train("gpu", "bf16-mixed", found, EXECUTIONS[execution], OBJECTIVES[objective])
    flat = (torch.cat([one.float().flatten() for one in steps.gradients[0]]) for steps in (exact, rounded, found))
    expected, on_the_cpu, on_the_gpu = flat
    assert float((on_the_gpu - expected).norm()) <= 1.5 * float((on_the_cpu - expected).norm())  # 0.09 to 0.11 of the gradients' norm


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_recorded_passes_follow_images_widths_and_weights(objective: str):  # in float64: rounding grows from step to step
    looped, recorded = Steps(), Steps()
    for steps, execution in ((looped, "sequential"), (recorded, "batched")):
        train("gpu", "64-true", steps, EXECUTIONS[execution], OBJECTIVES[objective], batch_size=90)  # the last batch is of 50
    assert len(looped.gradients) == 4
    for one, other in zip(looped.gradients, recorded.gradients, strict=True):
        for expected, found in zip(one, other, strict=True):
            assert float((found - expected).norm()) <= 1e-8 * float(expected.norm()) + 1e-12


def test_recordings_are_freed_when_a_stage_ends():
    train("gpu", "32-true", Steps(), EXECUTIONS["batched"])
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    train("gpu", "32-true", Steps(), EXECUTIONS["batched"])
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == before


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_never_waits_for_the_device(precision: str, execution: str):
    operations = {"crop": RandomCrop(1), "flip": RandomHorizontalFlip(), "cutout": Cutout(4)}
    steps = Steps(forbid_waiting=True)
    train("gpu", precision, steps, EXECUTIONS[execution], augmentation=Augmentation(operations))
    assert len(steps.gradients) == 5


def test_images_that_stay_on_the_device_give_the_same_steps():
    there, read = Steps(), Steps()
    train("gpu", "32-true", there, resident=True)
    train("gpu", "32-true", read, resident=False)
    for one, other in zip(there.gradients, read.gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_scores_are_those_of_the_cpu():
    candidates = Population.draw(SPACE, 20, seed=0).architectures  # in float32 as it is written, though PyTorch would take TF32
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.randn(64, 3, 8, 8, generator=rng), torch.randint(10, (64,), generator=rng)
    here, there = (
        score_candidates(Supernet(SPACE, classes=10), candidates, images.to(device), labels.to(device)) for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        assert other.cross_entropy == pytest.approx(one.cross_entropy, rel=1e-5)


def test_a_whole_run_works(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "trainer=gpu", "trainer.precision=bf16-mixed", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "ranking" / "agreement.json").is_file()
