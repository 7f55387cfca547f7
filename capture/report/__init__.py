"""Report on a finished capture: quality statistics, coverage of the person, advice, and images for inspection."""

from capture.report.files import read_report, write_report
from capture.report.summary import CaptureReport

__all__ = ["CaptureReport", "read_report", "write_report"]
