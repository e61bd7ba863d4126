"""When a stage's checkpoints are written."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint


class StageCheckpoints(Checkpoint):
    """Writes ``last.ckpt`` after every epoch, and ``epoch_<k>.ckpt`` after every ``keep_every``-th, counted from 1."""

    def __init__(self, folder: Path, keep_every: int | None = None) -> None:
        self.folder, self.keep_every = folder, keep_every

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Writes what is due."""
        done = trainer.current_epoch + 1
        if self.keep_every is not None and done % self.keep_every == 0:
            save_whole(trainer, self.folder / f"epoch_{done}.ckpt")
        save_whole(trainer, self.folder / "last.ckpt")


def save_whole(trainer: pl.Trainer, path: Path) -> None:
    """Writes a checkpoint beside its place, then renames it: Lightning may copy over the old file, which a kill would tear."""
    temporary = path.with_name(f".{path.name}.tmp")
    trainer.save_checkpoint(temporary)
    if trainer.is_global_zero:
        temporary.replace(path)
    trainer.strategy.barrier()
