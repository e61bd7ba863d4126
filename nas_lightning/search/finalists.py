"""The best under each budget, scored again on all images: the best of many noisy scores is too good."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas_lightning.runs.reading import as_written, read_entries
from nas_lightning.scoring.table import Score
from nas_lightning.search.evaluated import Evaluated
from nas_lightning.search.latency import LATENCY, Latencies, Measured
from nas_lightning.search.problem import Budget
from nas_lightning.search.record import FINALISTS, Record
from nas_lightning.search.run import Evaluate, best_under


def read_chosen(path: Path) -> list[dict[str, Any]]:
    """Reads ``chosen.json``.

    Raises:
        InputError: if it does not hold what a search writes.
    """
    entries = read_entries(path)
    with as_written(path, "nas-search"):
        for entry in entries:
            budget, costs = entry["budget"], entry["cost"]
            if not all(isinstance(value, int | float) for value in (entry["place"], *budget.values(), *costs.values())):
                raise TypeError("a budget or a cost is not a number")
    return entries


@dataclass(frozen=True)
class Finalists:
    """How the chosen are found among the evaluated.

    Args:
        count: finalists under each budget.
        searched: scores on the images of the search.
        on_all: scores on all images.
        images: how many they are, in this order.
        latencies: measures the finalists, if latency is a cost.
    """

    record: Record
    objective: str
    count: int
    searched: Evaluate
    on_all: Evaluate
    images: tuple[int, int]
    latencies: Latencies | None = None

    def choose(self, rows: Sequence[Evaluated]) -> list[dict[str, Any]]:
        """The content of ``chosen.json``: under each budget the finalists, best first by their score on all images.

        A predicted cross entropy is no score of some images, so that it orders the finalists too.
        """
        under = [(budget, self._best_under(rows, budget)) for budget in self.record.problem.budgets]
        finalists = list(dict.fromkeys(row.architecture for _, best in under for row in best))
        searched = {row.architecture: row for row in rows}
        scores = {architecture: searched[architecture].score for architecture in finalists}
        if self.objective == "predicted":
            again = self.record.evaluate(finalists, self.searched, "finalists_searched.csv")
            scores = {architecture: row.score for architecture, row in again.items()}
        on_all = scores
        if self.images[1] != self.images[0]:
            on_all = {architecture: row.score for architecture, row in self.record.evaluate(finalists, self.on_all, FINALISTS).items()}

        def last_loss(row: Evaluated) -> float:
            return (row if self.objective == "predicted" else row._replace(score=on_all[row.architecture])).loss(self.objective)

        chosen = [
            self._entry(row, place, budget, scores[row.architecture], on_all[row.architecture])
            for budget, best in under
            for place, row in enumerate(sorted(best, key=last_loss), start=1)
        ]
        return [{**entry, **gain_over_smaller(entry, chosen)} for entry in chosen]

    def _best_under(self, rows: Sequence[Evaluated], budget: Budget) -> list[Evaluated]:
        """The best that keep to a budget by their costs, and by their latency as it is measured."""
        ordered, kept = best_under(rows, budget, self.objective, len(rows)), list[Evaluated]()
        if self.latencies is None:
            return ordered[: self.count]
        while ordered and len(kept) < self.count:
            missing = self.count - len(kept)
            measured = self.latencies.of([row.architecture for row in ordered[:missing]], "latency of finalists")
            kept += [row for row in ordered[:missing] if _keeps(measured[row.architecture], budget)]
            ordered = ordered[missing:]
        return kept

    def _entry(self, row: Evaluated, place: int, budget: Budget, searched: Score, on_all: Score) -> dict[str, Any]:
        problem = self.record.problem
        predicted = {"predicted": row.predicted} if self.objective == "predicted" else {}
        measured = {"measured": self.latencies.read()[0][row.architecture]} if self.latencies is not None else {}
        return {
            "architecture": problem.space.text(row.architecture),
            "place": place,
            "budget": dict(budget),
            "objective": self.objective,
            "cost": row.costs,
            "share_of_largest": {name: cost / problem.ends(name)[1] for name, cost in row.costs.items()},
            **predicted,
            **measured,
            "searched": {"images": self.images[0], **searched._asdict()},
            "all_images": {"images": self.images[1], **on_all._asdict()},
        }


def gain_over_smaller(entry: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a larger budget buys: the gain in top-1 of its best over that of the next smaller one, and the standard error of this gain.

    The error is that of independent images for each. They are the same for both, which can only lower it.

    Returns:
        An entry ``over_smaller_budget``; nothing if this is not the best of its budget, no budget is smaller, or
        its best is the same.
    """
    smaller = [
        other
        for other in chosen
        if other["place"] == entry["place"] == 1 and other["budget"].keys() == entry["budget"].keys() and other["budget"] != entry["budget"]
        if all(other["budget"][name] <= limit for name, limit in entry["budget"].items())
    ]
    if not smaller:
        return {}
    other = max(smaller, key=lambda one: tuple(one["budget"].values()))
    if other["architecture"] == entry["architecture"]:
        return {}
    ours, theirs = (one["all_images"]["top1"] for one in (entry, other))
    error = math.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / entry["all_images"]["images"])
    return {"over_smaller_budget": {"budget": other["budget"], "top1": ours - theirs, "standard_error": error}}


def _keeps(measured: Measured, budget: Budget) -> bool:
    """Whether the latencies that were measured keep to a budget."""
    return all(figures[LATENCY] <= budget.get(name, np.inf) for name, figures in measured.items())
