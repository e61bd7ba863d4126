"""Trains several candidates at a time, in worker processes that divide the machine's threads. Not tested on a GPU."""

import copy
import multiprocessing
import os
import pickle
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache, cached_property
from itertools import islice
from typing import Any, NamedTuple

import torch

from nas_lightning.data import ImageDataset
from nas_lightning.devices.process import configure_process, outlive_output
from nas_lightning.devices.signals import leave_to_parent, starting_deaf
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
    context, before = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    threads, waiting, kept = max(1, torch.get_num_threads() // processes), iter(trainings), 0
    # A pool for each worker: one of several starts its workers while its own thread counts them, which fails when one dies meanwhile.
    pools = [ProcessPoolExecutor(1, context, _begin, (threads, number)) for number in range(min(processes, len(trainings)))]
    running: dict[Future[Result], tuple[Training, ProcessPoolExecutor]] = {}

    def hand_out(pool: ProcessPoolExecutor) -> None:
        for training in islice(waiting, 1):
            # Each brings the job: a worker that dies while it starts would leave its parent writing arguments for ever.
            running[pool.submit(_train, job, training)] = training, pool

    try:
        with starting_deaf():
            for pool in pools:
                hand_out(pool)
        while running:
            ended = wait(running, return_when=FIRST_COMPLETED).done
            free = []
            for future in sorted(ended, key=lambda future: future.exception() is not None):  # what is finished first
                training, pool = running.pop(future)
                yield training, future.result()
                kept += 1
                free.append(pool)
            for pool in free:
                hand_out(pool)
    except BrokenProcessPool as error:
        raise InputError(
            "standalone.processes: a worker died (by the system, if memory ran out: fewer processes need less), and the others with it; "
            f"{len(trainings) - kept:,} of {len(trainings):,} trainings are missing, the others are kept; "
            "the same command again trains what is missing"
        ) from error
    finally:
        for worker in multiprocessing.active_children():
            if worker not in before:
                worker.kill()  # Lightning defers a gentler signal while it trains
        for pool in pools:
            pool.shutdown(cancel_futures=True)


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


def _begin(threads: int, number: int) -> None:
    """Prepares a worker."""
    leave_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outlive_output()
    configure_process()
    torch.set_num_threads(threads)
    OF_THIS_WORKER["number"] = number


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
