"""The verdict in plain words: how far the order can be trusted, whether it beats what costs nothing, whether it finds the best."""

from nas_lightning.report.agreement import Agreement, Estimate, Kind, Row
from nas_lightning.report.content import Part, Tile
from nas_lightning.report.run import Run

BEATS, IS_WORSE = 0.95, 0.05
"""Probability, over paired resamples, from which a score beats a baseline, and up to which it is worse."""
SHOWN = (1, 10)
"""Of how many best by score the verdict tells how good the best of them is."""
FEW = 30
"""Known accuracies below which an agreement is a hint."""
TRUST = (  # least lower end of Kendall's interval -> headline, and what to do with such an order
    (0.75, "The order can be trusted, close neighbours aside.", "Use it to choose; settle close calls by training the candidates alone."),
    (
        0.5,
        "The order tells good candidates from bad ones; it does not settle close calls.",
        "Use it to shorten the list, and train the best alone before choosing one.",
    ),
    (0.25, "The order is a coarse sieve.", "Use it to drop the worst part of the list, not to pick the best."),
    (0.0, "The order is only a little better than chance.", "Do not choose by it."),
    (
        -2.0,
        "No agreement with the known accuracies is shown.",
        "Do not choose by it: an order at random would do as well.",
    ),
)


def verdict(run: Run) -> Part:
    """The report's first part."""
    row, agreement = run.row, run.agreement
    if run.is_only_alone and run.alone is not None:
        count = len(run.alone.accuracies)
        return Part(
            f"{_count(count, 'candidate')} {'was' if count == 1 else 'were'} trained alone.", ("There is no ranking in this folder.",)
        )
    if run.candidates is None:
        trained = f"{_count(len(run.stages), 'stage')} of the training {'has' if len(run.stages) == 1 else 'have'} left metrics. "
        why = "There is no ranking/scores.csv: the run did not reach its ranking, or was asked to make none."
        return Part("Nothing was ranked yet.", ((trained if run.stages else "") + why,))
    ranked = f"{run.candidates.count} are ranked by {run.kind.name}"
    shown = (Tile("candidates", f"{len(run.candidates.distinct):,}"),)
    if agreement is None:
        given = "the known accuracies were not compared with" if len(run.known) else "no known accuracies were given to compare with"
        why = f"There is no ranking/agreement.json: {given}" if run.stale is None else run.stale
        return Part("How far to trust this order is unknown.", (f"{ranked}. {why}.",), tiles=shown)
    compared = f"{ranked}; the order is compared with {agreement.n:,} known accuracies{_few(agreement)}."
    tiles: tuple[Tile, ...] = (*shown, Tile("known accuracies", f"{agreement.n:,}"))
    kendall = None if row is None else row.statistics.get("kendall")
    if row is None or kendall is None or kendall.value is None:
        why = (
            "the score is the same for all of them" if row is not None and row.constant else f"it has no Kendall tau-b for {run.kind.name}"
        )
        return Part("How far to trust this order is unknown.", (compared, f"In ranking/agreement.json, {why}."), tiles=tiles)
    _, headline, advice = next(level for level in TRUST if _surely(kendall) >= level[0])
    intervals = (
        f"They hold 95 % of {agreement.resamples:,} resamples of the candidates. They say nothing about another training run of the "
        "supernet, whose order may differ further."
    )
    statements = [
        ("Agreement", _in_words(kendall, row)),
        ("What to do with it", advice),
        ("Against baselines", _against_baselines(agreement, row.name)),
        ("Finding the best", _finding_the_best(row, agreement)),
        ("Intervals", intervals if agreement.resamples else ""),
    ]
    tiles += tuple(
        Tile(label, f"{found.value:.3f}", found.text().partition(" ")[2])
        for label, found in (("Kendall tau-b", kendall), ("Pearson", row.statistics.get("pearson")))
        if found is not None and found.value is not None
    )
    told = [(about, said) for about, said in statements if said]
    return Part(f"{headline}{_warning(agreement, row.name)}", (compared,), told, tiles)


