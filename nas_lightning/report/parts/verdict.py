"""The verdict: how far the order can be trusted, whether it beats free baselines, whether it finds the best."""

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement
from nas_lightning.agreement.summary import SURE, baselines_by_outcome
from nas_lightning.report.content import Part, Tile
from nas_lightning.report.run import RunFiles

SHOWN = (1, 10)
"""Each k for which the verdict reports the best of the k best by score."""
FEW = 30
"""Known accuracies below which an agreement is only a hint."""
TRUST = (  # minimum lower end of Kendall's interval -> headline, and advice
    (0.75, "The order can be trusted, close neighbours aside.", "Use it to choose; settle close calls by training the candidates alone."),
    (
        0.5,
        "The order tells good candidates from bad ones; it does not settle close calls.",
        "Use it to shorten the list, and train the best alone before choosing one.",
    ),
    (0.25, "The order is a coarse sieve.", "Use it to drop the worst part of the list, not to pick the best."),
    (0.0, "The order is only a little better than chance.", "Do not choose by it."),
    (-2.0, "No agreement with the known accuracies is shown.", "Do not choose by it: an order at random would do as well."),
)
UNKNOWN = "How far to trust this order is unknown."
INTERVALS = (
    "They hold 95 % of {:,} resamples of the candidates. They say nothing about another training run of the supernet, whose order may "
    "differ further."
)


def verdict(run: RunFiles) -> Part:
    """The report's first part."""
    if run.is_only_alone and run.alone is not None:
        return Part(f"Candidates trained alone: {len(run.alone.accuracies):,}", ("There is no ranking in this folder.",))
    if run.ranking is None:
        why = "There is no ranking/scores.csv: the run did not reach its ranking, or was asked to make none."
        return Part("Nothing was ranked yet.", (f"Stages of the training with metrics: {len(run.stages)}. {why}",))
    score, agreement = run.scored, run.agreement
    ranked = f"{run.ranking.table.population.count} are ranked by {run.label}"
    tiles = [Tile("candidates", f"{len(run.ranking.distinct):,}")]
    if agreement is None:
        given = (
            "the known accuracies were not compared with" if len(run.ranking.known) else "no known accuracies were given to compare with"
        )
        why = f"There is no ranking/agreement.json: {given}" if run.stale is None else run.stale
        return Part(UNKNOWN, (f"{ranked}. {why}.",), tiles=tiles)
    compared = f"{ranked}; the order is compared with {agreement.n:,} known accuracies{_left_out(agreement)}."
    tiles.append(Tile("known accuracies", f"{agreement.n:,}"))
    kendall = None if score is None else score.estimates.get("kendall")
    if score is None or kendall is None or kendall.value is None:
        is_constant = score is not None and score.constant
        why = "the score is the same for all of them" if is_constant else f"it has no Kendall tau-b for {run.label}"
        return Part(UNKNOWN, (compared, f"In ranking/agreement.json, {why}."), tiles=tiles)
    surely = kendall.value if kendall.low is None else kendall.low
    _, headline, advice = next(level for level in TRUST if (surely if surely > 0 else -1) >= level[0])
    pearson = score.estimates.get("pearson")
    for label, estimate in (("Kendall tau-b", kendall), ("Pearson", pearson)):
        if estimate is not None and estimate.value is not None:
            tiles.append(Tile(label, f"{estimate.value:.3f}", estimate.text().partition(" ")[2]))
    statements = {
        "Agreement": _agreement(kendall, pearson),
        "What to do with it": advice,
        "Against baselines": _against_baselines(agreement, run.label),
        "Finding the best": _finding_the_best(score, agreement, run.label),
        "Intervals": INTERVALS.format(agreement.resamples) if agreement.resamples else "",
    }
    return Part(f"{headline}{_warning(agreement, run.label)}", (compared,), statements, tiles)


def wins(share: float) -> str:
    """A share of resamples as text."""
    return f"{100 * share:.1f} %"


def _left_out(agreement: Agreement) -> str:
    missing = f" ({agreement.missing:,} more were left out: a value is not finite)" if agreement.missing else ""
    copies = f" ({agreement.copies:,} more names are copies of these architectures)" if agreement.copies else ""
    few = ", which are few: take all that follows as a hint" if agreement.n < FEW else ""
    return missing + copies + few


def _agreement(kendall: Estimate, pearson: Estimate | None) -> str:
    tau = kendall.value or 0.0
    low, high = kendall.low, kendall.high
    interval = "" if low is None or high is None else f" ({50 * (low + 1):.0f} to {50 * (high + 1):.0f})"
    linear = "" if pearson is None else f" and a Pearson correlation of {pearson.text()}"
    return (
        f"Score and known accuracy have a Kendall tau-b of {kendall.text()}{linear}. In words: of two candidates taken at random, the "
        f"score puts the better one first about {50 * (tau + 1):.0f} times in 100{interval}; a coin would 50 times."
    )


def _against_baselines(agreement: Agreement, score: str) -> str:
    shares = agreement.wins_over_baselines(score)
    outcomes = [
        f"{outcome} {', '.join(f'{name} ({wins(shares[name])})' for name in names)}"
        for outcome, names in baselines_by_outcome(agreement, score).items()
    ]
    if not outcomes:
        return ""
    return (
        f"By Kendall tau-b the score {'; '.join(outcomes)}. In brackets: the share of paired resamples in which it orders better than what "
        f"needs no training; it beats from {100 * SURE:.0f} % on."
    )


def _warning(agreement: Agreement, score: str) -> str:
    outcomes = baselines_by_outcome(agreement, score)
    if "is beaten by" in outcomes:
        return " A baseline that needs no training does better."
    return " A baseline that needs no training may do as well." if "does not beat" in outcomes else ""


def _finding_the_best(score: ScoreAgreement, agreement: Agreement, name: str) -> str:
    sentences = [_overlap(score, agreement, name)] if score.by_k("top_k_overlap") else []
    for k in SHOWN:
        place, regret = (score.estimates.get(f"{statistic}_{k}") for statistic in ("best_rank", "regret"))
        facts = [] if place is None else [f"place {place.text('.3g')} of {agreement.n:,} by known accuracy"]
        facts += [] if regret is None else [f"{regret.scaled(100).text('.2f')} points of accuracy below the best of all"]
        sentences += [f"Best of the first {k} by score: {', '.join(facts)}."] if facts else []
    return " ".join(sentences)


def _overlap(score: ScoreAgreement, agreement: Agreement, name: str) -> str:
    """The overlap of the best, next to chance and the best baseline for it."""
    k, overlap = min(score.by_k("top_k_overlap").items())
    statistic = f"top_k_overlap_{k}"
    others = {other: baseline.estimates.get(statistic) for other, baseline in agreement.baselines.items()}
    values = {other: estimate.value for other, estimate in others.items() if estimate is not None and estimate.value is not None}
    baseline_text = ""
    if values:
        best = max(values, key=lambda other: values[other])
        share = agreement.wins(name, best, statistic)
        better = "" if share is None else f"; the score is better in {wins(share)} of paired resamples"
        baseline_text = f"; the best baseline for this, {best}: {100 * values[best]:.0f} %{better}"
    return (
        f"Of its {k} best by score, {overlap.text('.0%')} are among the {k} truly best "
        f"(chance: {100 * k / max(agreement.n, k):.0f} %{baseline_text})."
    )
