"""The best of a ranking trained stand-alone, next to as many random ones of the same list and budget."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from tabulate import tabulate

from nas_lightning.agreement.estimate import FEWEST_OF_A_GROUP
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.runs.lock import CHOSEN, WINNERS
from nas_lightning.runs.made_from import KEY, hashes
from nas_lightning.runs.reading import read_json
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.protocol import read_order
from nas_lightning.scoring.table import LABELS, read_table
from nas_lightning.search.finalists import read_chosen
from nas_lightning.search.latency import read_model
from nas_lightning.search.limits import amount, describe
from nas_lightning.search.problem import Problem, counted
from nas_lightning.search.starts import Fresh, Uniform
from nas_lightning.space import Architecture, Candidate, Population, Space
from nas_lightning.standalone.truth import GroundTruth
from nas_lightning.supernet.families import Family

COUNT = 10
"""Candidates to train, of each kind, unless given."""
FILE = "winners.json"


@dataclass(frozen=True)
class Winners:
    """Candidates of a ranking to train."""

    best: tuple[Candidate, ...]
    random: tuple[Candidate, ...]
    """May hold some of the best: it stands for a choice without a ranking."""
    label: str
    """The score that orders the ranking, in words."""
    budget: int | None
    among: str = "list"
    """What the random ones are drawn from."""
    under: str | None = None
    """The limits in words, where they are more than ``budget``."""

    @property
    def kinds(self) -> dict[Architecture, str]:
        """``best``, ``random`` or both, by architecture."""
        best, random = ({candidate.architecture for candidate in chosen} for chosen in (self.best, self.random))
        return {one: "both" if one in best & random else "best" if one in best else "random" for one in best | random}

    def population(self, space: Space) -> Population:
        """All of them, each once, the best first."""
        return Population(space, tuple(dict.fromkeys((*self.best, *self.random))))


def choose_winners(scores: Path, space: Space, count: int | None, random: int | None, budget: float | None, seed: int) -> Winners:
    """The best candidates of a ranking by the score that orders it, and random ones.

    Args:
        scores: the ranking's ``scores.csv``.
        count: of the best; None is ``COUNT``.
        random: their number; None is as many as the best.
        budget: multiply-adds that none may exceed; None has no limit.
        seed: of the random ones.

    Raises:
        InputError: if the list has fewer under the budget.
    """
    table, count, budget = read_table(scores, space), COUNT if count is None else count, None if budget is None else int(budget)
    key = read_order(scores) or table.default_score
    rows, random = table.best_rows(key, budget), count if random is None else random
    for name, wanted in (("count", count), ("random", random)):
        if wanted > len(rows):
            least = int(table.multiply_adds.min())
            under = "" if budget is None else f" of at most budget={budget:,} multiply-adds (the cheapest has {least:,})"
            raise InputError(f"{name}: {wanted} is more than {scores} has: {len(rows):,} candidates{under}")
    drawn = np.sort(generator(seed, "winners").choice(len(rows), size=random, replace=False))
    best, others = ([table.population[int(row)] for row in chosen] for chosen in (rows[:count], rows[drawn]))
    return Winners(tuple(best), tuple(others), LABELS[key], budget)


def choose_searched(chosen: Path, problem: Problem, count: int | None, random: int | None, budget: float | None, seed: int) -> Winners:
    """The chosen of a search, and random ones under the same budget, uniform in each width and narrowed to it.

    Args:
        chosen: the search's ``chosen.json``.
        problem: the space and its costs.
        count: of the chosen; None takes all of the budget.
        random: as ``choose_winners``.
        budget: a number that only one of the search's budgets has, as ``amount`` writes it; None if it has only one.
        seed: of the random ones.

    Raises:
        InputError: if the search has another budget, or several and none is named, or fewer chosen.
    """
    every = read_chosen(chosen)
    entries = [entry for entry in every if budget is None or amount(budget) in map(amount, entry["budget"].values())]
    limits = [dict(limit) for limit in {tuple(entry["budget"].items()): None for entry in entries}]
    if len(limits) != 1:
        listed = "; ".join({describe(entry["budget"]): None for entry in every})
        given = "is missing" if budget is None else amount(budget)
        raise InputError(f"budget: {given}; give a number that only one of those of {chosen} has: {listed}")
    if missing := [name for name in limits[0] if name not in problem.cost_of]:
        raise InputError(f"scores: {chosen} has a budget of {missing[0]}, but no latency.json of times beside it; copy the whole folder")
    if (wanted := count or len(entries)) > len(entries):
        raise InputError(f"count: {wanted} is more than {chosen} has: {len(entries)} under this budget (search.finalists gives more)")
    codes = [str(entry["architecture"]) for entry in sorted(entries, key=lambda entry: entry["place"])][:wanted]
    best = tuple(Candidate(f"chosen{number}", code, problem.space.parse(code)) for number, code in enumerate(codes, start=1))
    limited = replace(problem, budgets=(limits[0],))
    random = wanted if random is None else random
    drawn = limited.architectures(Fresh(Uniform().stream(limited, seed)).take(random))
    if len(drawn) < random:
        raise InputError(f"random: {random} is more than were found of at most {describe(limits[0])}: {len(drawn)}")
    others = tuple(Candidate(f"random{number}", problem.space.text(one), one) for number, one in enumerate(drawn, start=1))
    macs = limits[0].get("multiply_adds")
    under = None if macs is not None and len(limits[0]) == 1 else describe(limits[0])
    return Winners(best, others, "the search", None if macs is None else int(macs), "space", under)


def problem_of(chosen: Path, family: Family) -> Problem:
    """The space and the costs of a search, whose networks its protocol names."""
    structure = family.of_protocol(read_json(chosen.with_name("protocol.json")))
    return Problem(family.space, {**counted(structure.cost), **read_model(chosen.parent, structure)})


def compare_winners(winners: Winners, truth: GroundTruth) -> dict[str, Any]:
    """Accuracies of both kinds, as fractions, and the difference of their means; with Welch's 95 % interval where they are enough."""
    means = dict(zip(truth.population.architectures, map(float, truth.mean), strict=True))
    kinds = {"best": winners.best, "random": winners.random}
    accuracies = {kind: _of(chosen, means) for kind, chosen in kinds.items()}
    content: dict[str, Any] = {"ordered_by": winners.label, "budget": winners.budget}
    if winners.among != "list":
        content["among"] = winners.among
    if winners.under is not None:
        content["under"] = winners.under
    for kind, values in accuracies.items():
        names = [candidate.text for candidate in kinds[kind] if candidate.architecture in means]
        figures = {"mean": values.mean(), "spread": values.std(ddof=1) if len(values) > 1 else None} if len(values) else {}
        content[kind] = {"n": len(values), **{key: _plain(value) for key, value in figures.items()}, "architectures": names}
    best, random = accuracies["best"], accuracies["random"]
    if len(best) and len(random):
        content["difference"] = {"value": float(best.mean() - random.mean())}
        if min(len(best), len(random)) >= FEWEST_OF_A_GROUP and best.std() + random.std() > 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # SciPy's, of a group whose accuracies are equal
                interval = stats.ttest_ind(best, random, equal_var=False).confidence_interval()
            content["difference"] |= {"low": float(interval.low), "high": float(interval.high)}
    return content


