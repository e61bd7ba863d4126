"""The LightningModule: brings a stage to the supernet, and nothing else."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torchmetrics import MeanMetric

from nas_lightning.rng import generator
from nas_lightning.space import Architecture
from nas_lightning.supernet.checkpoint import HEADER_KEY
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.recorded import forget
from nas_lightning.training.monitor import ProbeSet, accuracies
from nas_lightning.training.samplers import Position
from nas_lightning.training.stage import Stage
from nas_lightning.training.step_rules import NonFiniteLoss


class SupernetTraining(pl.LightningModule):
    """One stage: several paths a step on the same batch, their gradients added up, then one optimizer step.

    Args:
        supernet: whose weights are trained, in place.
        stage: what trains, and how.
        clip_norm: largest norm (or value) of the gradients of a step; None does not clip.
        clip_algorithm: ``norm``, the default, or ``value``, as pl.Trainer's ``gradient_clip_algorithm``.
        panel: candidates that validation evaluates.
        seed: of what layers draw in training, as dropout.
        header: describes the stage's checkpoints, and is stored in them.
    """

    def __init__(
        self,
        supernet: AnyModule,
        stage: Stage,
        *,
        clip_norm: float | None = None,
        clip_algorithm: str | None = None,
        panel: ProbeSet | None = None,
        seed: int = 0,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.supernet, self.stage = supernet, stage
        self.clip_norm, self.clip_algorithm = clip_norm, clip_algorithm
        self.panel, self.seed, self.header = panel, seed, dict(header or {})
        self.finished = False
        """Set once the stage has run to its end; stored in checkpoints."""
        self.ended_early: str | None = None
        """Why it ended before its last epoch; likewise."""
        self.accuracy, self.epoch_loss = accuracies(supernet.classes), MeanMetric(nan_strategy="disable")
        # In float64, so that a resumed epoch on several devices has the sum of an uninterrupted one.
        self.epoch_loss.set_dtype(torch.float32 if torch.backends.mps.is_available() else torch.float64)
        for metric in (self.accuracy, self.epoch_loss):
            metric.persistent(True)  # a resumed epoch has all its steps in it
        self.skipped: Tensor
        self.register_buffer("skipped", torch.zeros((), dtype=torch.long))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer over all parameters, norms and biases too."""
        optimizer = self.stage.optimizer(self.supernet.parameters())
        self.factor = self.stage.rate_scaling.factor(self.trainer.world_size)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    @property
    def logged(self) -> list[str]:
        """Metrics that callbacks may monitor: of each step, of each epoch, and of the panel."""
        of_the_panel = [] if self.panel is None else self.panel.logged
        return ["loss", "lr", "skipped_steps", "epoch_loss", *map(str, self.accuracy), *of_the_panel]

    @property
    def position(self) -> Position:
        """Where the run is, for the draws of candidates."""
        return Position(self.stage.index, self.current_epoch, self.global_step, self.stage.across_devices.rank(self.trainer.global_rank))

    def on_train_start(self) -> None:
        """Measures the stage: the schedule needs its length."""
        steps = self.trainer.estimated_stepping_batches
        self.epochs, self.steps_end_it = steps / self.trainer.num_training_batches, steps == self.stage.max_steps

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """One step on uint8-born images (batch, channels, H, W), normalised, and labels (batch,)."""
        images, labels = batch
        optimizer = cast(LightningOptimizer, self.optimizers())
        elapsed = self._elapsed(batch_idx)
        rate = self._set_rate(optimizer, elapsed)
        optimizer.zero_grad()
        paths = self.stage.sampler.sample(self.position)
        # Reading every pass's loss would stall any other device.
        looks = images.device.type == "cpu" and self.trainer.world_size == 1
        buffers = [(one, one.clone()) for one in self.supernet.buffers()] if self.stage.non_finite.decides_the_step else []
        with self._draws(images.device) if self.supernet.draws else nullcontext():
            total, scored, architectures = self.stage.run_passes(
                self.supernet, batch, paths, elapsed / self.epochs, self._backward, stops_at_non_finite=looks
            )
        if self._is_bad(total):
            for buffer, before in buffers:  # running averages took the values of the bad pass
                buffer.copy_(before)
            self._stop_or_skip(total, architectures, rate, optimizer)
            return
        if self.supernet.skips_parameters:
            self._fill_missing_gradients()
        optimizer.step()
        loss = total / len(paths)
        if scored:
            self.accuracy.update(torch.cat(scored), labels.repeat(len(scored)))
        self.epoch_loss.update(loss.expand(len(labels)))  # with nan_strategy="disable", MeanMetric ignores weights
        self._log({"loss": loss, "lr": rate})

    def on_train_end(self) -> None:
        """Frees what only steps need."""
        forget(self.supernet)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips here, where mixed precision has already unscaled the gradients."""
        self.clip_gradients(optimizer, self.clip_norm, self.clip_algorithm)

    def on_train_epoch_end(self) -> None:
        """Logs the epoch's means; Lightning would do so after the checkpoint, too late for a run stopped in between."""
        means = {name: float(value) for name, value in {"epoch_loss": self.epoch_loss.compute(), **self.accuracy.compute()}.items()}
        self.accuracy.reset()
        self.epoch_loss.reset()
        if math.isnan(means["epoch_loss"]):  # every step was skipped
            return
        self.log_dict(means, logger=False)
        self._to_loggers(means)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Evaluates the panel on held-out training images."""
        if self.panel is not None:
            self.panel.update(self.supernet, *batch)

    def on_validation_epoch_end(self) -> None:
        """Logs the panel's metrics."""
        if self.panel is not None:
            self.log_dict(self.panel.compute())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the header, so that the file describes itself, and the epoch's counts of all devices, not only one's."""
        end = {"finished": self.finished, "ended_early": self.ended_early}
        checkpoint[HEADER_KEY] = {**self.header, **end, "devices": self.trainer.world_size}
        if self.trainer.world_size > 1:
            reduce, device = self.trainer.strategy.reduce, self.trainer.strategy.root_device
            for name, counts in self._counts(self.state_dict()).items():
                checkpoint["state_dict"][name] = reduce(counts.to(device, copy=True), reduce_op="sum").to(counts.device)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the counts of all devices on rank zero alone."""
        if self.trainer.global_rank > 0:
            state = checkpoint["state_dict"]
            state |= {name: torch.zeros_like(counts) for name, counts in self._counts(state).items()}

    @staticmethod
    def _counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value for name, value in state.items() if name.startswith(("accuracy.", "epoch_loss."))}

    def _is_bad(self, loss: Tensor) -> bool:
        # Reading a number from a GPU waits for all its work, so only where it decides the step or is logged anyway.
        due = self.global_step % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if loss.device.type != "cpu" and not self.stage.non_finite.decides_the_step and not due:
            return False
        bad = (~loss.isfinite()).float()
        if self.trainer.world_size > 1:  # all processes skip a step, or stop, or none
            bad = self.trainer.strategy.reduce(bad, reduce_op="max")
        return bool(bad)

    def _stop_or_skip(self, loss: Tensor, architectures: Sequence[Architecture], rate: float, optimizer: LightningOptimizer) -> None:
        among = ", ".join(map(str, architectures))
        verdict = f"is {float(loss)}" if not loss.isfinite() else "of another device is nan or infinite"
        where = f"at step {self.global_step}, learning rate {rate:.6g}, with {among}"
        self.stage.non_finite.meet(NonFiniteLoss(f"the loss {verdict} {where}"))
        self.skipped += 1
        optimizer.zero_grad()
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:  # it wants a gradient, lowers its scale by it, and skips
            parameter = next(parameter for parameter in self.supernet.parameters() if parameter.requires_grad)
            parameter.grad = torch.full_like(parameter, math.nan)
        optimizer.step()  # without gradients it changes nothing, and counts the step
        self._log({"skipped_steps": float(self.skipped), "lr": rate})

    def _log(self, values: Mapping[str, Tensor | float]) -> None:
        # Lightning would log them only after the callbacks, and a run stopped by a callback would lose the row.
        # As tensors: Lightning would copy a plain number to the device and wait for it.
        self.log_dict({name: value if isinstance(value, Tensor) else torch.tensor(value) for name, value in values.items()}, logger=False)
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._to_loggers({name: float(value) for name, value in values.items()})

    def _to_loggers(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, self.global_step - 1)
            logger.save()

    @contextmanager
    def _draws(self, device: torch.device) -> Iterator[None]:
        """Within it layers draw what depends on the position alone, so that a resumed stage repeats it."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else ()):
            rank = self.trainer.global_rank  # its images are its own
            torch.manual_seed(int(generator(self.seed, "layers", *self.position._replace(rank=rank)).integers(2**62)))
            yield

    def _elapsed(self, batch_idx: int) -> float:
        """Epochs since the stage began; where its steps end it, so many steps, whatever devices made them."""
        per_epoch, epoch = self.trainer.num_training_batches, self.current_epoch
        if self.steps_end_it:
            epoch, batch_idx = divmod(self.global_step, int(per_epoch))
        return epoch + batch_idx / per_epoch

    def _set_rate(self, optimizer: LightningOptimizer, elapsed: float) -> float:
        for group, peak in zip(optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = self.factor * self.stage.schedule.rate(peak, elapsed, self.epochs)
        return optimizer.param_groups[0]["lr"]

    def _backward(self, loss: Tensor, is_last: bool) -> None:
        blocked = nullcontext if is_last else getattr(self.trainer.strategy, "block_backward_sync", nullcontext)
        with blocked():  # one all-reduce a step, however many passes
            self.manual_backward(loss)

    def _fill_missing_gradients(self) -> None:
        # A masked full-width network gives zeros off the path; momentum and weight decay then still act.
        for parameter in self.supernet.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
