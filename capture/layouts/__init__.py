"""Folders of several cameras in the layouts of other tools, recognized by their content."""

from __future__ import annotations

from capture.layouts.read import is_layout, not_a_capture, read_layout
from capture.layouts.views import View, ViewSet

__all__ = ["View", "ViewSet", "is_layout", "not_a_capture", "read_layout"]
