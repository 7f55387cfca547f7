"""Live driving: pose sources, and the pipeline from their samples to avatar parameters, one sample at a time."""

from __future__ import annotations

from avatar.driving.live import AvatarPose, CameraPreview, Sample
from capture.live.calibration import CalibrationOptions
from capture.live.face_source import FaceSource
from capture.live.open import open_pose_source
from capture.live.pipeline import LiveOptions, LivePipeline
from capture.live.pose_source import CameraPoseSource, PoseSource
from capture.live.presence import PresenceOptions
from capture.live.smoothing import SmoothingOptions

__all__ = [
    "AvatarPose",
    "CalibrationOptions",
    "CameraPoseSource",
    "CameraPreview",
    "FaceSource",
    "LiveOptions",
    "LivePipeline",
    "PoseSource",
    "PresenceOptions",
    "Sample",
    "SmoothingOptions",
    "open_pose_source",
]
