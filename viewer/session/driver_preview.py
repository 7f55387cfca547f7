"""The preview image of the driver's camera."""

from __future__ import annotations

import math

import numpy as np

from viewer.render.preview import preview_image
from viewer.session.pose_sources import LivePoseSource

_PERIOD = 1 / 15  # seconds between two preview images


class DriverPreview:
    """A small image of the active live source's camera, updated at a limited rate."""

    def __init__(self) -> None:
        self.image: np.ndarray | None = None  # uint8 [H,W,3]; None without a live source
        self.image_number = 0  # counts images
        self._frame: np.ndarray | None = None  # the camera frame that the image shows
        self._updated_at = -math.inf  # seconds

    def update(self, source: LivePoseSource | None, visible: bool, now: float) -> None:
        """Update the image at `now` seconds where it is visible and the camera has a new frame."""
        if source is None:
            self.image = None
            return
        if now - self._updated_at < _PERIOD or not visible:
            return
        self._updated_at = now
        preview = source.pipeline.preview()
        if preview is not None and preview.image is not self._frame:
            self._frame = preview.image
            self.image = preview_image(preview.image, preview.landmarks)
            self.image_number += 1
