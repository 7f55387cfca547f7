"""Report on a finished capture: quality statistics, coverage of the person, advice, and images for inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from capture.report.files import write_report
    from capture.report.stored import read_report
    from capture.report.summary import CaptureReport

__all__ = ["CaptureReport", "read_report", "write_report"]
__getattr__ = on_first_use(__name__, {"CaptureReport": "summary", "read_report": "stored", "write_report": "files"})
