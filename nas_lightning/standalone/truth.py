"""Trains a list of candidates alone, each with several seeds, and keeps what is done."""

import csv
import io
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nas_lightning.data import ImageDataset
from nas_lightning.durable import write_text
from nas_lightning.errors import InputError
from nas_lightning.reading import read_rows
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.standalone.side_by_side import Training, on_one_device, side_by_side
from nas_lightning.standalone.train_alone import Recipe, train_alone
from nas_lightning.trainer import place, wait_for_all


@dataclass(frozen=True)
class Truth:
    """Accuracies of n candidates over s seeds."""

    population: Population
    accuracies: npt.NDArray[np.float64]
    """(n, s) fractions."""

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
        """Standard deviation of one candidate's accuracy from seed to seed, pooled over the candidates; None with one seed."""
        return float(np.sqrt(self.accuracies.var(axis=1, ddof=1).mean())) if self.accuracies.shape[1] > 1 else None


def train_truth(
    population: Population,
    dataset: ImageDataset,
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    trainer_arguments: Mapping[str, Any],
    processes: int = 1,
) -> Truth:
    """Trains what ``folder`` does not hold yet; writes ``accuracies.csv`` after each training, ``known_accuracies.json`` at the end.

    A training runs on one device, as its recipe says. Of a launch of several processes each trains its share, and writes a table of its
    own until all have ended.

    Args:
        processes: trainings at a time; 1 trains in this process with all its threads.
    """
    rank, world_size = place()
    path = folder / ("accuracies.csv" if rank == 0 else f"accuracies.{rank}.csv")
    done = read_accuracies_so_far(folder, population)
    wait_for_all()
    wanted = [Training(candidate, seed) for seed in seeds for candidate in population]
    left = [training for training in wanted if (training.candidate.architecture, training.seed) not in done][rank::world_size]
    if world_size > 1:
        trainer_arguments = on_one_device(trainer_arguments, world_size)[rank]
    train = _one_after_another if processes == 1 else partial(side_by_side, processes=processes)
    bar = partial(tqdm, total=len(left), desc="training alone", unit="net", disable=None, dynamic_ncols=True, leave=False)
    with closing(train(left, population.space, dataset, recipe, trainer_arguments)) as finished:
        for (candidate, seed), accuracy in bar(finished):
            done[candidate.architecture, seed] = accuracy
            _write(path, population, seeds, done)
    wait_for_all()
    done = read_accuracies_so_far(folder, population)
    wait_for_all()
    truth = Truth(population, np.array([[done[one.architecture, seed] for seed in seeds] for one in population]))
    if rank > 0:
        return truth
    _write(path, population, seeds, done)
    for other in folder.glob("accuracies.*.csv"):
        other.unlink()
    population.write(folder / "known_accuracies.json", (round(float(value), 6) for value in truth.mean))
    if left:
        print(f"trained alone: {len(population)} candidates x {len(seeds)} seeds, {describe(truth)}", file=sys.stderr)
    return truth


def _one_after_another(
    trainings: Sequence[Training], space: SearchSpace, dataset: ImageDataset, recipe: Recipe, trainer_arguments: Mapping[str, Any]
) -> Generator[tuple[Training, float], None, None]:
    for training in trainings:
        yield training, train_alone(space, training.candidate.architecture, dataset, recipe, training.seed, trainer_arguments)


def describe(truth: Truth) -> str:
    """Range, spread and seed noise in words."""
    low, high = truth.mean.min(), truth.mean.max()
    noise = "" if truth.seed_noise is None else f", seed noise {truth.seed_noise:.3f}"
    return f"accuracy {low:.3f} to {high:.3f}, spread {truth.spread:.3f}{noise}"


COLUMNS = ("name", "architecture", "seed", "accuracy")
Done = dict[tuple[Architecture, int], float]


def _write(path: Path, population: Population, seeds: Sequence[int], done: Done) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in population:
        writer.writerows(
            (one.name, one.text, seed, repr(done[one.architecture, seed])) for seed in seeds if (one.architecture, seed) in done
        )
    asked = set(population.architectures)
    others = {key: value for key, value in done.items() if key[0] not in asked or key[1] not in seeds}  # of an earlier call
    writer.writerows((one, population.space.text(one), seed, repr(value)) for (one, seed), value in others.items())
    write_text(path, text.getvalue())


def read_accuracies_so_far(folder: Path, population: Population) -> Done:
    """The accuracies in ``accuracies.csv``, and in the tables of processes that were stopped, by candidate and seed.

    Args:
        population: of the space that the candidates belong to.

    Raises:
        InputError: naming the first file and line that is not a row of such a table.
    """
    found: Done = {}
    for path in sorted(folder.glob("accuracies*.csv")):
        found.update(_read(path, population))
    return found


def _read(path: Path, population: Population) -> Done:
    done: Done = {}
    line_place = ""
    try:
        for line, row in read_rows(path, COLUMNS):
            line_place, accuracy = f"line {line}: ", float(row["accuracy"])
            if not 0 <= accuracy <= 1:
                raise ValueError(f"accuracy {accuracy} is not a fraction from 0 to 1")
            done[population.space.parse(row["architecture"]), int(row["seed"])] = accuracy
    except ValueError as error:  # InputError is one
        reason = f"{line_place}{error}".removeprefix(f"{path}: ")
        raise InputError(f"{path}: is not a table of accuracies ({reason}); remove it to train again") from None
    return done
