"""Crop of each camera's images around the head, resized to one size for all cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from capture.options import Framing
from capture.video.crop import MovingWindow

#: Enlargement of a camera's images above which the user gets a sentence.
_ENLARGED = 1.1


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
        left = max(self.x, 0)
        top = max(self.y, 0)
        right = min(self.x + self.width, width)
        bottom = min(self.y + self.height, height)
        crop = image[top:bottom, left:right]
        pads = (top - self.y, self.y + self.height - bottom, left - self.x, self.x + self.width - right)
        if any(pads):
            crop = cv2.copyMakeBorder(crop, *pads, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        if self.size == (self.width, self.height):
            return np.ascontiguousarray(crop)
        shrinks = self.size[0] < self.width
        return cv2.resize(crop, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

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


@dataclass(frozen=True)
class CanvasPath:
    """The rectangle of one camera, of constant size, that follows the head."""

    window: MovingWindow  # of the training time steps at which the head is in the image
    rows: dict[int, int]  # row of the window by training time step
    size: tuple[int, int]  # (width, height) stored, the same for all cameras

    def at(self, step: int, time: float, head: np.ndarray) -> Canvas:
        """The rectangle at a time step; the head at one that is held out affects its own rectangle only.

        Args:
            step: the time step.
            time: seconds.
            head: landmarks [468,2] of the head at the time step, source pixels.
        """
        row = self.rows.get(step)
        crop = self.window.crop_of(time, head) if row is None else self.window.crop_at(row)
        return Canvas(crop.x, crop.y, crop.width, crop.height, self.size)


def choose_canvases(
    heads: Sequence[np.ndarray],
    steps: Sequence[int],
    time: np.ndarray,
    sizes: Sequence[tuple[int, int]],
    framing: Framing,
    max_size: int,
) -> list[CanvasPath]:
    """Choose the stored rectangles of each camera.

    Args:
        heads: landmarks [T,468,2] of the tracked head at training time steps in source pixels, of each camera.
        steps: the training time steps [T].
        time: of these [T], seconds.
        sizes: (width, height) of the images of each camera.
        framing: how much of the person they show.
        max_size: maximum length of the longer side of stored images.
    """
    windows = []
    rows = []
    for points, source in zip(heads, sizes, strict=True):
        inside = _in_image(points, *source)
        known = inside if len(inside) else np.arange(len(points))
        chosen: Framing = framing if len(inside) else "full"
        windows.append(MovingWindow.around(points[known], time[known], source, chosen, max_size))
        rows.append({steps[index]: row for row, index in enumerate(known.tolist())})
    aspect = float(np.exp(np.mean([np.log(window.size[0] / window.size[1]) for window in windows])))
    windows = [replace(window, size=_expand(window.size, aspect)) for window in windows]
    largest = max((window.size for window in windows), key=lambda size: size[0] * size[1])
    scale = min(1.0, max_size / max(largest))
    size = max(1, round(largest[0] * scale)), max(1, round(largest[1] * scale))
    return [CanvasPath(window, known, size) for window, known in zip(windows, rows, strict=True)]


def enlargement_warnings(paths: Sequence[CanvasPath], names: Sequence[str]) -> list[str]:
    """A sentence for each camera whose images are enlarged to the size of the others."""
    factors = [path.size[1] / path.window.size[1] for path in paths]
    return [
        f"the images of camera {name} are enlarged {factor:.1f} times: it shows the head with fewer pixels than another"
        for name, factor in zip(names, factors, strict=True)
        if factor > _ENLARGED
    ]


def _in_image(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rows [n] of points [T,468,2] at which the center of the head is in the image."""
    center = points.mean(1)
    return np.flatnonzero(((center >= 0) & (center < [width, height])).all(1))


def _expand(size: tuple[int, int], aspect: float) -> tuple[int, int]:
    """The smallest (width, height) of the `aspect` around `size`."""
    width, height = size
    if abs(width / height / aspect - 1) < 2e-3:
        return size
    return (round(height * aspect), height) if width / height < aspect else (width, round(width / aspect))
