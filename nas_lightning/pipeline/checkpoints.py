"""When a stage's checkpoints are written."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from nas_lightning.durable import write_whole
from nas_lightning.errors import InputError
from nas_lightning.pipeline.interruption import Interruption, leave_if_asked
from nas_lightning.training import NonFiniteLoss, SupernetTraining


class StageCheckpoints(Checkpoint):
    """Writes ``last.ckpt`` after every epoch and before leaving on request, and further ones where asked for.

    Args:
        folder: of the stage.
        interruption: says whether the stage is to stop.
        keep_every: also ``epoch_<k>.ckpt`` after every so many epochs, counted from 1.
        every_steps: ``last.ckpt`` also after every so many steps.
    """

    def __init__(self, folder: Path, interruption: Interruption, keep_every: int | None = None, every_steps: int | None = None) -> None:
        self.folder, self.interruption, self.keep_every, self.every_steps = folder, interruption, keep_every, every_steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Writes what is due within an epoch; after its last step the epoch's end follows at once and writes."""
        ends_epoch = batch_idx + 1 >= trainer.num_training_batches or 0 < trainer.max_steps <= trainer.global_step
        if ends_epoch:
            return
        asked = self.interruption.agree()
        if asked is not None or (self.every_steps is not None and trainer.global_step % self.every_steps == 0):
            self._write_last(trainer)
        leave_if_asked(asked, trainer, self.folder / "last.ckpt")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Writes what is due."""
        done = trainer.current_epoch + 1
        if self.keep_every is not None and done % self.keep_every == 0:
            save_whole(trainer, self.folder / f"epoch_{done}.ckpt")
        self._write_last(trainer)
        leave_if_asked(self.interruption.agree(), trainer, self.folder / "last.ckpt")

    def _write_last(self, trainer: pl.Trainer) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in trainer.lightning_module.parameters()):
            raise NonFiniteLoss(f"a weight is nan or infinite after step {trainer.global_step}")
        save_whole(trainer, self.folder / "last.ckpt")


def save_whole(trainer: pl.Trainer, path: Path) -> None:
    """Writes a checkpoint beside its place, then renames it: Lightning may copy over the old file, which a kill would tear.

    Raises:
        InputError: if it cannot be written (full disk, read-only folder); an older one is still there. Of several processes the first
            says so, and the others leave with it.
    """
    cast(SupernetTraining, trainer.lightning_module).join_counts()
    failure: str | None = None
    if trainer.is_global_zero:
        try:
            write_whole(path, partial(_save, trainer))
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
        trainer.strategy.barrier()  # at which the others wait for this one
        raise
