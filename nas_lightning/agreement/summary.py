"""Puts an agreement into words, for the terminal."""

from nas_lightning.agreement.agreement import Agreement

SURE = 0.95
"""Share of the resamples from which on a score beats a baseline; below 1 - SURE it is beaten."""


def against_baselines(agreement: Agreement, score: str) -> str:
    """One sentence on whether a score beats the best baseline by Kendall."""
    shares, best = agreement.wins_over_baselines(score), best_baseline(agreement)
    if best not in shares:
        return f"{score} cannot be compared with a baseline: one side has no order"
    outcome = next(words for words, names in baselines_by_outcome(agreement, score).items() if best in names)
    return f"{score} {outcome} the best baseline, {best}, in Kendall: it wins {100 * shares[best]:.1f} % of the resamples"


def best_baseline(agreement: Agreement) -> str | None:
    """The baseline with the highest Kendall correlation; None if none has an order."""
    values = [(baseline.estimates["kendall"].value, name) for name, baseline in agreement.baselines.items()]
    return max(((value, name) for value, name in values if value is not None), key=lambda pair: pair[0], default=(0.0, None))[1]


def baselines_by_outcome(agreement: Agreement, score: str) -> dict[str, list[str]]:
    """The baselines that a score ``beats``, ``does not beat`` and ``is beaten by`` in Kendall; no empty outcome."""
    outcomes: dict[str, list[str]] = {"beats": [], "does not beat": [], "is beaten by": []}
    for name, share in agreement.wins_over_baselines(score).items():
        outcomes["beats" if share >= SURE else "does not beat" if share > 1 - SURE else "is beaten by"].append(name)
    return {words: names for words, names in outcomes.items() if names}
