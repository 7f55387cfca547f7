"""Crops of half a face, sampled where the resting face of the tracked person lies in an image.

A grid of points on the surface of the resting face is posed and projected, and the image is sampled there: pose and
proportions of the person leave the crop, and what remains is the expression. The crop of the right half is mirrored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.tracker.problem import Pinhole

Floats = NDArray[np.floating]

#: Pixels of a crop between two nodes of the grid.
STEP = 4
#: Pixels of the image for one of the crop from which on, times a whole number, the image is averaged over blocks.
_COARSER = 1.1


@dataclass(frozen=True, eq=False)
class CropGrid:
    """Nodes of the grid as points in triangles of landmarks; those of the left half, then of the mirrored right one."""

    landmarks: NDArray[np.int64]  # [2,H/STEP+1,W/STEP+1,3]
    barycentric: Floats  # [2,H/STEP+1,W/STEP+1,3]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop in pixels."""
        rows, columns = self.landmarks.shape[1:3]
        return (rows - 1) * STEP, (columns - 1) * STEP

    def sample(self, luma: np.ndarray, neutral: Floats, pose: Pose, camera: Pinhole) -> NDArray[np.uint8]:
        """The crops [2,H,W] of an image.

        Args:
            luma: [H',W'] uint8.
            neutral: landmarks [468,3] of the resting face in the skull frame, meters.
            pose: of the skull.
            camera: of the image.
        """
        points = np.einsum("srck,srckx->srcx", self.barycentric, neutral[self.landmarks])
        nodes = camera.project(points @ pose.rotation.T + pose.translation)  # [2,R,C,2]
        rows, columns = (_between(length) for length in self.size)
        pixels = rows @ np.moveaxis(nodes.astype(np.float32), 3, 1) @ columns.T  # [2,2,H,W], halves by x and y
        image, corner, shrink = _patch(luma, pixels)
        at = (pixels - corner[:, None, None]) / np.float32(shrink) - np.float32(0.5)  # OpenCV's pixel centers
        crops = [cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for x, y in at]
        return np.stack(crops).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose of the skull in the axes of the camera as the tracker has them."""

    rotation: Floats  # [3,3]
    translation: Floats  # [3] meters


@lru_cache(maxsize=4)
def _between(pixels: int) -> Floats:
    """Weights [pixels, nodes] of the nodes for each pixel along one axis."""
    at = (np.arange(pixels) + 0.5) / STEP
    return np.clip(1 - np.abs(at[:, None] - np.arange(pixels // STEP + 1)), 0, 1).astype(np.float32)


def _patch(luma: np.ndarray, pixels: Floats) -> tuple[np.ndarray, Floats, int]:
    """The part of the image around `pixels`, averaged over blocks where the crops are coarser than the image."""
    height, width = luma.shape
    first, last = pixels.min((0, 2, 3)), pixels.max((0, 2, 3))
    low = np.floor(first).astype(int) - 2
    high = np.ceil(last).astype(int) + 3
    x0, y0 = np.clip(low, 0, [width - 1, height - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [width, height])
    patch = luma[y0:y1, x0:x1]
    # Pixels of the image along one of the crop, by the area that both crops cover.
    step = math.sqrt(float(np.prod(last - first)) / (pixels.size / 2))
    shrink = int(step / _COARSER)
    rows, columns = patch.shape[0] // max(shrink, 1), patch.shape[1] // max(shrink, 1)
    if shrink < 2 or rows < 1 or columns < 1:
        return patch, np.array([x0, y0], np.float32), 1
    patch = cv2.resize(patch[: rows * shrink, : columns * shrink], (columns, rows), interpolation=cv2.INTER_AREA)
    return patch, np.array([x0, y0], np.float32), shrink
