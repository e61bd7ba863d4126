"""Shows the steps of a stage and the time that all stages will take, and prints one line at the stage's end."""

import sys
import time
from collections.abc import Sequence
from typing import cast

import pytorch_lightning as pl

from nas_lightning.devices.progress import Progress, duration, report
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.stage import Stage

SUMMARY = {
    "epoch_loss": "loss",
    "top1": "top-1",
    "largest/top1": "largest",
    "smallest/top1": "smallest",
    "panel/kendall": "panel's Kendall",
}
"""Metrics of the last epoch in a stage's last line, if logged."""


class StageProgress(pl.Callback):
    """Shows the optimizer steps of one stage.

    Args:
        stages: all of the run.
        index: of the stage among them.
    """

    def __init__(self, stages: Sequence[Stage], index: int) -> None:
        self.stage, self.later = stages[index], stages[index + 1 :]
        self.label = f"stage {index + 1} of {len(stages)} ({self.stage.name})"
        self._progress: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins at the step where the stage starts or resumes."""
        self._began = time.monotonic()
        if not trainer.is_global_zero:
            return
        if trainer.world_size > 1:
            print(f"{self.label}: {self._joined(trainer, cast(SupernetTraining, pl_module))}", file=sys.stderr)
        self._progress = Progress(self.label, int(trainer.estimated_stepping_batches), trainer.global_step, "steps")

    @staticmethod
    def _joined(trainer: pl.Trainer, module: SupernetTraining) -> str:
        """What several devices change: images per step, steps per epoch, and, if configured, the learning rate."""
        factor, steps = module.stage.rate_scaling.factor(trainer.world_size), trainer.num_training_batches
        rate = "the learning rate stays" if factor == 1 else f"the learning rate is multiplied by {factor:.3g}"
        return f"{trainer.world_size} devices, loader.batch_size images on each, {steps} steps an epoch; {rate} (rate_scaling)"

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Counts a step; reads the loss only now and then, so as not to wait for the device."""
        if self._progress is not None:
            self._progress.advance(1, lambda: self._note(trainer))

    def _note(self, trainer: pl.Trainer) -> str:
        loss = trainer.callback_metrics.get("loss")
        return ", ".join([*self._all_stages(int(trainer.num_training_batches)), *([] if loss is None else [f"loss {float(loss):.2f}"])])

    def _all_stages(self, steps_per_epoch: int) -> list[str]:
        """The time left of all stages, by this one's speed; a later one's steps take as much longer as they have more paths."""
        progress = self._progress
        if progress is None or not self.later:
            return []
        units = sum(stage.steps(steps_per_epoch) * stage.sampler.paths for stage in self.later) / self.stage.sampler.paths
        return [f"all stages {duration(progress.seconds_per_unit * (progress.total - progress.count + units))}"]

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Closes the bar, so that the error is printed below it."""
        if self._progress is not None:
            self._progress.close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Replaces the bar with one line."""
        if self._progress is None:
            return
        self._progress.close()
        metrics = trainer.callback_metrics
        values = "".join(f", {name} {float(metrics[key]):.3f}" for key, name in SUMMARY.items() if key in metrics)
        report(f"{self.label}: {trainer.global_step} steps in {duration(time.monotonic() - self._began)}{values}")
