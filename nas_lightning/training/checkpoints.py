"""When a stage's checkpoints are written."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, Timer
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_atomically
from nas_lightning.training.interruption import Interruption, StoppedWithinEpoch, leave_if_asked
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.step_rules import NonFiniteLoss

DIVERGED = (EarlyStoppingReason.NON_FINITE_METRIC, EarlyStoppingReason.DIVERGENCE_THRESHOLD)
"""Why EarlyStopping ends a stage that has no result."""


class StageCheckpoints(Checkpoint):
    """Writes ``last.ckpt`` after every epoch and before leaving on request, and others where asked for.

    A stop within an epoch (a signal, ``trainer.max_time``, a callback's ``should_stop``) takes effect at once:
    Lightning would run the hooks of the epoch's end, where a checkpoint counts the epoch as complete.

    Args:
        folder: of the stage.
        interruption: knows whether the stage is to stop.
        keep_every: also ``epoch_<k>.ckpt`` after every N epochs, counted from 1.
        every_steps: ``last.ckpt`` also after every N steps.
    """

    def __init__(self, folder: Path, interruption: Interruption, keep_every: int | None = None, every_steps: int | None = None) -> None:
        self.folder, self.interruption, self.keep_every, self.every_steps = folder, interruption, keep_every, every_steps
        self._put_off, self._is_owed = False, False

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Writes what is due within an epoch; after its last step the epoch's end follows at once and writes."""
        ends_epoch = batch_idx + 1 >= trainer.num_training_batches or 0 < trainer.max_steps <= trainer.global_step
        if ends_epoch:  # Lightning would evaluate once more where it is to stop
            trainer.should_stop, self._put_off = False, self._put_off or trainer.should_stop
            return
        asked, is_cut = self.interruption.agree(trainer.should_stop or self._put_off)
        is_due = self._is_owed or (self.every_steps is not None and trainer.global_step % self.every_steps == 0)
        if isinstance(trainer.val_check_batch, int) and (batch_idx + 1) % trainer.val_check_batch == 0:
            # A checkpoint written here counts the evaluation that follows as done, so it waits for the next step.
            trainer.should_stop, self._put_off, self._is_owed = False, is_cut, is_due
            return
        trainer.should_stop, self._put_off, self._is_owed = is_cut, False, False
        if asked is not None or is_cut or is_due:
            self._write_last(trainer)
        leave_if_asked(asked, trainer, self.folder / "last.ckpt")
        if is_cut:
            raise StoppedWithinEpoch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Defers a stop requested by an evaluation within an epoch until the next step, which can be saved."""
        if trainer.sanity_checking or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        _, trainer.should_stop = self.interruption.agree(trainer.should_stop)
        if trainer.should_stop and self.interruption.any_of(_verdict(trainer)[0]) is None:
            trainer.should_stop, self._put_off = False, True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes what is due; marks a stage ended by EarlyStopping as finished at once, so that no kill resumes it."""
        asked, trainer.should_stop = self.interruption.agree(trainer.should_stop or self._put_off)
        if trainer.should_stop:  # what EarlyStopping monitors may differ between processes: any ends all
            reason, has_diverged = _verdict(trainer)
            if (diverged := self.interruption.any_of(reason if has_diverged else None)) is not None:
                raise NonFiniteLoss(f"EarlyStopping after step {trainer.global_step}: {diverged}")
            if (ended := self.interruption.any_of(reason)) is not None:
                module = cast(SupernetTraining, pl_module)
                module.finished, module.ended_early = True, ended
        self._put_off, self._is_owed = False, False
        done = trainer.current_epoch + 1
        if self.keep_every is not None and done % self.keep_every == 0:
            save_whole(trainer, self.folder / f"epoch_{done}.ckpt")
        self._write_last(trainer)
        leave_if_asked(asked, trainer, self.folder / "last.ckpt")

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Drops the stage's elapsed time: ``trainer.max_time`` applies to one call."""
        checkpoint["callbacks"].pop(Timer().state_key, None)

    def _write_last(self, trainer: pl.Trainer) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in trainer.lightning_module.parameters()):
            raise NonFiniteLoss(f"a weight is nan or infinite after step {trainer.global_step}")
        save_whole(trainer, self.folder / "last.ckpt")


def save_whole(trainer: pl.Trainer, path: Path) -> None:
    """Writes a checkpoint next to its path, then renames it: Lightning may overwrite in place, which a kill would tear.

    Raises:
        InputError: if it cannot be written (full disk, read-only folder); an older one is kept. Only rank zero raises
            it; the other processes exit.
    """
    failure: str | None = None
    if trainer.is_global_zero:
        try:
            write_atomically(path, partial(_save, trainer))
        except InputError as error:
            failure = str(error)
    else:
        trainer.save_checkpoint(path)  # takes part in gathering, writes nothing
    failure = trainer.strategy.broadcast(failure)
    if failure is not None:
        raise InputError(failure) if trainer.is_global_zero else SystemExit(0)


def _save(trainer: pl.Trainer, path: Path) -> None:
    try:
        trainer.save_checkpoint(path)
    except OSError:
        trainer.strategy.barrier()  # the other processes wait here
        raise


def _verdict(trainer: pl.Trainer) -> tuple[str | None, bool]:
    """EarlyStopping's reason in this process, and whether the stage has no result; None if something else stops it."""
    rules = [callback for callback in cast(Any, trainer).callbacks if isinstance(callback, EarlyStopping)]
    for rule in rules:
        if rule.stopping_reason is not EarlyStoppingReason.NOT_STOPPED:
            reason = str(rule.stopping_reason_message).removesuffix("Signaling Trainer to stop.").rstrip(" .")
            return reason, rule.stopping_reason in DIVERGED
    return None, False