def chances(agreement: Agreement, score: str, statistic: str = "kendall") -> dict[str, float]:
    """The probability, by baseline, that the score orders better."""
    return {name: found[statistic] for name, found in agreement.beats.get(score, {}).items() if statistic in found}


def _surely(kendall: Estimate) -> float:
    found = kendall.value if kendall.low is None else kendall.low
    return -1.0 if found is None else found if found > 0 else -1.0


def _few(agreement: Agreement) -> str:
    left_out = f" ({agreement.missing:,} more were left out: a value is not finite)" if agreement.missing else ""
    left_out += f" ({agreement.copies:,} more names are copies of these architectures)" if agreement.copies else ""
    return f"{left_out}, which are few: take all that follows as a hint" if agreement.n < FEW else left_out


def _in_words(kendall: Estimate, row: Row) -> str:
    pearson = row.statistics.get("pearson")
    linear = "" if pearson is None else f", and to a Pearson correlation of {pearson.text()}"
    interval = "" if kendall.low is None or kendall.high is None else f" ({_pairs(kendall.low)} to {_pairs(kendall.high)})"
    return (
        f"Score and known accuracy agree to a Kendall tau-b of {kendall.text()}{linear}. In words: of two candidates taken at random, the "
        f"score puts the better one first about {_pairs(kendall.value or 0.0)} times in 100{interval}; a coin would 50 times."
    )


def _pairs(tau: float) -> str:
    return f"{50 * (tau + 1):.0f}"


def _against_baselines(agreement: Agreement, score: str) -> str:
    found = chances(agreement, score)
    if not found:
        return ""
    groups = [
        ("beats", [name for name, chance in found.items() if chance >= BEATS]),
        ("does not beat", [name for name, chance in found.items() if IS_WORSE < chance < BEATS]),
        ("is worse than", [name for name, chance in found.items() if chance <= IS_WORSE]),
    ]
    said = [f"it {verb} {_listed([f'{name} ({found[name]:.3f})' for name in names])}" for verb, names in groups if names]
    return (
        f"By Kendall tau-b {'; '.join(said)}. In brackets: the probability, over paired resamples, that the score orders better than what "
        f"needs no training; it beats from {BEATS:g} on."
    )


def _warning(agreement: Agreement, score: str) -> str:
    found = chances(agreement, score)
    if any(chance <= IS_WORSE for chance in found.values()):
        return " A baseline that needs no training does better."
    if any(chance < BEATS for chance in found.values()):
        return " A baseline that needs no training may do as well."
    return ""


def _finding_the_best(row: Row, agreement: Agreement) -> str:
    said = [_overlap(row, agreement)] if row.best["top_k_overlap"] else []
    ranks, regrets = row.best["best_rank"], row.best["regret"]
    for k in [one for one in SHOWN if one in {**ranks, **regrets}]:
        parts = []
        if k in ranks:
            parts.append(f"stands at place {ranks[k].text('.3g')} of {agreement.n:,} by known accuracy")
        if k in regrets:
            parts.append(f"lies {regrets[k].scaled(100).text('.2f')} points of accuracy below the best of all")
        said.append(f"{'The first by score' if k == 1 else f'The best of its {k} best'} {' and '.join(parts)}.")
    return " ".join(said)


def _overlap(row: Row, agreement: Agreement) -> str:
    """Beside chance, and beside the baseline that is best at it."""
    k, overlap = min(row.best["top_k_overlap"].items())
    others = {one.name: one.best["top_k_overlap"].get(k) for one in agreement.of_kind(Kind.BASELINE)}
    values = {name: found.value for name, found in others.items() if found is not None and found.value is not None}
    beside = ""
    if values:
        best = max(values, key=lambda name: values[name])
        chance = chances(agreement, row.name, f"top_k_overlap_{k}").get(best)
        better = "" if chance is None else f", with a probability of {chance:.2f} that the score does better"
        beside = f"; the best baseline for this, {best}, has {100 * values[best]:.0f} %{better}"
    at_random = f"chance: {100 * k / max(agreement.n, k):.0f} %"
    return f"Of its {k} best by score, {overlap.text('.0%')} are among the {k} truly best ({at_random}{beside})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
