"""Video or webcam to tracked frames of a head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar.common.lazy import on_first_use

if TYPE_CHECKING:
    from capture.options import CaptureOptions, FaceModels
    from capture.pipeline import run_capture
    from capture.video.split import Split

__all__ = ["CaptureOptions", "FaceModels", "Split", "run_capture"]
__getattr__ = on_first_use(
    __name__,
    {"CaptureOptions": "options", "FaceModels": "options", "Split": "video.split", "run_capture": "pipeline"},
)
