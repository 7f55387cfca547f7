"""Live driving: one sample at a time, whoever gives it."""

from __future__ import annotations

from capture.live.sample import Input, Sample

__all__ = ["Input", "Sample"]
