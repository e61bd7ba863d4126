"""What a larger budget buys, beside what the choice of images may give."""

from typing import Any

import numpy as np
import pytest

from nas_lightning.search.finalists import gain_over_smaller


def entry(code: str, budget: dict[str, float], top1: float, place: int = 1, images: int = 400) -> dict[str, Any]:
    return {"architecture": code, "place": place, "budget": budget, "all_images": {"top1": top1, "images": images}}


def test_the_error_of_a_gain_is_that_of_draws_of_images():
    chosen = [entry("a", {"multiply_adds": 1e6}, 0.7), entry("b", {"multiply_adds": 2e6}, 0.8), entry("c", {"multiply_adds": 2e6}, 0.9, 2)]
    gain = gain_over_smaller(chosen[1], chosen)["over_smaller_budget"]
    assert (gain["budget"], gain["top1"]) == ({"multiply_adds": 1e6}, pytest.approx(0.1))
    rng = np.random.default_rng(0)
    drawn = (rng.random((20_000, 400)) < 0.8).mean(1) - (rng.random((20_000, 400)) < 0.7).mean(1)
    assert gain["standard_error"] == pytest.approx(drawn.std(), rel=0.02)
    assert not gain_over_smaller(chosen[0], chosen)
    assert not gain_over_smaller(chosen[2], chosen)


def test_a_budget_is_compared_with_the_next_smaller_one_of_the_same_costs():
    budgets = [{"multiply_adds": 1e6}, {"multiply_adds": 3e6}, {"multiply_adds": 2e6}, {"parameters": 5e3}]
    chosen = [entry(code, budget, 0.5) for code, budget in zip("abcd", budgets, strict=True)]
    assert gain_over_smaller(chosen[1], chosen)["over_smaller_budget"]["budget"] == {"multiply_adds": 2e6}
    assert not gain_over_smaller(chosen[3], chosen)
    joined = [entry("a", {"multiply_adds": 1e6, "parameters": 9e3}, 0.5), entry("b", {"multiply_adds": 2e6, "parameters": 5e3}, 0.5)]
    assert not gain_over_smaller(joined[1], joined)  # it is smaller in one cost


def test_the_same_best_under_both_gains_nothing_to_speak_of():
    chosen = [entry("a", {"multiply_adds": 1e6}, 0.7), entry("a", {"multiply_adds": 2e6}, 0.7)]
    assert not gain_over_smaller(chosen[1], chosen)
