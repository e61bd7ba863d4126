"""The rules of a step, by their numbers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from nas_lightning.errors import InputError
from nas_lightning.space import SearchSpace
from nas_lightning.training.objectives import InplaceDistillation
from nas_lightning.training.schedules import Cosine
from nas_lightning.training.step_rules import Mean, Power, Sum

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)


def test_shares_and_factors_are_the_hand_computed_ones():
    assert (Sum().share(4), Mean().share(4)) == (1.0, 0.25)
    assert [Power(exponent).factor(4) for exponent in (0.0, 0.5, 1.0)] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("exponent", ["abc", None, True, -0.1, 1.5, float("nan"), 1e9])
def test_an_exponent_that_is_no_share_is_refused(exponent: Any):
    with pytest.raises(InputError, match=r"rate_scaling\.exponent: .* must be"):
        Power(exponent)


@pytest.mark.parametrize("value", ["abc", None, True])
@pytest.mark.parametrize(("kind", "key"), [(Cosine, "schedule.final_lr"), (partial(InplaceDistillation, SPACE), "objective.hard_weight")])
def test_a_schedules_or_objectives_number_that_is_none_is_refused(kind: Callable[..., Any], key: str, value: Any):
    with pytest.raises(InputError, match=rf"^{key}: {value!r} must be a number$"):
        kind(**{key.partition(".")[2]: value})
