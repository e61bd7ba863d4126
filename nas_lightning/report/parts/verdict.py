"""The verdict: how far the order can be trusted, whether it beats free baselines, whether it finds the best."""

import shlex
from pathlib import Path

import numpy as np

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement, kendall_tau
from nas_lightning.agreement.summary import against_baselines, baselines_by_outcome, best_baseline
from nas_lightning.report.content import Part, Table, Tile
from nas_lightning.report.parts.scores import against_costs, against_truth, places_of
from nas_lightning.report.parts.statistics import OF_THE_TOP, cell
from nas_lightning.report.run import Ranking, RunFiles, section

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
INTERVALS = (
    "They hold 95 % of {:,} resamples of the candidates. They say nothing about another training run of the supernet, whose order may "
    "differ further."
)
TRUTH = 24
"""Candidates that the command for a truth trains, where the config names no number."""
HALVES = "Whether two halves of the images would give the same order is not known: the files hold only means over all images."


def verdict(run: RunFiles) -> Part | None:
    """The report's first part; None of a folder that holds nothing but a search."""
    ranking, agreement, score = run.ranking, run.agreement, run.scored
    if run.is_only_alone:
        return Part(f"Candidates trained alone: {len(run.alone or ()):,}", ("There is no ranking in this folder.",))
    if ranking is None and not run.stages and (run.folder / "search/chosen.json").is_file():
        return None
    if ranking is None:
        why = "There is no ranking/scores.csv: the run did not reach its ranking, or was asked to make none."
        return Part("Nothing was ranked yet.", (f"Stages of the training with metrics: {len(run.stages)}. {why}",))
    ranked = f"{ranking.table.population.count} are ranked by {run.label}"
    if agreement is None:
        return _without_agreement(run, ranking, ranked)
    compared = f"{ranked}; the order is compared with {agreement.n:,} known accuracies{_left_out(agreement)}."
    kendall = run.statistic("kendall")
    figures = against_truth(ranking, run.points) if len(ranking.known) else ()
    if score is None or kendall is None:
        why = "ranking/agreement.json has no Kendall tau-b for it, as where the score is the same for all of them."
        return Part(UNKNOWN, (compared, why), figures=figures)
    surely = kendall.value if kendall.low is None else kendall.low
    _, headline, advice = next(level for level in TRUST if (surely if surely and surely > 0 else -1) >= level[0])
    best = best_baseline(agreement)
    outcome = next((words for words, names in baselines_by_outcome(agreement, run.label).items() if best in names), "")
    tiles = [_tile(f"Kendall tau-b of the score, {run.label}", kendall, f"{agreement.n:,} known accuracies")]
    if best is not None:
        tiles.append(_tile("best baseline without training", agreement.baselines[best].estimates["kendall"], best))
    if (ceiling := agreement.noise_ceiling) is not None:
        tiles.append(_tile("noise ceiling of the known accuracies", ceiling.estimates["kendall"], f"{ceiling.seeds} seeds"))
    statements = {
        "Agreement": _agreement(kendall, run.statistic("pearson")),
        "What to do with it": advice,
        "Against baselines": f"{against_baselines(agreement, run.label)}." if agreement.resamples else "",
        "Places": _places(ranking) if len(ranking.known) > 1 else "",
        "Intervals": INTERVALS.format(agreement.resamples) if agreement.resamples else "",
    }
    tables = (_finding_the_best(score, agreement.n),)
    return Part(f"{headline}{WARNINGS.get(outcome, '')}", (compared,), statements, tiles, figures, tables)


def _without_agreement(run: RunFiles, ranking: Ranking, ranked: str) -> Part:
    """How far the order is just size, and how to measure more."""
    why = run.stale or "The ranking was not compared with known accuracies: there is no ranking/agreement.json"
    tiles = [Tile("candidates", f"{len(ranking.distinct):,}")]
    sizes = {"parameters": ranking.table.parameters, "multiply-adds": ranking.table.multiply_adds}
    for name, size in sizes.items():
        try:
            tau = kendall_tau(ranking.quality[ranking.distinct], size[ranking.distinct].astype(np.float64))
        except ValueError:  # one side has no order
            continue
        tiles.append(Tile(f"Kendall tau-b with {name}", f"{tau:.3f}", "1 is the order by size"))
    if run.prediction is not None:
        tiles.append(Tile("Kendall tau-b with scores left out", run.prediction.tau, "of the predictor's fit"))
    statements = {"Halves of the images": HALVES, "How to find out": "This command trains candidates alone and compares."}
    figures = against_truth(ranking, run.points) if len(ranking.known) else against_costs(ranking, run.points)[::-1]
    command = _truth_command(run)
    return Part(UNKNOWN, (f"{ranked}. {why}.",), statements if command else {}, tiles, figures, command=command)


def _truth_command(run: RunFiles) -> str:
    """The run's own command with a truth; of nas-rank, with a file of known accuracies. Empty if the command is unknown."""
    program, *words = run.command or [""]
    if (name := Path(program).name) not in ("train.py", "nas-train", "nas-rank"):
        return ""
    kept = [word for word in words if not word.startswith(("run_dir=", "resume=", "hydra.", "sweep=", "standalone.enabled="))]
    if "checkpoint" in run.config:
        truth = ["ranking.known_accuracies=FILE"]
    else:
        count = [] if section(run.config, "standalone").get("count") else [f"standalone.count={TRUTH}"]
        truth = ["standalone.enabled=true", *count]
    start = ["python", name] if name == "train.py" else [name]
    return shlex.join([*start, *kept, *truth, f"run_dir={run.folder}"])


def _tile(label: str, estimate: Estimate, of: str) -> Tile:
    value, _, interval = cell("kendall", estimate).partition(" ")
    return Tile(label, value, ", ".join(filter(None, [interval, of])))


def _left_out(agreement: Agreement) -> str:
    missing = f" ({agreement.missing:,} more were left out: a value is not finite)" if agreement.missing else ""
    copies = f" ({agreement.copies:,} more names are copies of these architectures)" if agreement.copies else ""
    few = ", which are few: take all that follows as a hint" if agreement.n < FEW else ""
    return missing + copies + few


def _agreement(kendall: Estimate, pearson: Estimate | None) -> str:
    pairs = Estimate(*(None if tau is None else (tau + 1) / 2 for tau in (kendall.value, kendall.low, kendall.high)))
    first = f"Of two candidates taken at random, the score puts the better one first in {pairs.text('.0%')} of the cases; a coin in 50 %."
    return first if pearson is None else f"{first} Pearson is {pearson}."


def _places(ranking: Ranking) -> str:
    true_places, places = places_of(ranking)
    (half, most), n = np.nanquantile(np.abs(places - true_places), (0.5, 0.9)), len(ranking.known)
    return (
        f"Half of the {n:,} candidates stand at most {half:,.0f} places off, nine in ten at most {most:,.0f}. "
        f"An order at random would put half of them at least {0.29 * n:,.0f} places off."
    )


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
