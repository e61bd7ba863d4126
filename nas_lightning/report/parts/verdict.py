"""The verdict: how far the order can be trusted, whether it beats free baselines, whether it finds the best."""

import shlex
from pathlib import Path

import numpy as np

from nas_lightning.agreement import Agreement, Estimate, ScoreAgreement, kendall_tau
from nas_lightning.agreement.summary import (
    EQUAL,
    MAY_BEAT,
    UNDECIDED,
    accuracies_are_equal,
    against_baselines,
    as_by_size,
    baselines_by_outcome,
    best_baseline,
    judge,
)
from nas_lightning.report.content import Part, Table, Tile
from nas_lightning.report.parts.scores import against_costs, against_truth, places_of
from nas_lightning.report.parts.statistics import OF_THE_TOP, cell, head
from nas_lightning.report.ranking import Ranking
from nas_lightning.report.run import RunFiles
from nas_lightning.report.truth_command import reason, truth_commands
from nas_lightning.runs.sessions import sessions_of
from nas_lightning.scoring.meanings import meaning_of, worse_than_guessing

FEW = 30
"""Known accuracies below which an agreement is only a hint."""
FEW_TIES = 0.01
"""Share of pairs with equal scores up to which Kendall's tau-b is told as a share of pairs."""
WARNINGS = {
    "is beaten by": " A baseline that needs no training does better.",
    MAY_BEAT: " A baseline that needs no training may do as well.",
}
MORE = "This trains more candidates alone and compares again."
UNKNOWN = "How far to trust this order is unknown."
NOT_KNOWN = "whether candidates that stand higher also classify better once they are trained alone."
NO_ACCURACY = "No candidate's accuracy is known: there is no ranking/agreement.json"
FIND_OUT = "To find out, train some candidates alone and compare the two orders."
INTERVALS = (
    "They hold 95 % of {:,} resamples of the candidates. They say nothing about another training run of the supernet, whose order may "
    "differ further."
)
FINDING = (
    "Of the k best by score: the share of the truly k best among them (top-k overlap), the true place of their best, and the accuracy "
    "lost by taking it instead of the best of all (regret)."
)
HALVES = (
    "The order by cross entropy on the even images against that on the odd ones: how far it depends on which images were taken, not "
    "whether it is right. All images together depend less on that."
)
NO_HALVES = "Whether they would give the same order is not known: {}."


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
    how = f" ({ranking.table.how_scored})" if ranking.table.how_scored else ""
    ranked = f"{ranking.table.population.count} are ranked by {run.label}{how}"
    if agreement is None:
        return _without_agreement(run, ranking, ranked)
    compared = f"{ranked}; the order is compared with {agreement.n:,} known accuracies{_left_out(agreement)}."
    kendall = run.statistic("kendall")
    figures = against_truth(ranking, run.points) if len(ranking.known) else ()
    if score is None or kendall is None or (judged := judge(agreement, run.label)) is None:
        why = "ranking/agreement.json has no Kendall tau-b for it, as where the score is the same for all of them."
        if accuracies_are_equal(agreement):
            why, figures = f"{EQUAL}.", ()  # a scatter of one row of points
        return Part(UNKNOWN, (compared, why), figures=figures)
    best, is_open = best_baseline(agreement), judged.outcome == UNDECIDED
    outcome = next((words for words, names in baselines_by_outcome(agreement, run.label).items() if best in names), "")
    tiles = [_tile(f"Kendall tau-b of the score, {run.label}", kendall, f"{agreement.n:,} known accuracies")]
    if best is not None:
        tiles.append(_tile("best baseline without training", agreement.baselines[best].estimates["kendall"], best))
    if (ceiling := agreement.noise_ceiling) is not None and "kendall" in ceiling.estimates:
        tiles.append(_tile("noise ceiling of the known accuracies", ceiling.estimates["kendall"], f"{ceiling.seeds} seeds"))
    noise = "" if agreement.sampling_error is None else str(agreement.sampling_error)
    statements = {
        "The images": _images(run),
        "Worse than guessing": _doubt(run, ranking),
        "The score": f"{meaning_of(ranking.key)}{'' if ranking.key == 'top1' else ', so that a correlation is that of its negative'}.",
        "Agreement": _agreement(kendall, run.statistic("pearson"), score.ties),
        "What to do with it": judged.advice,
        "Against baselines": f"{against_baselines(agreement, run.label)}." if agreement.resamples else "",
        "Places": _places(ranking) if len(ranking.known) > 1 else "",
        "Known accuracies": " ".join(filter(None, [f"{run.known_recipe or 'The recipe behind them is not recorded here'}.", noise])),
        "Intervals": INTERVALS.format(agreement.resamples) if agreement.resamples else "",
    }
    tables = (_finding_the_best(score, agreement.n),)
    if tables[0].rows:
        statements["Finding the best"] = FINDING
    command, why = _truth_command(run, ranking) if is_open else ("", "")
    statements |= {"How to find out": f"{MORE} {why}".rstrip()} if command else {}
    title = judged.headline if is_open else f"{judged.headline}{WARNINGS.get(outcome, '')}"
    return Part(title, (compared,), statements, tiles, figures, tables, command)


