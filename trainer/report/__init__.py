"""The report of a run: one self-contained HTML page, and its plots as PNG, from the files of the run folder alone."""

from trainer.report.errors import ReportError
from trainer.report.page import write_report

__all__ = ["ReportError", "write_report"]
