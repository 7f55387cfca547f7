"""The part of the source frame that is stored: the head and shoulders of all training frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

#: Side of the stored square in heights of the face (landmarks' top to chin), and its middle's way below the face's.
_FACE_HEIGHTS, _DOWN = 3.2, 0.15
#: No crop is made if it saves less than this fraction of the image, or if the image is this small (pixels).
_WORTH, _SMALL = 0.4, 640


@dataclass(frozen=True)
class Crop:
    """A rectangle of the source frame and the size it is stored at; pixel edges coincide."""

    x: int
    y: int
    width: int  # source pixels
    height: int
    scale: float  # stored pixels per source pixel, at most 1

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) of stored frames."""
        return max(1, round(self.width * self.scale)), max(1, round(self.height * self.scale))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The stored image of a source image [H,W] or [H,W,3]."""
        part = image[self.y : self.y + self.height, self.x : self.x + self.width]
        if self.stored_size == (self.width, self.height):
            return np.ascontiguousarray(part)
        return cv2.resize(part, self.stored_size, interpolation=cv2.INTER_AREA)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Landmarks [...,2 or 3] of the source frame in stored pixels."""
        moved = points.astype(np.float64)
        width, height = self.stored_size
        moved[..., 0] = (moved[..., 0] - self.x) * (width / self.width)
        moved[..., 1] = (moved[..., 1] - self.y) * (height / self.height)
        moved[..., 2:] *= self.scale
        return moved

    def principal_point(self, width: int, height: int) -> tuple[float, float]:
        """The middle of a `width` x `height` source frame in stored pixels."""
        middle = self.points(np.array([width / 2, height / 2]))
        return float(middle[0]), float(middle[1])


def choose_crop(points: np.ndarray, width: int, height: int, max_size: int) -> Crop:
    """What to store of `width` x `height` source frames.

    Args:
        points: landmarks [T,478,3] of training frames, source pixels.
        width: of the source.
        height: of the source.
        max_size: longer side of stored frames at most.
    """
    low, high = points[:, :468, :2].min(1), points[:, :468, :2].max(1)
    face = float(np.percentile(high[:, 1] - low[:, 1], 90))
    middle = (low + high) / 2 + np.array([0.0, _DOWN * face])
    half = 0.5 * _FACE_HEIGHTS * face
    start = np.floor(np.clip(middle.min(0) - half, 0, [width, height])).astype(int)
    end = np.ceil(np.clip(middle.max(0) + half, 0, [width, height])).astype(int)
    size = end - start - (end - start) % 2
    if min(width, height) < _SMALL or size[0] * size[1] > (1 - _WORTH) * width * height:
        start, size = np.array([0, 0]), np.array([width, height])
    scale = min(1.0, max_size / int(size.max()))
    return Crop(int(start[0]), int(start[1]), int(size[0]), int(size[1]), scale)
