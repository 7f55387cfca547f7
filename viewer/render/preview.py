"""A small image of the driver's camera with the tracked landmarks."""

from __future__ import annotations

import cv2
import numpy as np

_WIDTH = 240  # pixels
_LANDMARK = (90, 230, 120)  # sRGB


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
