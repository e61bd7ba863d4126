"""A Lightning logger that keeps one growing CSV, one row per log step, and continues it when a stage is resumed."""

import csv
import io
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_rows, read_text, safe_cell
from nas_lightning.runs.writing import write_text


class MetricsTable(Logger):
    """Writes ``metrics.csv``; columns that appear later are added, an absent value is empty.

    Args:
        path: of the file; rows it already holds are kept if they are older than ``resume_step``.
        resume_step: optimizer steps already done; later rows belong to steps that will be repeated.
    """

    def __init__(self, path: Path, resume_step: int = 0) -> None:
        super().__init__()
        self.path = path
        self._rows: list[dict[str, str]] = []
        if resume_step and path.is_file():
            self._rows = _rows_before(path, resume_step)

    @property
    def name(self) -> str:
        """Of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """One file, no versions."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Does nothing: the run folder's config.yaml has them already."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds a row, or to the last row if it has the same step."""
        row = {"step": str(step or 0), **{name: repr(float(value)) for name, value in metrics.items()}}
        if self._rows and self._rows[-1]["step"] == row["step"]:
            self._rows[-1].update(row)
        else:
            self._rows.append(row)

    @rank_zero_only
    def save(self) -> None:
        """Writes the whole file once there is a row; called often, so rows are few (``log_every_n_steps``)."""
        if not self._rows:
            return
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(safe_cell, columns))
        writer.writerows([row.get(name, "") for name in columns] for row in self._rows)
        write_text(self.path, text.getvalue())


def _rows_before(path: Path, step: int) -> list[dict[str, str]]:
    if not read_text(path).strip():  # left by an earlier version that was stopped before the first row
        return []
    try:
        return [row for _, row in read_rows(path, ["step"]) if int(row["step"]) < step]
    except ValueError as error:  # InputError is one
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: is not a table of metrics ({reason}); remove it to go on without its rows") from None
