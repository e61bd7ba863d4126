"""The candidates trained alone, best first."""

import numpy as np

from nas_lightning.report.content import Part, Table
from nas_lightning.report.run import Run

TITLE = "Trained alone"
MOST_ROWS = 50


def alone(run: Run) -> Part:
    """A row a candidate: the mean and the standard deviation of its test accuracies over its seeds."""
    if run.alone is None or not run.alone.accuracies:
        return Part.missing(TITLE, "Missing: standalone/accuracies.csv.")
    ordered = sorted(run.alone.accuracies.items(), key=lambda entry: (-np.mean(entry[1]), entry[0]))
    rows = [
        [
            str(place),
            code,
            f"{100 * np.mean(values):.2f} %",
            f"{100 * np.std(values, ddof=1):.2f} points" if len(values) > 1 else "",
            str(len(values)),
        ]
        for place, (code, values) in enumerate(ordered[:MOST_ROWS], start=1)
    ]
    listed = "" if len(rows) == len(ordered) else f" The {MOST_ROWS} best are listed."
    of = "1 candidate" if len(ordered) == 1 else f"{len(ordered):,} candidates"
    head = ["", "architecture", "accuracy", "standard deviation over seeds", "seeds"]
    return Part(TITLE, (f"{of}, by test accuracy.{listed}",), tables=(Table(head, rows),))
