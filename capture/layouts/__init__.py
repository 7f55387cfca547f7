"""Folders of several cameras as other tools write them, read by what is in them."""

from __future__ import annotations

from capture.layouts.read import is_layout, read_layout
from capture.layouts.views import View, ViewSet

__all__ = ["View", "ViewSet", "is_layout", "read_layout"]
