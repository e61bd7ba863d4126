"""Trains a list of candidates stand-alone, each with several seeds, and keeps finished results."""

import csv
import io
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nas_lightning.data import ImageDataset
from nas_lightning.devices.progress import report
from nas_lightning.devices.trainer import rank_and_world_size, wait_for_all
from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_rows, safe_cell
from nas_lightning.runs.writing import write_text
from nas_lightning.space import Architecture, Candidate, Population
from nas_lightning.standalone.choice import check_seeds
from nas_lightning.standalone.progress import TruthProgress
from nas_lightning.standalone.side_by_side import Result, Training, on_one_device, side_by_side
from nas_lightning.standalone.train_alone import Diverged, Recipe, train_alone


class Failure(NamedTuple):
    """A training without an accuracy."""

    candidate: Candidate
    seed: int
    reason: str

    def __str__(self) -> str:
        return f"{self.candidate.name} with seed {self.seed} ({self.reason})"


@dataclass(frozen=True)
class GroundTruth:
    """Accuracies of n candidates over s seeds."""

    population: Population
    """The candidates with an accuracy for every seed."""
    accuracies: npt.NDArray[np.float64]
    """(n, s) fractions."""
    failures: tuple[Failure, ...] = ()
    """Diverged trainings; their candidates are left out of the population, whatever the other seeds gave."""

    @property
    def left_out(self) -> tuple[Candidate, ...]:
        """The candidates without an accuracy."""
        return tuple({failure.candidate.architecture: failure.candidate for failure in self.failures}.values())

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """(n,) fractions."""
        return self.accuracies.mean(axis=1)

    @property
    def spread(self) -> float:
        """Standard deviation of the candidates' mean accuracies, a fraction."""
        return float(self.mean.std(ddof=1)) if len(self.population) > 1 else 0.0

    @property
    def seed_noise(self) -> float | None:
        """Standard deviation of an accuracy over seeds, pooled over the candidates; None with one seed."""
        return float(np.sqrt(self.accuracies.var(axis=1, ddof=1).mean())) if self.accuracies.shape[1] > 1 else None


def train_ground_truth(
    population: Population,
    dataset: ImageDataset,
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    trainer_arguments: Mapping[str, Any],
    processes: int = 1,
) -> GroundTruth:
    """Trains what ``folder`` lacks, updates ``accuracies.csv`` after each training, then writes the known accuracies.

    A diverged training is recorded as a failure, not repeated (it would diverge again), and does not stop the others.

    Each training runs on one device. In a launch of several processes each trains its share, and writes its own table
    until all have ended.

    Args:
        trainer_arguments: of pl.Trainer; only those of device, speed and precision are used.
        processes: trainings at a time; 1 trains in this process with all its threads.

    Raises:
        InputError: if there are no seeds, or a training was cut short; finished results are kept.
    """
    check_seeds(seeds)
    rank, world_size = rank_and_world_size()
    path = folder / ("accuracies.csv" if rank == 0 else f"accuracies.{rank}.csv")
    done = read_accuracies_so_far(folder, population)
    wait_for_all()
    wanted = [Training(candidate, seed) for seed in seeds for candidate in population]
    left = [training for training in wanted if (training.candidate.architecture, training.seed) not in done][rank::world_size]
    if processes == 1 or world_size > 1:
        trainer_arguments = on_one_device(trainer_arguments, world_size)[rank]
    progress = TruthProgress(len(left), recipe.epochs, processes, rank == 0)
    with_others = partial(side_by_side, processes=processes)
    train = partial(_one_after_another, after_epoch=progress.epoch) if processes == 1 else with_others
    with closing(progress.progress), closing(train(left, dataset, recipe, trainer_arguments)) as finished:
        for (candidate, seed), result in finished:
            progress.end()
            if isinstance(result, Diverged):
                tqdm.write(f"diverged: {Failure(candidate, seed, str(result))}", file=sys.stderr)
            done[candidate.architecture, seed] = str(result) if isinstance(result, Diverged) else result
            _write(path, population, seeds, done)
    wait_for_all()
    done = read_accuracies_so_far(folder, population)
    wait_for_all()
    truth = _truth(population, seeds, done)
    if rank > 0:
        return truth
    _write(path, population, seeds, done)
    for table in folder.glob(OF_A_PROCESS):
        table.unlink()
    known = folder / "known_accuracies.json"
    if not len(truth.population):
        known.unlink(missing_ok=True)
        return truth
    truth.population.write(known, (round(float(value), 6) for value in truth.mean))
    if left:
        noise = "" if truth.seed_noise is None else f", from seed to seed by {100 * truth.seed_noise:.1f}"
        spread = (
            f"accuracy {100 * truth.mean.min():.1f} to {100 * truth.mean.max():.1f} %, spread by {100 * truth.spread:.1f} points{noise}"
        )
        seed_count = f"{len(seeds)} seed" + "s" * (len(seeds) > 1)
        report(f"trained alone: {len(truth.population)} candidates x {seed_count}, {spread}")
    if truth.failures:
        print(describe_failures(truth), file=sys.stderr)
    return truth


