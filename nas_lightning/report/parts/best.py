"""The ten best candidates by score."""

import numpy as np
from scipy.stats import rankdata

from nas_lightning.report.content import Part, Table
from nas_lightning.report.run import Run

TITLE = "The ten best by score"


def best(run: Run) -> Part:
    """A table."""
    candidates = run.candidates
    if candidates is None:
        return Part.missing(TITLE, "Missing: ranking/scores.csv.")
    columns = candidates.columns
    has_truth = bool(len(run.known))
    places = np.full(len(candidates), np.nan)
    if run.truth is not None and has_truth:
        places[run.known] = rankdata(-run.truth[run.known], method="min")
    smoothed = "smoothed" in columns
    rows = []
    for place, row in enumerate(run.ten_best, start=1):
        truth = ["", ""]
        if run.truth is not None and np.isfinite(places[row]):
            truth = [f"{100 * run.truth[row]:.2f} %", f"{places[row]:.0f} of {len(run.known):,}"]
        rows.append(
            [
                str(place),
                candidates.names[row],
                f"{100 * columns['top1'][row]:.2f} %",
                f"{columns['cross_entropy'][row]:.4f}",
                *([f"{columns['smoothed'][row]:.4f}"] if smoothed else []),
                *(truth if has_truth else []),
                f"{columns['macs'][row] / 1e6:.3f} M",
                f"{columns['parameters'][row]:,.0f}",
                candidates.texts[row],
            ]
        )
    head = [
        "",
        "name",
        "top-1",
        "cross entropy",
        *(["smoothed"] if smoothed else []),
        *(["known accuracy", "true place"] if has_truth else []),
        "multiply-adds",
        "parameters",
        "architecture",
    ]
    empty = " An empty known accuracy is not known." if has_truth and len(run.known) < len(candidates.distinct) else ""
    return Part(TITLE, (f"Of {candidates.count}, ordered by {run.kind.name}.{empty}",), tables=(Table(head, rows),))
