"""Notices that a process is asked to end, so that a stage can stop between two steps with a checkpoint written."""

import signal
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A stage stopped on request; its exit code is the shell's for the signal."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(128 + signum)
        self.signum, self.message = signum, message

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, str]]:
        return Interrupted, (self.signum, self.message)  # a launcher's worker hands it over


class Interruption(pl.Callback):
    """Remembers a first SIGINT or SIGTERM while a stage trains; a second one acts at once, as without us.

    Lightning's own handler of SIGTERM leaves within an epoch without a checkpoint, and with several processes it broadcasts from within
    the handler, where the others may be in the middle of another exchange.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        """What has arrived, here or since ``agree`` in any process."""
        self._before: dict[int, Any] = {}
        self._group: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Takes over from Lightning."""
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._notice) for signum in SIGNALS}
        if trainer.world_size > 1:  # over the CPU: a GPU need not wait for it
            self._group = torch.distributed.new_group(backend="gloo")

    def agree(self) -> int | None:
        """What has arrived in any of the processes; each must call this after the same steps."""
        if self._group is not None:
            arrived = torch.tensor(self.signum or 0)
            torch.distributed.all_reduce(arrived, torch.distributed.ReduceOp.MAX, group=self._group)
            self.signum = int(arrived) or None
        return self.signum

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
