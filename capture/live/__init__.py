"""Live driving: pose sources, and the pipeline from their samples to avatar parameters, one sample at a time."""

from __future__ import annotations

from avatar.driving.live.calibration import CalibrationOptions
from avatar.driving.live.pipeline import LiveOptions, LivePipeline
from avatar.driving.live.pose_source import CameraPoseSource, PoseSource
from avatar.driving.live.presence import PresenceOptions
from avatar.driving.live.samples import AvatarPose, CameraPreview, Sample
from avatar.driving.live.smoothing import SmoothingOptions
from capture.live.face_source import FaceSource
from capture.live.open import open_pose_source

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
