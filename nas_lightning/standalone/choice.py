"""Chooses which candidates of a list to train stand-alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError, check_at_least
from nas_lightning.space import Architecture, Population, Structure


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises InputError for the first seed that is negative or given twice."""
    if not len(seeds):
        raise InputError("standalone.seeds: must name at least one seed")
    for index, seed in enumerate(seeds):
        place = f"standalone.seeds[{index}]"
        check_at_least(place, seed, 0)
        if seed in seeds[:index]:
            raise InputError(f"{place}: {seed} is there already; the same training twice tells nothing of the noise between seeds")


def spread_by_cost(population: Population, count: int, structure: Structure) -> Population:
    """``count`` candidates spread evenly over the list in order of multiply-adds, in the list's order."""
    return _spread(population, structure.cost(population.widths).multiply_adds, count)


def spread_by_accuracy(population: Population, known: Mapping[Architecture, float], count: int) -> Population:
    """``count`` candidates at evenly spaced quantiles of known accuracy, both extremes included, in the list's order.

    Args:
        known: an accuracy for every candidate, a fraction.
    """
    return _spread(population, np.array([known[architecture] for architecture in population.architectures]), count)


def _spread(population: Population, values: npt.NDArray[np.int64] | npt.NDArray[np.float64], count: int) -> Population:
    if not 1 <= count <= len(population):
        raise InputError(f"standalone.count: {count} candidates cannot be taken from a list of {len(population)}")
    ranks = np.linspace(0, len(population) - 1, count).round().astype(int)
    return Population(population.space, tuple(population[row] for row in sorted(np.argsort(values, kind="stable")[ranks])))
