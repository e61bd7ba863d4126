"""Pictures and pages from the files of a run folder or a multirun; needs no torch."""

from nas_lightning.report.write import write_report, write_sweep_report

__all__ = ["write_report", "write_sweep_report"]
