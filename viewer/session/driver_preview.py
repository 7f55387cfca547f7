"""The preview image of the performer's camera: a small frame with the tracked landmarks."""

from __future__ import annotations

import math

import cv2
import numpy as np

from viewer.session.pose_sources import LivePoseSource

_WIDTH = 240  # pixels
_LANDMARK = (90, 230, 120)  # sRGB
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


def preview_image(image: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray:
    """A small copy of a camera frame with a pixel for each landmark.

    Args:
        image: uint8 [H,W,3].
        landmarks: [n,2 or 3] pixels of `image`; None without a face.

    Returns:
        uint8 [h,240,3].
    """
    height, width = image.shape[:2]
    scale = _WIDTH / width
    small = cv2.resize(image, (_WIDTH, max(round(height * scale), 1)), interpolation=cv2.INTER_AREA)
    if landmarks is not None:
        columns, rows = (landmarks[:, :2] * scale).astype(int).T
        inside = (columns >= 0) & (columns < small.shape[1]) & (rows >= 0) & (rows < small.shape[0])
        small[rows[inside], columns[inside]] = _LANDMARK
    return small
