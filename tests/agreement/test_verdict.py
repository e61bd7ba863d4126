"""A verdict has three outcomes: few known accuracies, or a wide interval, cannot tell."""

import numpy as np
import pytest

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement, measure
from nas_lightning.agreement.summary import CONTRADICTED, MAY_BEAT, SUPPORTED, UNDECIDED, baselines_by_outcome, judge


def agreement(n: int, *kendall: float) -> Agreement:
    return Agreement(n, 0, 1000, 0, {"score": ScoreAgreement({"kendall": Estimate(*kendall)})})


@pytest.mark.parametrize(
    ("n", "kendall", "outcome"),
    [
        (60, (0.85, 0.79, 0.89), SUPPORTED),
        (60, (0.40, 0.25, 0.55), SUPPORTED),
        (60, (0.40, 0.24, 0.55), UNDECIDED),
        (8, (0.64, 0.05, 0.95), UNDECIDED),
        (8, (-0.07, -0.50, 0.65), UNDECIDED),
        (60, (0.10, -0.02, 0.24), CONTRADICTED),
        (60, (0.15, 0.05, 0.24), CONTRADICTED),
        (8, (-0.64, -0.95, -0.05), CONTRADICTED),
        (40, (0.5,), SUPPORTED),  # of an older file, without an interval
    ],
)
def test_a_verdict_follows_from_where_the_interval_lies(n: int, kendall: tuple[float, ...], outcome: str):
    judged = judge(agreement(n, *kendall), "score")
    assert judged is not None
    assert judged.outcome == outcome
    assert ("Do not choose" in judged.advice) == (outcome == CONTRADICTED)
    assert judged.headline.startswith("Cannot tell yet: ") == (outcome == UNDECIDED)


def test_a_few_known_accuracies_that_agree_by_chance_are_no_verdict():
    truth = np.arange(5.0)
    found = measure({"score": truth, "baseline": truth[::-1]}, truth, baselines=["baseline"], resamples=100)
    assert found.scores["score"].estimates["kendall"].low == pytest.approx(1)  # of all resamples
    assert found.wins("score", "baseline") == 1
    assert judge(found, "score").outcome == UNDECIDED
    assert baselines_by_outcome(found, "score") == {MAY_BEAT: ["baseline"]}


def test_a_score_without_order_has_no_verdict():
    assert judge(agreement(9, None), "score") is None
    assert judge(agreement(9, 0.5), "another") is None