def check_enough(truth: GroundTruth, fewest: int) -> None:
    """Raises InputError if fewer than ``fewest`` candidates have an accuracy."""
    if len(truth.population) < fewest:
        have = f"{len(truth.population)} candidates have an accuracy, at least {fewest} must"
        raise InputError(f"standalone: {have}; {describe_failures(truth)}")


def describe_failures(truth: GroundTruth) -> str:
    """The number of candidates without an accuracy, and the reason of the first, in one line."""
    count, total = len(truth.left_out), len(truth.population) + len(truth.left_out)
    return (
        f"{count:,} of {total:,} candidates diverged and are left out, such as {truth.failures[0]}; accuracies.csv names each; "
        "a lower standalone.optimizer.lr, in another run_dir, may help"
    )


def _truth(population: Population, seeds: Sequence[int], done: "Done") -> GroundTruth:
    """The candidates with an accuracy for every seed, and the failures of the others."""
    rows: list[tuple[Candidate, list[float]]] = []
    failures: list[Failure] = []
    for candidate in population:
        results = [done[candidate.architecture, seed] for seed in seeds]
        accuracies = [result for result in results if not isinstance(result, str)]
        failures += [Failure(candidate, seed, result) for seed, result in zip(seeds, results, strict=True) if isinstance(result, str)]
        if len(accuracies) == len(seeds):
            rows.append((candidate, accuracies))
    table = np.array([accuracies for _, accuracies in rows], dtype=np.float64).reshape(len(rows), len(seeds))
    return GroundTruth(Population(population.space, tuple(candidate for candidate, _ in rows)), table, tuple(failures))


def _one_after_another(
    trainings: Sequence[Training],
    dataset: ImageDataset,
    recipe: Recipe,
    trainer_arguments: Mapping[str, Any],
    after_epoch: Callable[[], None],
) -> Generator[tuple[Training, Result], None, None]:
    for training in trainings:
        try:
            result: Result = train_alone(training.candidate.architecture, dataset, recipe, training.seed, trainer_arguments, after_epoch)
        except Diverged as error:
            result = error
        yield training, result


COLUMNS = ("name", "architecture", "seed", "accuracy", "failure")
"""A row has an accuracy or a failure."""
OF_A_PROCESS = "accuracies.[0-9]*.csv"
"""The table of one of several processes, until all have ended."""
Done = dict[tuple[Architecture, int], float | str]
"""The accuracy of each training, or the reason for its absence."""


def _write(path: Path, population: Population, seeds: Sequence[int], done: Done) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    names = {(candidate.architecture, seed): safe_cell(candidate.name) for candidate in population for seed in seeds}
    for key in dict.fromkeys([*(key for key in names if key in done), *done]):  # those of previous calls follow
        (architecture, seed), result = key, done[key]
        cells = ("", result) if isinstance(result, str) else (repr(result), "")
        writer.writerow((names.get(key, architecture), population.space.text(architecture), seed, *cells))
    write_text(path, text.getvalue())


def read_accuracies_so_far(folder: Path, population: Population) -> Done:
    """The results in ``accuracies.csv`` and in the tables of stopped processes, by candidate and seed.

    Args:
        population: of the candidates' space.

    Raises:
        InputError: naming the first file and line that is not a row of such a table.
    """
    done: Done = {}
    for path in filter(Path.is_file, (folder / "accuracies.csv", *sorted(folder.glob(OF_A_PROCESS)))):
        place = ""
        try:
            for line, row in read_rows(path, ("name", "architecture", "seed", "accuracy")):  # older files lack failures
                place, failure = f"line {line}: ", row.get("failure", "")
                result = failure if failure and not row["accuracy"] else float(row["accuracy"])
                if not isinstance(result, str) and not 0 <= result <= 1:
                    raise ValueError(f"accuracy {result} is not a fraction from 0 to 1")
                done[population.space.parse(row["architecture"]), int(row["seed"])] = result
        except ValueError as error:  # InputError is one
            reason = f"{place}{error}".removeprefix(f"{path}: ")
            raise InputError(f"{path}: is not a table of accuracies ({reason}); remove it to train again") from None
    return done
