"""The verdict: how far the order can be trusted, whether it beats free baselines, whether it finds the best."""

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement
from nas_lightning.agreement.summary import SURE, baselines_by_outcome
from nas_lightning.report.content import Part, Table, Tile
from nas_lightning.report.parts.statistics import CORRELATIONS, OF_THE_TOP, cell
from nas_lightning.report.run import RunFiles

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
WARNINGS = {
    "is beaten by": " A baseline that needs no training does better.",
    "does not beat": " A baseline that needs no training may do as well.",
}
UNKNOWN = "How far to trust this order is unknown."
WINS = f"One beats with the better Kendall tau-b in {100 * SURE:.0f} % of the paired resamples; a table under the baselines has the shares."
INTERVALS = (
    "They hold 95 % of {:,} resamples of the candidates. They say nothing about another training run of the supernet, whose order may "
    "differ further."
)


def verdict(run: RunFiles) -> Part:
    """The report's first part."""
    ranking, agreement, score = run.ranking, run.agreement, run.scored
    if run.is_only_alone:
        return Part(f"Candidates trained alone: {len(run.alone or ()):,}", ("There is no ranking in this folder.",))
    if ranking is None:
        why = "There is no ranking/scores.csv: the run did not reach its ranking, or was asked to make none."
        return Part("Nothing was ranked yet.", (f"Stages of the training with metrics: {len(run.stages)}. {why}",))
    ranked = f"{ranking.table.population.count} are ranked by {run.label}"
    tiles = [Tile("candidates", f"{len(ranking.distinct):,}")]
    if agreement is None:
        why = run.stale or "There is no ranking/agreement.json: the ranking was not compared with known accuracies"
        return Part(UNKNOWN, (f"{ranked}. {why}.",), tiles=tiles)
    compared = f"{ranked}; the order is compared with {agreement.n:,} known accuracies{_left_out(agreement)}."
    tiles.append(Tile("known accuracies", f"{agreement.n:,}"))
    kendall = run.statistic("kendall")
    if score is None or kendall is None:
        why = "ranking/agreement.json has no Kendall tau-b for it, as where the score is the same for all of them."
        return Part(UNKNOWN, (compared, why), tiles=tiles)
    surely = kendall.value if kendall.low is None else kendall.low
    _, headline, advice = next(level for level in TRUST if (surely if surely and surely > 0 else -1) >= level[0])
    outcomes = baselines_by_outcome(agreement, run.label)
    for statistic in ("kendall", "pearson"):
        if (estimate := run.statistic(statistic)) is not None:
            value, _, interval = cell(statistic, estimate).partition(" ")
            tiles.append(Tile(CORRELATIONS[statistic], value, interval))
    statements = {
        "Agreement": _agreement(kendall),
        "What to do with it": advice,
        "Against baselines": " ".join([*(f"The score {how} {', '.join(names)}." for how, names in outcomes.items()), WINS]),
        "Intervals": INTERVALS.format(agreement.resamples) if agreement.resamples else "",
    }
    warning = next((warning for outcome, warning in WARNINGS.items() if outcome in outcomes), "")
    return Part(f"{headline}{warning}", (compared,), statements, tiles, tables=(_finding_the_best(score, agreement.n),))


def _left_out(agreement: Agreement) -> str:
    missing = f" ({agreement.missing:,} more were left out: a value is not finite)" if agreement.missing else ""
    copies = f" ({agreement.copies:,} more names are copies of these architectures)" if agreement.copies else ""
    few = ", which are few: take all that follows as a hint" if agreement.n < FEW else ""
    return missing + copies + few


def _agreement(kendall: Estimate) -> str:
    pairs = Estimate(*(None if tau is None else (tau + 1) / 2 for tau in (kendall.value, kendall.low, kendall.high)))
    return f"Of two candidates taken at random, the score puts the better one first in {pairs.text('.0%')} of the cases; a coin in 50 %."


def _finding_the_best(score: ScoreAgreement, n: int) -> Table:
    """What the k best by score hold, for each k."""
    rows = []
    for k in sorted({k for statistic in OF_THE_TOP for k in score.by_k(statistic)}):
        overlap, place, regret = (cell(name := f"{statistic}_{k}", score.estimates.get(name)) for statistic in OF_THE_TOP)
        rows.append(
            {
                "first by score": f"{k:,}",
                "of these among the truly best": overlap and f"{overlap} (chance: {100 * k / max(n, k):.0f} %)",
                "true place of their best": place and f"{place} of {n:,}",
                "its points of accuracy below the best of all": regret,
            }
        )
    return Table(rows, "Finding the best")
