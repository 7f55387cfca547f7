"""What a finished capture is worth: quality numbers, what of the person it saw, advice, and images to check it by."""

from capture.report.files import read_report, write_report
from capture.report.summary import CaptureReport

__all__ = ["CaptureReport", "read_report", "write_report"]
