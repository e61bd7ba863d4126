"""Notices that a process is asked to end, so that a stage can stop between two steps with a checkpoint written."""

import signal
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A stage stopped on request; its exit code is the shell's for the signal."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(128 + signum)
        self.message = message


class Interruption(pl.Callback):
    """Remembers a first SIGINT or SIGTERM while a stage trains; a second one acts at once, as without us.

    With several processes Lightning's own way stands: it tells the others, which this one cannot.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        """What has arrived."""
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Takes over from Lightning, whose handler of SIGTERM leaves within an epoch without a checkpoint."""
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._notice) for signum in SIGNALS}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Gives back."""
        self._give_back()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Gives back."""
        self._give_back()

    def _notice(self, signum: int, _: FrameType | None) -> None:
        self.signum = signum
        self._give_back()

    def _give_back(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
