"""Which candidates of a list are trained alone."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, ShortcutRule, cost


def spread_by_cost(population: Population, count: int, *, classes: int, channels: int, shortcuts: ShortcutRule) -> Population:
    """``count`` candidates spread evenly over the list in order of multiply-adds, in the list's order."""
    macs = cost(population.space, population.widths, classes=classes, channels=channels, shortcuts=shortcuts).multiply_adds
    return _spread(population, macs, count)


def spread_by_accuracy(population: Population, known: Mapping[Architecture, float], count: int) -> Population:
    """``count`` candidates at evenly spaced quantiles of known accuracy, the lowest and the highest among them, in the list's order.

    Args:
        known: an accuracy for every candidate, a fraction.
    """
    return _spread(population, np.array([known[architecture] for architecture in population.architectures]), count)


def _spread(population: Population, values: npt.NDArray[np.int64] | npt.NDArray[np.float64], count: int) -> Population:
    if not 1 <= count <= len(population):
        raise InputError(f"standalone.count: {count} candidates cannot be taken from a list of {len(population)}")
    places = np.linspace(0, len(population) - 1, count).round().astype(int)
    return Population(population.space, tuple(population[row] for row in sorted(np.argsort(values, kind="stable")[places])))
