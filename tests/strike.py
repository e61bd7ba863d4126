"""A callback with which a process strikes itself: at an exact step, however slow the machine is."""

import os
from typing import Any

import pytorch_lightning as pl


class Strike(pl.Callback):
    """Sends a signal to the process of one device.

    Args:
        signum: of the signal; None takes the environment's STRIKE, and strikes nobody where there is none.
        rank: of the process.
        step: of the first stage that is to begin, counted from 0; of a ranking, the chunk that was ranked last.
    """

    def __init__(self, signum: int | None = None, rank: int = 0, step: int = 0) -> None:
        self.signum, self.rank, self.step = int(os.environ.get("STRIKE", "0")) if signum is None else signum, rank, step

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Before the step."""
        self._strike(trainer, trainer.global_step)

    def on_predict_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """After the chunk."""
        self._strike(trainer, arguments[3])

    def _strike(self, trainer: pl.Trainer, step: int) -> None:
        if (trainer.global_rank, step) == (self.rank, self.step):
            os.kill(os.getpid(), self.signum)


class StopOne(pl.Callback):
    """Asks Lightning to stop after a step, in one process alone.

    Args:
        rank: of the process.
        step: counted from 0.
    """

    def __init__(self, rank: int, step: int) -> None:
        self.rank, self.step = rank, step

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """After the step."""
        if (trainer.global_rank, arguments[3]) == (self.rank, self.step):
            trainer.should_stop = True
