"""Trains several candidates at a time, in worker processes that share out the machine's threads. Never run on a GPU by us."""

import copy
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch

from nas_lightning.data import ImageDataset
from nas_lightning.errors import InputError
from nas_lightning.machine import tune_process
from nas_lightning.space import Candidate, SearchSpace
from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.trainer import make_trainer


class Training(NamedTuple):
    """One candidate with one seed."""

    candidate: Candidate
    seed: int


def side_by_side(
    trainings: Sequence[Training],
    space: SearchSpace,
    dataset: ImageDataset,
    recipe: Recipe,
    trainer_arguments: Mapping[str, Any],
    processes: int,
) -> Generator[tuple[Training, float], None, None]:
    """Each training with its accuracy, as it ends: what one process with a worker's threads gives.

    The workers are spawned, so a script that calls this needs its ``if __name__ == "__main__"``. They end with the iterator.

    Args:
        processes: at most so many trainings at a time; each has 1 / processes of this process's threads, at least one, also when fewer
            trainings are left, so that a call that goes on gives the same accuracies.

    Raises:
        InputError: as ``train_alone``; also if a worker dies, or an object cannot be handed over to it.
    """
    threads = max(1, torch.get_num_threads() // processes)
    jobs = [_packed(space, _unread(dataset), recipe, one) for one in on_one_device(trainer_arguments, min(processes, len(trainings)))]
    context = multiprocessing.get_context("spawn")
    waiting = iter(trainings)
    workers: dict[Connection, BaseProcess] = {}
    running: dict[Connection, Training] = {}
    try:
        for job, training in zip(jobs, waiting, strict=False):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs, job, threads), daemon=True)
            worker.start()
            workers[ours] = worker
            theirs.close()  # the worker holds the only one: when it dies, ours ends
            _hand_out(ours, training, running)
        while running:
            failure: InputError | None = None
            ready = set(wait(list(running)))
            for ours in [one for one in running if one in ready]:  # all of them: one that failed must not lose another's accuracy
                training = running.pop(ours)
                answer = _answer(ours, workers[ours], training)
                if isinstance(answer, InputError):
                    failure = answer
                    continue
                if (following := next(waiting, None)) is not None:
                    _hand_out(ours, following, running)
                yield training, answer
            if failure is not None:
                raise failure
    finally:
        for started in workers.values():
            started.kill()  # Lightning would put off a gentler signal while it trains
        for started in workers.values():
            started.join()


def on_one_device(trainer_arguments: Mapping[str, Any], processes: int) -> list[dict[str, Any]]:
    """For each process the arguments of a Trainer on one device; the processes take turns on the configured devices."""
    trainer = make_trainer(trainer_arguments)
    alone = {**trainer_arguments, "devices": 1, "strategy": None, "num_nodes": None}
    if trainer.strategy.root_device.type == "cpu":
        return [alone] * processes
    return [{**alone, "devices": [trainer.device_ids[number % len(trainer.device_ids)]]} for number in range(processes)]


def _packed(*objects: Any) -> bytes:
    # By plain pickle: multiprocessing's own would move every tensor of this process into shared memory, which may be small.
    try:
        return pickle.dumps(objects)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InputError(f"standalone.processes: the config's objects cannot be handed to other processes ({error})") from error


def _unread(dataset: ImageDataset) -> ImageDataset:
    """The dataset without its images, which each worker reads, or maps, itself."""
    twin = copy.copy(dataset)
    for split in ("_train", "_test"):
        vars(twin).pop(split, None)
    return twin


def _hand_out(worker: Connection, training: Training, running: dict[Connection, Training]) -> None:
    running[worker] = training
    with suppress(BrokenPipeError):  # it is dead: the pipe's end tells
        worker.send(training)


def _answer(ours: Connection, worker: BaseProcess, training: Training) -> float | InputError:
    try:
        return ours.recv()
    except (EOFError, ConnectionResetError):
        worker.join()
        return InputError(
            f"standalone.processes: the worker that trained {training.candidate.name} with seed {training.seed} died (exit code "
            f"{worker.exitcode}); what was finished is kept, and the same call goes on"
        )


def _work(parent: Connection, job: bytes, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tune_process()
    torch.set_num_threads(threads)
    space, dataset, recipe, trainer_arguments = pickle.loads(job)
    with suppress(EOFError):  # the parent is gone
        while True:
            candidate, seed = parent.recv()
            try:
                answer: float | InputError = train_alone(space, candidate.architecture, dataset, recipe, seed, trainer_arguments)
            except InputError as error:
                answer = error
            parent.send(answer)


def _end_with_parent() -> None:
    """Ends this process when its parent was killed, rather than after a training that nobody waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
