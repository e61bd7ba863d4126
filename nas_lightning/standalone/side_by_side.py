"""Trains several candidates at a time, in worker processes that divide the machine's threads. Not tested on a GPU."""

import copy
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache, cached_property
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
OF_THIS_WORKER: dict[str, int] = {}
"""Its number."""


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
        InputError: as ``train_alone``; also if an object cannot be sent to a worker, or if a worker died.
    """
    job = pack(dataset, recipe, trainer_arguments, processes)
    if not trainings:
        return
    context, before = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    numbers = context.SimpleQueue()
    workers = min(processes, len(trainings))
    for number in range(workers):  # no more than a pipe holds before anyone reads
        numbers.put(number)
    threads, ended = max(1, torch.get_num_threads() // processes), set[Future[Result]]()
    pool = ProcessPoolExecutor(workers, context, _begin, (threads, numbers))
    running: dict[Future[Result], Training] = {}
    try:
        with suppress(BrokenProcessPool, OSError):  # a worker that died at once closes the pool's pipes under the start of the next
            for training in trainings:
                # Each brings the job: a worker that dies while it starts would leave its parent writing arguments for ever.
                running[pool.submit(_train, job, training)] = training
        for future in as_completed(running):
            error = future.exception()
            if error is not None and not isinstance(error, BrokenProcessPool):  # others may have ended meanwhile
                yield from ((running[other], other.result()) for other in running if other not in ended and _is_finished(other))
                raise error
            if error is None:
                yield running[future], future.result()
                ended.add(future)
    finally:
        for worker in multiprocessing.active_children():
            if worker not in before:
                worker.kill()  # Lightning defers a gentler signal while it trains
        pool.shutdown(cancel_futures=True)
    if missing := len(trainings) - len(ended):
        raise InputError(
            "standalone.processes: a worker died (by the system, if memory ran out: fewer processes need less), and the others with it; "
            f"{missing:,} of {len(trainings):,} trainings are missing, the others are kept; the same command again trains what is missing"
        )


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


def pack(dataset: ImageDataset, recipe: Recipe, trainer_arguments: Mapping[str, Any], processes: int) -> bytes:
    """The pickled data set, which has no images or other cached properties, as each worker reads them itself; the recipe; and
    for each worker the arguments of its Trainer.

    Raises:
        InputError: if an object cannot be pickled.
    """
    unread = copy.copy(dataset)
    for name in [name for name in vars(unread) if isinstance(getattr(type(unread), name, None), cached_property)]:
        vars(unread).pop(name)
    arguments = on_one_device(trainer_arguments, processes)
    try:
        return pickle.dumps((unread, recipe, arguments))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(f"standalone.processes: the config's objects cannot be handed to other processes ({error})") from error


def _is_finished(future: "Future[Result]") -> bool:
    """Whether a training has ended with a result."""
    return future.done() and not future.cancelled() and future.exception() is None


def _begin(threads: int, numbers: "multiprocessing.SimpleQueue[int]") -> None:
    """Prepares a worker."""
    leave_to_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the pool ends the others when one has died
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outlive_output()
    configure_process()
    torch.set_num_threads(threads)
    OF_THIS_WORKER["number"] = numbers.get()


def _train(job: bytes, training: Training) -> Result:
    dataset, recipe, arguments = _unpacked(job)
    try:
        return train_alone(training.candidate.architecture, dataset, recipe, training.seed, arguments[OF_THIS_WORKER["number"]])
    except Diverged as error:
        return error


@cache
def _unpacked(job: bytes) -> Any:
    return pickle.loads(job)


def _end_with_parent() -> None:
    """Ends this process when its parent is killed, not only after a training that nobody waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
