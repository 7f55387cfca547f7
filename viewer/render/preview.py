"""The driver's camera, small, with the landmarks that were found in it."""

from __future__ import annotations

import cv2
import numpy as np

_WIDTH = 240  # pixels
_POINT = (90, 230, 120)  # sRGB


def preview(picture: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    """A small copy of a camera's picture.

    Args:
        picture: uint8 [H,W,3].
        points: [n,2 or 3] pixels of `picture`; None where there is no face.
    """
    height, width = picture.shape[:2]
    scale = _WIDTH / width
    small = cv2.resize(picture, (_WIDTH, max(round(height * scale), 1)), interpolation=cv2.INTER_AREA)
    if points is not None:
        columns, rows = (points[:, :2] * scale).astype(int).T
        inside = (columns >= 0) & (columns < small.shape[1]) & (rows >= 0) & (rows < small.shape[0])
        small[rows[inside], columns[inside]] = _POINT
    return small
