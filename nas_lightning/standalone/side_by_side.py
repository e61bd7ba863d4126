"""Trains several candidates at a time, in worker processes that divide the machine's threads. Not tested on a GPU."""

import copy
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch

from nas_lightning.data import ImageDataset
from nas_lightning.devices.process import configure_process, outlive_output
from nas_lightning.devices.signals import leave_to_parent
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.errors import InputError
from nas_lightning.space import Candidate
from nas_lightning.standalone.train_alone import TAKEN, Diverged, Recipe, train_alone


class Training(NamedTuple):
    """One candidate with one seed."""

    candidate: Candidate
    seed: int


Result = float | Diverged
"""An accuracy, a fraction, or the reason for its absence."""


def side_by_side(
    trainings: Sequence[Training],
    dataset: ImageDataset,
    recipe: Recipe,
    trainer_arguments: Mapping[str, Any],
    processes: int,
) -> Generator[tuple[Training, Result], None, None]:
    """Yields each training with its result, as it ends; the results are those of one process with a worker's threads.

    Workers are spawned, so a calling script needs ``if __name__ == "__main__"``. They end with the iterator.

    Args:
        processes: maximum number of trainings at a time; each has 1 / processes of this process's threads, at least
            one, even when fewer trainings are left, so that a resumed call gives the same accuracies.

    Raises:
        InputError: as ``train_alone``; also if an object cannot be sent to a worker, or, once the others have finished,
            if a training is missing because a worker died.
    """
    threads = max(1, torch.get_num_threads() // processes)
    jobs = pack(dataset, recipe, trainer_arguments, min(processes, len(trainings)))
    waiting = list(reversed(trainings))
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, Training | None] = {}  # None while a worker starts
    deaths: list[tuple[Training | None, str]] = []
    try:
        for _ in jobs:
            ours, worker = _start(threads)
            workers[ours], running[ours] = worker, None
        for ours, job in zip(workers, jobs, strict=True):
            with suppress(OSError):  # a dead worker is noticed when its pipe closes
                ours.send_bytes(job)
        while running:
            failure: InputError | None = None
            ready = set(wait(list(running)))
            for ours in [connection for connection in running if connection in ready]:  # all, so that one failure loses no accuracy
                training = running.pop(ours)
                try:
                    answer: Result | InputError | None = ours.recv()
                except (EOFError, OSError):
                    deaths.append((training, _cause_of_death(workers[ours])))
                    continue
                if isinstance(answer, InputError) and not isinstance(answer, Diverged):
                    failure = answer
                    continue
                if waiting:
                    running[ours] = waiting.pop()
                    with suppress(OSError):
                        ours.send(running[ours])
                if training is not None and answer is not None:
                    yield training, answer
            if failure is not None:
                raise failure
    finally:
        for started in workers.values():
            started.kill()  # Lightning defers a gentler signal while it trains
        for started in workers.values():
            started.join()
    if deaths:
        _report(deaths, len(waiting))


def _start(threads: int) -> tuple[Connection, BaseProcess]:
    """A worker, and our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # It gets its job through our pipe, not as an argument: multiprocessing holds the reading end of its own pipe open,
    # and waits forever if the arguments exceed the pipe's buffer and the worker dies before reading them.
    worker = context.Process(target=_work, args=(theirs, threads), daemon=True)
    worker.start()
    theirs.close()  # only the worker holds it now: when the worker dies, ours closes
    return ours, worker


def _cause_of_death(worker: BaseProcess) -> str:
    worker.join()
    code = worker.exitcode or 0
    if code >= 0:
        return f"died with exit code {code}"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    return f"was killed by {name}" + (" (by the system, if memory ran out: fewer processes need less)" if name == "SIGKILL" else "")


def _report(deaths: Sequence[tuple[Training | None, str]], waiting: int) -> None:
    """Raises if a training is missing; workers that died while starting have only cost time."""
    lost = [(training, cause) for training, cause in deaths if training is not None]
    training, cause = (lost or deaths)[0]
    doing = "that had not started yet" if training is None else f"that trained {training.candidate.name} with seed {training.seed}"
    line = f"standalone.processes: the worker {doing} {cause}" + (f", and {len(deaths) - 1} more died" if len(deaths) > 1 else "")
    if missing := len(lost) + waiting:
        count = "1 training is" if missing == 1 else f"{missing:,} trainings are"
        raise InputError(f"{line}; {count} missing, the others are kept; the same command again trains what is missing")
    print(f"{line}; the others have trained everything", file=sys.stderr)


def on_one_device(trainer_arguments: Mapping[str, Any], processes: int) -> list[dict[str, Any]]:
    """For each process, the arguments of a Trainer on one device; configured devices are assigned round robin.

    Args:
        trainer_arguments: of pl.Trainer, of which only ``TAKEN`` are used.
    """
    taken = {key: value for key, value in trainer_arguments.items() if key in TAKEN}
    trainer = make_trainer(taken)
    alone = {**taken, "devices": 1, "strategy": None, "num_nodes": None}
    if trainer.strategy.root_device.type == "cpu":
        return [alone] * processes
    return [{**alone, "devices": [trainer.device_ids[number % len(trainer.device_ids)]]} for number in range(processes)]


def pack(dataset: ImageDataset, recipe: Recipe, trainer_arguments: Mapping[str, Any], processes: int) -> list[bytes]:
    """The pickled job of each worker.

    Raises:
        InputError: if an object cannot be pickled, or the arguments make no Trainer.
    """
    return [_packed(_unread(dataset), recipe, arguments) for arguments in on_one_device(trainer_arguments, processes)]


def _packed(*objects: Any) -> bytes:
    # Plain pickle: multiprocessing's own would move every tensor into shared memory, which may be small.
    try:
        return pickle.dumps(objects)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(f"standalone.processes: the config's objects cannot be handed to other processes ({error})") from error


def _unread(dataset: ImageDataset) -> ImageDataset:
    """The dataset without its images and other cached properties: each worker reads or maps them itself."""
    twin = copy.copy(dataset)
    for name in [name for name in vars(twin) if isinstance(getattr(type(twin), name, None), cached_property)]:
        vars(twin).pop(name)
    return twin


def _work(parent: Connection, threads: int) -> None:
    leave_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outlive_output()
    configure_process()
    torch.set_num_threads(threads)
    with suppress(EOFError):  # the parent is gone
        dataset, recipe, trainer_arguments = pickle.loads(parent.recv_bytes())
        parent.send(None)  # ready for a training
        while True:
            candidate, seed = parent.recv()
            try:
                answer: float | InputError = train_alone(candidate.architecture, dataset, recipe, seed, trainer_arguments)
            except InputError as error:
                answer = error
            parent.send(answer)


def _end_with_parent() -> None:
    """Ends this process when its parent is killed, not only after a training that nobody waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