def write_winners(folder: Path, scores: Path, content: Mapping[str, Any]) -> None:
    """Writes ``winners.json`` next to the accuracies that it was made from."""
    sources = {"scores.csv": scores, "known_accuracies.json": folder / "known_accuracies.json"}
    write_json(folder / FILE, {**content, KEY: hashes(sources)})


def describe_winners(content: Mapping[str, Any]) -> str:
    """A table of both kinds, and what choosing by the ranking gained."""
    from nas_lightning.report.winners import gain_in_words, limit_in_words  # the room's pictures take half a second to import

    rows = [
        [kind, figures["n"], *("" if figures[key] is None else f"{100 * figures[key]:.2f}" for key in ("mean", "spread"))]
        for kind in ("best", "random")
        if (figures := content[kind])["n"]
    ]
    title = f"Test accuracy of the best by {content['ordered_by']} and of random ones of the same {content.get('among', 'list')}"
    title += limit_in_words(content)
    table = tabulate(rows, ["chosen", "candidates", "mean, %", "spread, points"], disable_numparse=True)
    return "\n".join(filter(None, [title, table, gain_in_words(content)]))


def folder_of(scores: Path) -> Path:
    """Where the winners of a ranking or a search are trained unless ``run_dir`` is given: in its run folder."""
    made_in = next(
        (folder for folder in list(scores.parents)[:2] if folder.name in ("ranking", "search")), None
    )  # of several checkpoints it is above
    name = CHOSEN if scores.name == f"{CHOSEN}.json" else WINNERS
    return (scores.parent if made_in is None else made_in.parent) / name


def _of(candidates: Sequence[Candidate], means: Mapping[Architecture, float]) -> npt.NDArray[np.float64]:
    return np.array([means[candidate.architecture] for candidate in candidates if candidate.architecture in means], dtype=np.float64)


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)
