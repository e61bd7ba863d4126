"""Results of stand-alone trainings, one row per candidate, for a file and for the terminal."""

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
MOST_COLUMNS = 80
"""Of a terminal; a wider table leaves the widths out, which the file has."""
WORST = 2
"""The last, shown too where not all are."""
MOST_LINES = 15
"""Maximum lines of the table on the terminal, its two heading lines included."""


def write_summary(path: Path, truth: GroundTruth) -> None:
    """One row per candidate in the list's order: accuracies over the seeds, as fractions; one seed has no deviation.

    Diverged candidates follow, without figures; ``seeds`` counts the seeds with an accuracy.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for candidate, row in zip(truth.population, truth.accuracies, strict=True):
        deviation, name = f"{row.std(ddof=1):.6f}" if len(row) > 1 else "", safe_cell(candidate.name)
        writer.writerow((name, candidate.text, f"{row.mean():.6f}", deviation, f"{row.min():.6f}", f"{row.max():.6f}", len(row)))
    for candidate in truth.left_out:
        failed = sum(failure.candidate == candidate for failure in truth.failures)
        writer.writerow((safe_cell(candidate.name), candidate.text, "", "", "", "", truth.accuracies.shape[1] - failed))
    write_text(path, text.getvalue())


def table(
    truth: GroundTruth,
    known: Mapping[Architecture, float],
    losses: Mapping[Architecture, float] | None = None,
    kinds: Mapping[Architecture, str] | None = None,
) -> str:
    """The candidates, best first, in at most ``MOST_LINES`` lines.

    Args:
        known: accuracies of some candidates to show next to the trained ones, fractions; may be empty.
        losses: a supernet's cross entropies to show next to them.
        kinds: how each was chosen, in a word.
    """
    best_first = np.argsort(-truth.mean, kind="stable")
    are_all = len(best_first) <= MOST_LINES - 2
    rows = best_first if are_all else np.concatenate([best_first[: MOST_LINES - 3 - WORST], best_first[-WORST:]])
    candidates, accuracies = [truth.population[int(row)] for row in rows], truth.accuracies[rows]
    columns = {
        "name": [candidate.name for candidate in candidates],
        "accuracy, %": [f"{100 * value:.2f}" for value in accuracies.mean(axis=1)],
    }
    if accuracies.shape[1] > 1:
        columns["over seeds"] = [f"+- {100 * value:.2f}" for value in accuracies.std(axis=1, ddof=1)]
    if kinds is not None:
        columns["chosen"] = [kinds[candidate.architecture] for candidate in candidates]
    if known:
        columns["known, %"] = [f"{100 * known[row.architecture]:.2f}" if row.architecture in known else "" for row in candidates]
    if losses is not None:
        columns["supernet's loss"] = [f"{losses[candidate.architecture]:.4f}" for candidate in candidates]
    widths = {"architecture": [candidate.text for candidate in candidates]}
    lines = tabulate({**columns, **widths}, headers="keys", disable_numparse=True).splitlines()
    if max(map(len, lines)) > MOST_COLUMNS:
        lines = tabulate(columns, headers="keys", disable_numparse=True).splitlines()
    if not are_all:
        lines.insert(len(lines) - WORST, f"... {len(best_first) - len(rows):,} more ...")
    return "\n".join(lines)
