"""Handles a request to end the process, so that a stage stops between two steps with a checkpoint written."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from nas_lightning.devices.signals import Interrupted, give_back, take_over


class StoppedWithinEpoch(Exception):
    """``trainer.max_time`` or a callback stopped a stage within an epoch; its checkpoint records where."""


class Interruption(pl.Callback):
    """Defers the first signal to end the process until the step is saved; the second takes effect immediately.

    A context that spans Lightning's setup and the stage's last checkpoint. Lightning's own SIGTERM handler leaves
    within an epoch without a checkpoint. With several processes it also broadcasts from within the handler, while the
    others may be in the middle of another exchange.
    """

    def __init__(self) -> None:
        self._noticed: int | None = None  # a signal during ``agree`` is reported by the next call
        self._is_agreed = False
        self._before: dict[int, Any] = {}
        self._group: Any = None

    def __enter__(self) -> "Interruption":
        """Installs the handlers."""
        self._before = take_over(self._notice)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Restores the previous handlers and raises again a signal that came too late to be agreed on."""
        give_back(self._before)
        if kind is None and self._noticed is not None and not self._is_agreed:
            signal.raise_signal(self._noticed)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Turns off Lightning's own SIGTERM handling and its exchange at every step, for which a GPU would wait.

        Lightning still calls the handler that it finds, which is ours. The processes agree over the CPU.
        """
        trainer._signal_connector._sigterm_notifier_fn = _ignore  # type: ignore[method-assign,assignment]
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _ignore  # type: ignore[method-assign]
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")

    def agree(self, should_stop: bool = False) -> tuple[int | None, bool]:
        """The signal received by any process, and whether any is to stop; each must call this after the same steps."""
        arrived = torch.tensor([self._noticed or 0, int(should_stop)])
        if self._group is not None:
            torch.distributed.all_reduce(arrived, torch.distributed.ReduceOp.MAX, group=self._group)
        signum, stops = arrived.tolist()
        self._is_agreed = signum != 0
        return signum or None, bool(stops)

    def any_of(self, found: str | None) -> str | None:
        """The text of the lowest rank that has one; each process must call this at the same place."""
        if self._group is None:
            return found
        texts: list[str | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(texts, found, group=self._group)
        return next((text for text in texts if text is not None), None)

    def _notice(self, signum: int, _: FrameType | None) -> None:
        if self._noticed is None:
            self._noticed = signum
        else:
            give_back(self._before)
            signal.raise_signal(signum)


def leave_if_asked(signum: int | None, trainer: pl.Trainer, last: Path) -> None:
    """Leaves if the processes agreed on a signal, naming the checkpoint that holds all steps; only rank zero reports it."""
    if signum is None:
        return
    if not trainer.is_global_zero:
        raise SystemExit(0)  # Lightning kills the first process once it sees that another has failed
    raise Interrupted(signum, f"stopped by {signal.Signals(signum).name} after step {trainer.global_step}: {last}")


def _ignore(*_: object) -> None:
    pass
