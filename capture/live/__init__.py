"""Live driving: one sample at a time, whoever gives it."""

from __future__ import annotations

from capture.live.calibration import CalibrationOptions
from capture.live.face_input import FaceInput
from capture.live.open import open_input
from capture.live.pipeline import LiveOptions, LivePipeline, LivePose
from capture.live.presence import PresenceOptions
from capture.live.sample import Input, Sample
from capture.live.smoothing import SmoothingOptions

__all__ = [
    "CalibrationOptions",
    "FaceInput",
    "Input",
    "LiveOptions",
    "LivePipeline",
    "LivePose",
    "PresenceOptions",
    "Sample",
    "SmoothingOptions",
    "open_input",
]
