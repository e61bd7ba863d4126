"""What trainings alone gave, a row a candidate: for a file and for the terminal."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tabulate import tabulate

from nas_lightning.runs.reading import safe_cell
from nas_lightning.runs.writing import write_text
from nas_lightning.space import Architecture
from nas_lightning.standalone.truth import GroundTruth

COLUMNS = ("name", "architecture", "mean", "standard_deviation", "lowest", "highest", "seeds")
MOST_LINES = 15
"""Of the table on the terminal, its two of headings among them."""


def write_summary(path: Path, truth: GroundTruth) -> None:
    """A row a candidate in the list's order: accuracies over the seeds, as fractions, the deviation empty with one seed.

    Candidates that diverged follow, without figures; ``seeds`` counts those with an accuracy.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one, row in zip(truth.population, truth.accuracies, strict=True):
        deviation = f"{row.std(ddof=1):.6f}" if len(row) > 1 else ""
        writer.writerow((safe_cell(one.name), one.text, f"{row.mean():.6f}", deviation, f"{row.min():.6f}", f"{row.max():.6f}", len(row)))
    for one in truth.left_out:
        failed = sum(failure.candidate == one for failure in truth.failures)
        writer.writerow((safe_cell(one.name), one.text, "", "", "", "", truth.accuracies.shape[1] - failed))
    write_text(path, text.getvalue())


def table(truth: GroundTruth, known: Mapping[Architecture, float], losses: Mapping[Architecture, float] | None = None) -> str:
    """The candidates, best first, in at most ``MOST_LINES`` lines.

    Args:
        known: accuracies to show beside the trained ones, fractions, of some candidates; empty for none.
        losses: a supernet's cross entropies to show beside them.
    """
    best_first = np.argsort(-truth.mean, kind="stable")
    are_all = len(best_first) <= MOST_LINES - 2
    shown = best_first if are_all else best_first[: MOST_LINES - 3]
    candidates, accuracies = [truth.population[int(row)] for row in shown], truth.accuracies[shown]
    columns = {"name": [one.name for one in candidates], "accuracy": [f"{value:.4f}" for value in accuracies.mean(axis=1)]}
    if accuracies.shape[1] > 1:
        columns["over seeds"] = [f"+- {value:.4f}" for value in accuracies.std(axis=1, ddof=1)]
    if known:
        columns["known"] = [f"{known[one.architecture]:.4f}" if one.architecture in known else "" for one in candidates]
    if losses is not None:
        columns["supernet's loss"] = [f"{losses[one.architecture]:.4f}" for one in candidates]
    columns["architecture"] = [one.text for one in candidates]
    lines = tabulate(columns, headers="keys", disable_numparse=True)
    return lines if are_all else f"{lines}\nand {len(best_first) - len(shown):,} more"
