"""Puts an agreement into words: a verdict has three outcomes, as few known accuracies cannot tell."""

from typing import NamedTuple

from nas_lightning.agreement.agreement import Agreement

SURE = 0.95
"""Share of the resamples from which on a score beats a baseline; below 1 - SURE it is beaten."""
MAY_BEAT = "may or may not beat"
FEWEST_TO_JUDGE = 6
"""Known accuracies below which nothing is judged: by chance the resamples of so few agree. Of 4 with a Kendall of 0.5 the whole
interval lay above 0.75 in 22 % of 300 draws, of 6 in 3 %."""
USEFUL = 0.25
"""Kendall's tau-b from which on an order is of use."""
EQUAL = "The known accuracies are all equal, so that no order can be checked against them"
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
LEVELS = (  # minimum lower end of Kendall's interval -> headline, and advice
    (0.75, "The order can be trusted, close neighbours aside.", "Use it to choose; settle close calls by training the candidates alone."),
    (
        0.5,
        "The order tells good candidates from bad ones; it does not settle close calls.",
        "Use it to shorten the list, and train the best alone before choosing one.",
    ),
    (USEFUL, "The order is a coarse sieve.", "Use it to drop the worst part of the list, not to pick the best."),
)


class Verdict(NamedTuple):
    """Whether to choose by an order."""

    outcome: str
    """``SUPPORTED``, ``CONTRADICTED`` or ``UNDECIDED``."""
    headline: str
    advice: str


def judge(agreement: Agreement, score: str) -> Verdict | None:
    """The verdict on the order of a score, by where Kendall's interval lies; None if Kendall is undefined."""
    kendall = agreement.scores[score].estimates.get("kendall") if score in agreement.scores else None
    if kendall is None or kendall.value is None:
        return None
    low, high = (kendall.value if end is None else end for end in (kendall.low, kendall.high))
    if agreement.n < FEWEST_TO_JUDGE or low < USEFUL <= high:
        why = f"Kendall may lie anywhere from {low:.2f} to {high:.2f}; from {USEFUL} on an order is of use."
        advice = why if agreement.n >= FEWEST_TO_JUDGE else f"Fewer than {FEWEST_TO_JUDGE} tell nothing of an order."
        headline = f"Cannot tell yet: {agreement.n:,} known accuracies are too few to judge the order."
        return Verdict(UNDECIDED, headline, f"Train more candidates alone before choosing by it. {advice}")
    if low >= USEFUL:
        return next(Verdict(SUPPORTED, headline, advice) for least, headline, advice in LEVELS if low >= least)
    if low > 0:
        return Verdict(CONTRADICTED, "The order is only a little better than chance.", "Do not choose by it.")
    advice = "Do not choose by it: an order at random would do as well."
    return Verdict(CONTRADICTED, "No agreement with the known accuracies is shown.", advice)


def against_baselines(agreement: Agreement, score: str) -> str:
    """One sentence on whether a score beats the best baseline by Kendall."""
    if accuracies_are_equal(agreement):
        return EQUAL
    shares, best = agreement.wins_over_baselines(score), best_baseline(agreement)
    if best not in shares:
        return f"{score} cannot be compared with a baseline: one side has no order"
    outcome = next(words for words, names in baselines_by_outcome(agreement, score).items() if best in names)
    return f"{score} {outcome} the best baseline, {best}, in Kendall: it wins {100 * shares[best]:.1f} % of the resamples"


def as_by_size(tau: float) -> str:
    """One sentence on how far an order is that of the parameters, by their Kendall correlation."""
    share = f"in about {50 + 50 * tau:.0f} of 100 pairs"
    return f"Of two candidates, the one with more parameters stands higher {share} (Kendall {tau:.3f}; 50 of 100 by chance)."


def accuracies_are_equal(agreement: Agreement) -> bool:
    """Whether nothing correlates with the known accuracies though it differs itself."""
    judged = [one for one in (*agreement.scores.values(), *agreement.baselines.values()) if "kendall" in one.estimates]
    varies = any(not one.constant for one in agreement.scores.values())
    return varies and all(one.estimates["kendall"].value is None for one in judged)


def best_baseline(agreement: Agreement) -> str | None:
    """The baseline with the highest Kendall correlation; None if none has an order."""
    values = [(one.value, name) for name, baseline in agreement.baselines.items() if (one := baseline.estimates.get("kendall"))]
    return max(((value, name) for value, name in values if value is not None), key=lambda pair: pair[0], default=(0.0, None))[1]


def baselines_by_outcome(agreement: Agreement, score: str) -> dict[str, list[str]]:
    """The baselines that a score ``beats``, ``is beaten by`` or ``MAY_BEAT`` in Kendall; no empty outcome."""
    outcomes: dict[str, list[str]] = {"beats": [], MAY_BEAT: [], "is beaten by": []}
    for name, share in agreement.wins_over_baselines(score).items():
        is_open = agreement.n < FEWEST_TO_JUDGE or 1 - SURE < share < SURE
        outcomes[MAY_BEAT if is_open else "beats" if share >= SURE else "is beaten by"].append(name)
    return {words: names for words, names in outcomes.items() if names}
