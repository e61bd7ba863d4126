"""Trains a list of candidates alone, each with several seeds, and keeps what is done."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pytorch_lightning.utilities import rank_zero_only
from tqdm import tqdm

from nas_lightning.data import ImageDataset
from nas_lightning.durable import write_text
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, ShortcutRule, cost
from nas_lightning.standalone.train_alone import Recipe, train_alone


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


def spread_by_cost(population: Population, count: int, *, classes: int, channels: int, shortcuts: ShortcutRule) -> Population:
    """``count`` candidates spread evenly over the list in order of multiply-adds, in the list's order."""
    if not 1 <= count <= len(population):
        raise InputError(f"standalone.count: {count} candidates cannot be taken from a list of {len(population)}")
    macs = cost(population.space, population.widths, classes=classes, channels=channels, shortcuts=shortcuts).multiply_adds
    places = np.linspace(0, len(population) - 1, count).round().astype(int)
    return Population(population.space, tuple(population[row] for row in sorted(np.argsort(macs, kind="stable")[places])))


def train_truth(
    population: Population,
    dataset: ImageDataset,
    recipe: Recipe,
    seeds: Sequence[int],
    folder: Path,
    trainer_arguments: Mapping[str, Any],
) -> Truth:
    """Trains what ``folder`` does not hold yet; writes ``accuracies.csv`` after each training, ``known_accuracies.json`` at the end."""
    path = folder / "accuracies.csv"
    done = _read(path, population)
    wanted = [(candidate, seed) for seed in seeds for candidate in population]
    left = [(candidate, seed) for candidate, seed in wanted if (candidate.architecture, seed) not in done]
    for candidate, seed in tqdm(left, desc="training alone", unit="net", disable=None, dynamic_ncols=True, leave=False):
        accuracy = train_alone(population.space, candidate.architecture, dataset, recipe, seed, trainer_arguments)
        done[candidate.architecture, seed] = accuracy
        _write(path, population, seeds, done)
    truth = Truth(population, np.array([[done[one.architecture, seed] for seed in seeds] for one in population]))
    population.write(folder / "known_accuracies.json", (round(float(value), 6) for value in truth.mean))
    rank_zero_only(print)(f"trained alone: {len(population)} candidates x {len(seeds)} seeds, {describe(truth)}", file=sys.stderr)
    return truth


def describe(truth: Truth) -> str:
    """Range, spread and seed noise in words."""
    low, high = truth.mean.min(), truth.mean.max()
    noise = "" if truth.seed_noise is None else f", seed noise {truth.seed_noise:.3f}"
    return f"accuracy {low:.3f} to {high:.3f}, spread {truth.spread:.3f}{noise}"


Done = dict[tuple[Architecture, int], float]


def _write(path: Path, population: Population, seeds: Sequence[int], done: Done) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "architecture", "seed", "accuracy"))
    for one in population:
        writer.writerows(
            (one.name, one.text, seed, repr(done[one.architecture, seed])) for seed in seeds if (one.architecture, seed) in done
        )
    asked = set(population.architectures)
    others = {key: value for key, value in done.items() if key[0] not in asked or key[1] not in seeds}  # of an earlier call
    writer.writerows((one, population.space.text(one), seed, repr(value)) for (one, seed), value in others.items())
    write_text(path, text.getvalue())


def _read(path: Path, population: Population) -> Done:
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {(population.space.parse(row["architecture"]), int(row["seed"])): float(row["accuracy"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not a table of accuracies ({error}); remove it to train again") from None
