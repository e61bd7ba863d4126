"""Budgets as a config gives them, made into the limits of candidates."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

from nas_lightning.errors import InputError, check_known, cut
from nas_lightning.search.problem import COUNTED, Budget

PLACE = "search.budgets"
UNITS = {"multiply_adds": "multiply-adds", "parameters": "parameters", "latency": "ms", "batch_latency": "ms a batch"}
"""Words after a cost."""


def resolve(budgets: Mapping[str, Any], ends: Mapping[str, tuple[float, float]]) -> tuple[Budget, ...]:
    """Every combination of the budgets of each cost, the smallest first; one without limits if none is given.

    Args:
        budgets: by cost a number, a share of the largest candidate such as ``60%``, or a list of those.
        ends: by cost, what the smallest and the largest candidate cost.

    Raises:
        InputError: naming the budget, if it is none, or if no candidate can keep to it.
    """
    limits: dict[str, list[float]] = {}
    for name, given in budgets.items():
        place = f"{PLACE}.{name}"
        check_known(place, name, ends)
        values = given if isinstance(given, list) else [given]
        if not values:
            raise InputError(f"{place}: is an empty list; give at least one budget")
        limits[name] = sorted({_resolved(value, place, *ends[name], name) for value in values})
    return tuple(dict(zip(limits, values, strict=True)) for values in product(*limits.values()))


def _resolved(value: Any, place: str, smallest: float, largest: float, name: str) -> float:
    number = _number(value, largest, name in COUNTED)
    if number is None:
        raise InputError(f"{place}: {cut(repr(value))} must be a number above 0, or a share of the largest candidate such as 60%")
    if number < smallest:
        share = f", {math.ceil(1000 * smallest / largest) / 10:g}% of the largest" if isinstance(value, str) else ""
        raise InputError(f"{place}: {value} is below the smallest candidate, which has {amount(smallest)} {UNITS.get(name, name)}{share}")
    return number


def _number(value: Any, largest: float, is_whole: bool) -> float | None:
    is_share = isinstance(value, str) and value.endswith("%")
    try:
        number = float(value.removesuffix("%") if is_share else value)
    except (TypeError, ValueError, AttributeError):
        return None
    if isinstance(value, bool) or not math.isfinite(number) or not 0 < number < 1e300 or (is_share and number > 100):
        return None
    share = number / 100 * largest
    return number if not is_share else float(math.floor(share)) if is_whole else share


def amount(value: float) -> str:
    """A cost for people: whole numbers with commas, of others four digits."""
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"


def describe(budget: Budget) -> str:
    """A budget in words."""
    return ", ".join(f"{amount(limit)} {UNITS.get(name, name)}" for name, limit in budget.items()) or "no limit"
