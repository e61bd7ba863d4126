"""Pictures and pages from a run folder's files; needs no torch."""

from nas_lightning.report.write import write_report

__all__ = ["write_report"]
