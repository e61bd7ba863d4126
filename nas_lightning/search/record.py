"""A search's folder: what was evaluated, from which it resumes, and the files that are made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import Progress, report
from nas_lightning.runs.made_from import write_source
from nas_lightning.runs.writing import write_text
from nas_lightning.search.evaluated import Evaluated, as_csv, losses, read_evaluated, work
from nas_lightning.search.front import hypervolumes, nondominated
from nas_lightning.search.latency import LATENCIES, LATENCY, Latencies
from nas_lightning.search.problem import Problem
from nas_lightning.search.run import Evaluate, Evaluations, Generation, Search
from nas_lightning.space import Architecture

EVALUATED, FITTED = "evaluated.csv", "fitted.csv"
FRONT, CHOSEN, HYPERVOLUME, FINALISTS = "front.csv", "chosen.json", "hypervolume.csv", "finalists.csv"
LABELS = {EVALUATED: "search", FITTED: "to fit on"}
OF_THE_RUN = ("../report.html", "../report.md")
"""Pages of the run, which show the search."""


@dataclass(frozen=True)
class Record:
    """The folder ``search`` of a run."""

    folder: Path
    problem: Problem

    def run(self, search: Search, evaluate: Evaluate, name: str) -> Evaluations:
        """Runs a search, or what is left of it: each finished generation is in the file before the next begins.

        Args:
            name: of the file of evaluated candidates.
        """
        path, label = self.folder / name, LABELS.get(name, name.removesuffix(".csv").replace("_", " "))
        known = read_evaluated(path, self.problem.space, tuple(self.problem.cost_of))
        search = replace(search, evaluations=max(search.evaluations, ceil(work(known))))
        progress = Progress(label, search.evaluations, int(work(known)), "candidates", is_rank_zero())
        made_from_it = [self.folder / other for other in (FRONT, CHOSEN, HYPERVOLUME, *OF_THE_RUN)]

        def finished(rows: Sequence[Evaluated]) -> None:
            progress.advance(int(work(rows)) - progress.count)
            if is_rank_zero():
                write_source(path, self.text(rows), made_from_it)

        try:
            done = search.run(evaluate, known, str(path), finished)
        finally:
            progress.close()
        if is_rank_zero() and done.new:
            report(f"{label}: {done}")
        if is_rank_zero() and (evaluations := int(work(done.rows))) < search.evaluations:
            report(f"{label}: {evaluations:,} candidates, not {search.evaluations:,}: no others were found within the limits")
        return done

    def evaluate(self, architectures: Sequence[Architecture], evaluate: Evaluate, name: str) -> dict[Architecture, Evaluated]:
        """Evaluates given candidates, those of an earlier process that are in the file excepted."""
        path = self.folder / name
        known = {row.architecture: row for row in read_evaluated(path, self.problem.space, tuple(self.problem.cost_of))}
        missing = sorted((one for one in architectures if one not in known), key=lambda one: one.widths)
        if missing:
            costs = self.problem.costs(self.problem.rows(missing))
            for number, (architecture, score) in enumerate(zip(missing, evaluate(Generation(0), missing), strict=True)):
                known[architecture] = Evaluated.of(0, architecture, score, {cost: float(column[number]) for cost, column in costs.items()})
            if is_rank_zero():
                write_text(path, self.text(list(known.values())))
        return {architecture: known[architecture] for architecture in architectures}

    def write_front(
        self, runs: Mapping[str, Sequence[Evaluated]], objective: str, reference: Sequence[float], latencies: Latencies | None = None
    ) -> None:
        """Writes ``front.csv``, cheapest first, and ``hypervolume.csv``.

        Args:
            runs: what the search evaluated, under ``search``, and each baseline; those on some of the images only add to the work.
            reference: loss and costs of the front, each the worst that counts.
            latencies: stand in columns of their own where they were measured.
        """
        whole = {name: [row for row in rows if row.share == 1] for name, rows in runs.items()}
        values = losses(whole["search"], objective, self.problem.front)
        front = sorted(nondominated(values), key=lambda row: tuple(values[row, 1:]))
        measured = latencies.read()[0] if latencies is not None else {}
        names = [name for name in self.problem.cost_of if name in LATENCIES]
        more = {f"{name}_measured": {one: figures[name][LATENCY] for one, figures in measured.items()} for name in names}
        kept = [whole["search"][row] for row in front]
        write_text(self.folder / FRONT, as_csv(kept, self.problem.space, tuple(self.problem.cost_of), more))
        lines = ["run,evaluated,hypervolume"]
        for name, rows in runs.items():
            last = {row.generation: number for number, row in enumerate(whole[name], start=1)}
            spent = dict(zip((row.generation for row in rows), np.cumsum([row.share for row in rows]), strict=True))
            volumes = hypervolumes(losses(whole[name], objective, self.problem.front), reference, [*last.values()])
            lines += [f"{name},{spent[generation]:.0f},{volume!r}" for generation, volume in zip(last, volumes, strict=True)]
        write_text(self.folder / HYPERVOLUME, "\n".join([*lines, ""]))

    def text(self, rows: Sequence[Evaluated]) -> str:
        """The text of a file of candidates."""
        return as_csv(rows, self.problem.space, tuple(self.problem.cost_of))
