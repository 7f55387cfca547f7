"""Crop of each camera to head and shoulders, resized to one size for all cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from capture.video.crop import choose_crop


@dataclass(frozen=True)
class Canvas:
    """A rectangle of a camera's images, which may extend beyond their edges, and the size it is stored at."""

    x: int
    y: int
    width: int  # source pixels
    height: int
    size: tuple[int, int]  # (width, height) stored, the same for all cameras

    @property
    def scale(self) -> np.ndarray:
        """Stored pixels per source pixel [2], x and y."""
        return np.array([self.size[0] / self.width, self.size[1] / self.height])

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The stored image of a source image [H,W] or [H,W,3]; black (no matte) beyond its edges."""
        height, width = image.shape[:2]
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, width), min(self.y + self.height, height)
        part = image[top:bottom, left:right]
        pads = (top - self.y, self.y + self.height - bottom, left - self.x, self.x + self.width - right)
        if any(pads):
            part = cv2.copyMakeBorder(part, *pads, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        if self.size == (self.width, self.height):
            return np.ascontiguousarray(part)
        shrinks = self.size[0] < self.width
        return cv2.resize(part, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Landmarks [...,2 or 3] of source images in stored pixels."""
        moved = points.astype(np.float64)
        moved[..., :2] = (moved[..., :2] - [self.x, self.y]) * self.scale
        moved[..., 2:] *= self.scale[0]
        return moved

    def intrinsics(self, K: np.ndarray) -> np.ndarray:
        """K [3,3] of the stored images."""
        x, y = self.scale
        return np.array([[x, 0, -x * self.x], [0, y, -y * self.y], [0, 0, 1.0]]) @ K


def choose_canvases(heads: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], max_size: int) -> list[Canvas]:
    """Choose the stored rectangle of each camera.

    Args:
        heads: landmarks [T,468,2] of the tracked head at training time steps in source pixels, of each camera.
        sizes: (width, height) of the images of each camera.
        max_size: maximum length of the longer side of stored images.
    """
    boxes = []
    for points, (width, height) in zip(heads, sizes, strict=True):
        inside = _in_image(points, width, height)
        if len(inside):
            crop = choose_crop(inside, width, height, max_size)
            boxes.append((crop.x, crop.y, crop.width, crop.height))
        else:
            boxes.append((0, 0, width, height))
    aspect = float(np.exp(np.mean([np.log(box[2] / box[3]) for box in boxes])))
    expanded = [_expand(box, size, aspect) for box, size in zip(boxes, sizes, strict=True)]
    largest = max(expanded, key=lambda box: box[2] * box[3])
    scale = min(1.0, max_size / max(largest[2:]))
    size = max(1, round(largest[2] * scale)), max(1, round(largest[3] * scale))
    return [Canvas(*box, size) for box in expanded]


def _in_image(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows of points [T,468,2] at which the center of the head is in the image."""
    center = points.mean(1)
    return points[((center >= 0) & (center < [width, height])).all(1)]


def _expand(box: tuple[int, int, int, int], size: tuple[int, int], aspect: float) -> tuple[int, int, int, int]:
    """The smallest box of the `aspect` around `box`, moved into the image where it fits."""
    x, y, width, height = box
    if abs(width / height / aspect - 1) < 2e-3:
        return box
    new = (round(height * aspect), height) if width / height < aspect else (width, round(width / aspect))
    start = [x - (new[0] - width) // 2, y - (new[1] - height) // 2]
    for axis in (0, 1):
        margin = size[axis] - new[axis]
        start[axis] = min(max(start[axis], 0), margin) if margin >= 0 else margin // 2
    return start[0], start[1], new[0], new[1]
