"""The metrics file grows by rows, and goes on where a stage goes on."""

import csv
from pathlib import Path

from nas_lightning.training.metrics_table import MetricsTable


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_of_one_step_share_a_row_and_later_columns_are_added(tmp_path: Path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.log_metrics({"loss": 0.1}, 0)
    table.log_metrics({"loss": 1 / 3}, 1)
    table.log_metrics({"top1": 0.5}, 1)
    table.save()
    assert rows(table.path) == [{"step": "0", "loss": "0.1", "top1": ""}, {"step": "1", "loss": repr(1 / 3), "top1": "0.5"}]


def test_rows_of_steps_that_are_repeated_are_dropped(tmp_path: Path):
    before = MetricsTable(tmp_path / "metrics.csv")
    for step in range(6):  # counted from 0: three are done when the checkpoint says 3
        before.log_metrics({"loss": step}, step)
    before.save()
    after = MetricsTable(tmp_path / "metrics.csv", resume_step=3)
    after.log_metrics({"loss": 50}, 5)
    after.save()
    assert [(row["step"], row["loss"]) for row in rows(after.path)] == [("0", "0.0"), ("1", "1.0"), ("2", "2.0"), ("5", "50.0")]


def test_a_stage_that_starts_anew_keeps_no_row(tmp_path: Path):
    before = MetricsTable(tmp_path / "metrics.csv")
    before.log_metrics({"loss": 1.0}, 0)
    before.save()
    after = MetricsTable(tmp_path / "metrics.csv")
    after.log_metrics({"other": 2.0}, 0)
    after.save()
    assert rows(after.path) == [{"step": "0", "other": "2.0"}]


def test_a_stage_stopped_before_its_first_row_leaves_no_table(tmp_path: Path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.save()
    assert not table.path.exists()


def test_a_table_of_one_empty_line_has_no_rows(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("\n")  # as runs that were stopped before their first row left it
    table = MetricsTable(tmp_path / "metrics.csv", resume_step=3)
    table.log_metrics({"loss": 2.0}, 3)
    table.save()
    assert rows(table.path) == [{"step": "3", "loss": "2.0"}]
