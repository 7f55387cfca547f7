"""The outline of the head in the stored mattes: hair and forehead move rigidly with the skull, landmarks do not."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.stages.images import SmallImages
from capture.stages.workers import Pool
from capture.tracker.indices import STABLE_LANDMARKS

Array = NDArray[np.floating]

#: Directions in the image, degrees: the upper half around the face, and a little below its middle on both sides.
_DIRECTIONS = np.radians(np.arange(-200, 21, 20))
#: Length of a ray in units of the landmarks' size, and its samples.
_REACH = 4.0
_SAMPLES = 400


def track_outline(small: SmallImages, track: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The array `head_outline` of a capture of one camera.

    Args:
        small: images of the stored frames.
        track: its other arrays.
    """
    landmarks = track["landmarks"]
    numbers = track["frame_number"]
    outline = np.zeros((len(numbers), len(_DIRECTIONS)))

    def measure(row: int) -> None:
        points = landmarks[row].astype(np.float64) * small.scale
        outline[row] = head_outline(small.matte(int(numbers[row])), points)

    with Pool() as pool:
        for row in range(len(numbers)):
            pool.submit(measure, row)
        pool.drain()
    return {"head_outline": outline}


def head_outline(matte: np.ndarray, landmarks: Array) -> Array:
    """Distance [12] from the middle of the rigid landmarks to the outline, in units of their mean distance from it.

    Args:
        matte: [H,W] uint8.
        landmarks: [478,2+] pixels of the matte.
    """
    points = landmarks[STABLE_LANDMARKS, :2]
    middle = points.mean(0)
    size = float(np.linalg.norm(points - middle, axis=1).mean())
    soft = cv2.GaussianBlur(matte.astype(np.float32), (0, 0), 1.0) / 255
    distance: Array = np.linspace(0, _REACH, _SAMPLES)
    rays = np.stack([np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)], -1)[:, None] * distance[:, None]
    where = (middle + size * rays - 0.5).astype(np.float32)
    coverage = cv2.remap(soft, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result: Array = coverage.astype(np.float64).mean(1) * _REACH
    return result
