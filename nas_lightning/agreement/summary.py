"""Puts an agreement into words, for the terminal."""

from nas_lightning.agreement.agreement import Agreement

SURE = 0.95
"""Share of the resamples from which on a score beats a baseline; below 1 - SURE it is beaten."""


def agreement_summary(agreement: Agreement) -> str:
    """The tables of an agreement, the baselines that each score beats, supervised predictors, and the noise ceiling."""
    lines = [against_baselines(agreement, name) for name in agreement.scores] if agreement.resamples else []
    for count, predictor in agreement.fitted.items():
        kendall = predictor.estimates["kendall"]
        lines.append(f"fitted on {count} known accuracies (least squares on log widths), on the others: Kendall {kendall}")
    if (ceiling := agreement.noise_ceiling) is not None:
        reached = f"Kendall {ceiling.estimates['kendall']}, Pearson {ceiling.estimates['pearson']}"
        lines.append(f"ceiling: against means over {ceiling.seeds} seeds a perfect predictor would reach {reached}")
    return "\n\n".join([agreement.table(), *(["\n".join(lines)] if lines else [])])


def against_baselines(agreement: Agreement, score: str) -> str:
    """One sentence on whether a score beats the best baseline by Kendall."""
    shares, best = agreement.wins_over_baselines(score), best_baseline(agreement)
    if best not in shares:
        return f"{score} cannot be compared with a baseline: one side has no order"
    outcome = next(words for words, names in baselines_by_outcome(agreement, score).items() if best in names)
    return f"{score} {outcome} the best baseline, {best}: its Kendall is higher in {shares[best]:.1%} of the resamples"


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
