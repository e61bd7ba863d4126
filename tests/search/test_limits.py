"""Budgets as a config gives them."""

from typing import Any

import pytest

from nas_lightning.errors import InputError
from nas_lightning.search.limits import describe, resolve

RULE = "must be a number above 0, or a share of the largest candidate such as 60%"
ENDS = {"multiply_adds": (1_000_000.0, 40_000_000.0), "parameters": (5_000.0, 300_000.0)}


def test_budgets_of_several_costs_are_combined_and_shares_are_of_the_largest():
    budgets = resolve({"multiply_adds": [20e6, 10e6], "parameters": "60%"}, ENDS)
    assert budgets == ({"multiply_adds": 10e6, "parameters": 180e3}, {"multiply_adds": 20e6, "parameters": 180e3})
    assert describe(budgets[0]) == "10,000,000 multiply-adds, 180,000 parameters"
    assert resolve({}, ENDS) == ({},)


@pytest.mark.parametrize(
    ("budgets", "line"),
    [
        (
            {"multiply_adds": 999_999},
            "multiply_adds: 999999 is below the smallest candidate, which has 1,000,000 multiply-adds",
        ),
        (
            {"parameters": ["50%", "1%"]},  # 1.7% would do: shares are rounded up
            "parameters: 1% is below the smallest candidate, which has 5,000 parameters, 1.7% of the largest",
        ),
        ({"macs": 1}, "macs: is not a key; known: multiply_adds, parameters"),
        *(
            (
                {"parameters": wrong},
                f"parameters: {wrong!r} {RULE}",
            )
            for wrong in ("much", "120%", "-5%", -1, 0, True, None, {"a": 1}, "nan", 1e301)
        ),
        ({"parameters": []}, "parameters: is an empty list; give at least one budget"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_one_line(budgets: dict[str, Any], line: str):
    with pytest.raises(InputError) as caught:
        resolve(budgets, ENDS)
    assert str(caught.value) == f"search.budgets.{line}"
