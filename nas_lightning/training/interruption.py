"""Notices that a process is asked to end, so that a stage can stop between two steps with a checkpoint written."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from nas_lightning.devices.signals import Interrupted, give_back, take_over


class StoppedWithinEpoch(Exception):
    """A stage stopped within an epoch, and its checkpoint says where: ``trainer.max_time``, or a callback."""


class Interruption(pl.Callback):
    """Defers the first signal that asks the process to end until the step is saved; a second one takes effect immediately.

    As a context it listens, from before Lightning prepares the training until after the stage's last checkpoint. Lightning's own handler
    of SIGTERM leaves within an epoch without a checkpoint, and with several processes it broadcasts from within the handler, where the
    others may be in the middle of another exchange.
    """

    def __init__(self) -> None:
        self._noticed: int | None = None  # a signal may come while the processes agree: only the next time is it told
        self._is_agreed = False
        self._before: dict[int, Any] = {}
        self._group: Any = None

    def __enter__(self) -> "Interruption":
        """Takes over."""
        self._before = take_over(self._notice)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Gives back, and raises a signal once more that came too late to be agreed on."""
        give_back(self._before)
        if kind is None and self._noticed is not None and not self._is_agreed:
            signal.raise_signal(self._noticed)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Keeps Lightning from acting on SIGTERM itself, and from asking all devices for one at each step, which a GPU would wait for.

        It also calls the handler that it finds, which is ours. The processes agree over the CPU.
        """
        trainer._signal_connector._sigterm_notifier_fn = _ignore  # type: ignore[method-assign,assignment]
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _ignore  # type: ignore[method-assign]
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")

    def agree(self, should_stop: bool = False) -> tuple[int | None, bool]:
        """The signal that arrived in any of the processes, and whether any is to stop; each must call this after the same steps."""
        arrived = torch.tensor([self._noticed or 0, int(should_stop)])
        if self._group is not None:
            torch.distributed.all_reduce(arrived, torch.distributed.ReduceOp.MAX, group=self._group)
        signum, stops = arrived.tolist()
        self._is_agreed = signum != 0
        return signum or None, bool(stops)

    def any_of(self, found: str | None) -> str | None:
        """What the first process found that found anything; each must call this at the same place."""
        if self._group is None:
            return found
        of_all: list[str | None] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(of_all, found, group=self._group)
        return next((text for text in of_all if text is not None), None)

    def _notice(self, signum: int, _: FrameType | None) -> None:
        if self._noticed is None:
            self._noticed = signum
        else:
            give_back(self._before)
            signal.raise_signal(signum)


def leave_if_asked(signum: int | None, trainer: pl.Trainer, last: Path) -> None:
    """Leaves if the processes agreed on a signal; of several the first one tells.

    Args:
        signum: what they agreed on.
        last: the checkpoint that holds all steps.

    Raises:
        Interrupted: if there was a signal.
    """
    if signum is None:
        return
    if not trainer.is_global_zero:
        raise SystemExit(0)  # Lightning kills the first process once it sees that another has failed
    raise Interrupted(signum, f"stopped by {signal.Signals(signum).name} after step {trainer.global_step}: {last}")


def _ignore(*_: object) -> None:
    pass
