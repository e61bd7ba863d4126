"""One progress bar per stage, with rate and time left, and one line at its end."""

import sys
import time
from typing import Any, cast

import pytorch_lightning as pl
from tqdm import tqdm

from nas_lightning.training.module import SupernetTraining

LIVE = ("loss", "panel/kendall")
"""Metrics of the last step and evaluation in the bar; means of an epoch are in the summary."""
SUMMARY = ("epoch_loss", "top1", "largest/top1", "smallest/top1", "panel/kendall")
"""Metrics of the last epoch in a stage's last line, if logged."""


class StageProgress(pl.Callback):
    """Shows the optimizer steps of one stage.

    Args:
        label: name of the bar.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar at the step where the stage starts or resumes."""
        self._began = time.monotonic()
        if trainer.is_global_zero:
            if trainer.world_size > 1:
                print(f"{self.label}: {self._joined(trainer, cast(SupernetTraining, pl_module))}", file=sys.stderr)
            self._bar = tqdm(
                total=int(trainer.estimated_stepping_batches),
                initial=trainer.global_step,
                desc=self.label,
                unit="step",
                disable=None,
                dynamic_ncols=True,
                leave=False,
            )

    @staticmethod
    def _joined(trainer: pl.Trainer, module: SupernetTraining) -> str:
        """What several devices change: images per step, steps per epoch, and, if configured, the learning rate."""
        factor, steps = module.stage.rate_scaling.factor(trainer.world_size), trainer.num_training_batches
        rate = "the learning rate stays" if factor == 1 else f"the learning rate is multiplied by {factor:.3g}"
        return f"{trainer.world_size} devices, loader.batch_size images on each, {steps} steps an epoch; {rate} (rate_scaling)"

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Counts a step; reads the loss only now and then, so as not to wait for the device."""
        if self._bar is None:
            return
        self._bar.update()
        if not self._bar.disable and self._bar.n % 10 == 0:
            self._bar.set_postfix({"epoch": trainer.current_epoch, **_formatted(trainer, LIVE)}, refresh=False)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Closes the bar, so that the error is printed below it."""
        if self._bar is not None:
            self._bar.close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Replaces the bar with one line."""
        if self._bar is None:
            return
        seconds = time.monotonic() - self._began
        self._bar.close()
        metrics = ", ".join(f"{name} {value}" for name, value in _formatted(trainer, SUMMARY).items())
        print(f"{self.label}: {trainer.global_step} steps in {seconds:.0f} s, {metrics}", file=sys.stderr)


def _formatted(trainer: pl.Trainer, names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"{float(trainer.callback_metrics[name]):.3f}" for name in names if name in trainer.callback_metrics}