def _without_agreement(run: RunFiles, ranking: Ranking, ranked: str) -> Part:
    """What is known of the order, what is not, and what would tell."""
    tiles = [Tile("candidates", f"{len(ranking.distinct):,}")]
    by_size: dict[str, float] = {}
    sizes = {"parameters": ranking.table.parameters, "multiply-adds": ranking.table.multiply_adds}
    for name, size in sizes.items():
        try:
            tau = kendall_tau(ranking.quality[ranking.distinct], size[ranking.distinct].astype(np.float64))
        except ValueError:  # one side has no order
            continue
        tiles.append(Tile(f"Kendall tau-b with {name}", f"{tau:.3f}", "1 is the order by size"))
        by_size[name] = tau
    if run.prediction is not None:
        tiles.append(Tile("Kendall tau-b with scores left out", run.prediction.tau, "of the predictor's fit"))
    if run.halves is not None:
        count = f"{run.halves.candidates:,} scored candidates"
        tiles.append(Tile("Kendall tau-b of two halves of the images", cell("kendall", Estimate(run.halves.kendall)), count))
    figures = against_truth(ranking, run.points) if len(ranking.known) else against_costs(ranking, run.points)[::-1]
    command, why = _truth_command(run, ranking)
    statements = {
        "The images": _images(run),
        "The score": f"{meaning_of(ranking.key)}.",
        "Two halves of the images": HALVES if run.halves is not None else NO_HALVES.format(_why_no_halves(run)),
    }
    known = f"Known: the order in which a supernet, whose weights all candidates share, puts them. {ranked}."
    alike = as_by_size(by_size["parameters"]) if "parameters" in by_size else ""
    unknown = f"Not known: {NOT_KNOWN} {run.stale or NO_ACCURACY}."
    does = f"This does it {why}".rstrip() + ":"
    how = f"{FIND_OUT} {does if command else 'nas-standalone trains them; ranking.known_accuracies=FILE compares.'}"
    lead = filter(None, [_doubt(run, ranking), f"{known} {alike}".rstrip(), unknown, how])
    return Part(UNKNOWN, (), statements, tiles, figures, command=command, lead=tuple(lead))


def _images(run: RunFiles) -> str:
    """How the test split was made, if the images had none."""
    images = run.environment.get("images")
    return f"{images}." if isinstance(images, str) and images else ""


def _doubt(run: RunFiles, ranking: Ranking) -> str:
    """That every candidate scores worse than guessing, where the run recorded its classes."""
    classes = next((one["classes"] for one in sessions_of(run.environment) if isinstance(one, dict) and "classes" in one), None)
    entropies = -ranking.table.quality("cross_entropy")[ranking.table.is_scored]
    return worse_than_guessing(entropies.tolist(), classes) if isinstance(classes, int) and classes > 1 and len(entropies) else ""


def _why_no_halves(run: RunFiles) -> str:
    if run.protocol.get("cheap_first"):
        return "with ranking.cheap_first most candidates are scored on few images"
    return "the ranking kept only means over all images, as older versions did, and as a table that Python saves"


def _truth_command(run: RunFiles, ranking: Ranking) -> tuple[str, str]:
    """What trains candidates alone to judge the ranking, and why so many; empty if the run's command is unknown, or all were trained."""
    program, *words = run.command or [""]
    if (name := Path(program).name) not in ("train.py", "nas-train", "nas-rank"):
        return "", ""
    known = 0 if run.agreement is None else run.agreement.n
    is_noisy = run.agreement is not None and run.agreement.is_noisy
    commands = truth_commands([name, *words], run.config, run.folder, len(ranking.distinct), known, is_noisy=is_noisy)
    return " && ".join(map(shlex.join, commands)), reason(commands[0], known, is_noisy) if commands else ""


def _tile(label: str, estimate: Estimate, of: str) -> Tile:
    value, _, interval = cell("kendall", estimate).partition(" ")
    return Tile(label, value, ", ".join(filter(None, [interval, of])))


def _left_out(agreement: Agreement) -> str:
    missing = f" ({agreement.missing:,} more were left out: a value is not finite)" if agreement.missing else ""
    copies = f" ({agreement.copies:,} more names are copies of these architectures)" if agreement.copies else ""
    few = ", which are few: take all that follows as a hint" if agreement.n < FEW else ""
    return missing + copies + few


def _agreement(kendall: Estimate, pearson: Estimate | None, ties: float | None) -> str:
    if ties is None or ties > FEW_TIES:  # then tau-b is not the share of pairs
        tied = "" if ties is None else f" The score is the same for both in {ties:.0%} of the pairs.".replace("%", " %")
        first = f"Kendall's tau-b is {kendall}; 0 is what a coin gets, 1 the same order.{tied}"
    else:
        pairs = Estimate(*(None if tau is None else (tau + 1) / 2 for tau in (kendall.value, kendall.low, kendall.high)))
        share = pairs.text(".0%")
        first = f"Of two candidates taken at random, the score puts the better one first in {share} of the cases; a coin in 50 %."
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
                "k": f"{k:,}",
                head("top_k_overlap"): overlap and f"{overlap} (chance: {k / max(n, k):.2f})",
                head("best_rank"): place and f"{place} of {n:,}",
                head("regret"): regret,
            }
        )
    return Table(rows)
