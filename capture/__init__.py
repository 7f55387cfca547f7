"""Video or webcam to tracked frames of a head."""

from __future__ import annotations

from capture.options import CaptureOptions, FaceModels
from capture.pipeline import run_capture
from capture.video.split import Split

__all__ = ["CaptureOptions", "FaceModels", "Split", "run_capture"]
