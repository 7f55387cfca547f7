"""Points of a still scene followed through the frames of a camera that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

#: Longer side of the images in which points are followed, pixels.
_SIDE = 720
#: Points in an image, smallest distance of two (pixels), and quality relative to the best corner.
_MOST = 500
_APART = 11
_QUALITY = 0.004
#: Side of the compared windows (pixels), levels of the pyramid, and the largest error of following a point and back.
_WINDOW = 15
_LEVELS = 4
_THERE_AND_BACK = 0.7


@dataclass(frozen=True)
class Tracks:
    """Where points were seen: O observations, each of a point in a frame."""

    point: np.ndarray  # [O] int
    frame: np.ndarray  # [O] int
    pixel: np.ndarray  # [O,2] pixels of the source

    @staticmethod
    def joined(tracks: list[Tracks]) -> Tracks:
        """All observations; each of the tracks has points of its own."""
        starts = np.cumsum([0, *(int(each.point.max(initial=-1)) + 1 for each in tracks)])
        point = [each.point + start for each, start in zip(tracks, starts, strict=False)]
        return Tracks(
            np.concatenate(point), np.concatenate([t.frame for t in tracks]), np.concatenate([t.pixel for t in tracks])
        )

    def where(self, mask: np.ndarray) -> Tracks:
        """The observations of the mask [O]."""
        return Tracks(self.point[mask], self.frame[mask], self.pixel[mask])


def small_gray(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """Brightness [h,w] uint8 of an image [H,W,3] with a longer side of at most _SIDE pixels, and the factor back."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    factor = max(1.0, max(gray.shape) / _SIDE)
    if factor == 1.0:
        return gray, factor
    size = tuple(round(side / factor) for side in gray.shape[::-1])
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA), factor


def follow_points(
    last: np.ndarray, gray: np.ndarray, start: np.ndarray, near: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the points `start` [n,1,2] of an image are in the next one [n,1,2], and which of them are found [n].

    Args:
        last: [h,w] uint8.
        gray: [h,w] uint8, the next image.
        start: float32 pixels.
        near: [n,1,2] about where they are in it.
        window: side of the compared windows, pixels.
    """
    size = (window, window)
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    flow: Any = cv2.calcOpticalFlowPyrLK  # its types do not allow an initial flow
    there, found, _ = flow(last, gray, start, near.copy(), winSize=size, maxLevel=_LEVELS, flags=flags)
    back, returned, _ = flow(gray, last, there, start.copy(), winSize=size, maxLevel=_LEVELS, flags=flags)
    error = np.linalg.norm(back - start, axis=2)[:, 0]
    return there, (found[:, 0] > 0) & (returned[:, 0] > 0) & (error < _THERE_AND_BACK)


class PointFollower:
    """Follows corners from image to image (pyramidal Lucas-Kanade), and finds new ones where there are few."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._pixel = np.zeros((0, 2), np.float32)
        self._number = np.zeros(0, np.int64)
        self._count = 0
        self._seen: list[tuple[np.ndarray, int, np.ndarray]] = []

    def add(self, gray: np.ndarray, frame: int | None, jump: np.ndarray | None = None) -> None:
        """Follow the points into the next image.

        Args:
            gray: [h,w] uint8, of `small_gray`.
            frame: number by which its observations are kept; None: they are not.
            jump: [2,3] about where points of the image before are in this one; None: near.
        """
        if self._last is not None and len(self._pixel):
            self._follow(self._last, gray, jump)
        if len(self._pixel) < 0.8 * _MOST:
            self._find_more(gray)
        self._last = gray
        if frame is not None:
            self._seen.append((self._number.copy(), frame, self._pixel.copy()))

    def _follow(self, last: np.ndarray, gray: np.ndarray, jump: np.ndarray | None) -> None:
        start = self._pixel[:, None]
        near = start.copy() if jump is None else cv2.transform(start, jump).astype(np.float32)
        there, kept = follow_points(last, gray, start, near, _WINDOW)
        there = there[:, 0]
        kept &= ((there > 2) & (there < np.array(gray.shape[::-1]) - 3)).all(1)
        self._pixel, self._number = there[kept], self._number[kept]

    def _find_more(self, gray: np.ndarray) -> None:
        mask = np.full(gray.shape, 255, np.uint8)
        for x, y in self._pixel:
            cv2.circle(mask, (round(float(x)), round(float(y))), _APART, 0, -1)
        more = cv2.goodFeaturesToTrack(gray, _MOST - len(self._pixel), _QUALITY, _APART, mask=mask)
        if more is not None:
            self._pixel = np.concatenate([self._pixel, more[:, 0]])
            self._number = np.concatenate([self._number, self._count + np.arange(len(more))])
            self._count += len(more)

    def tracks(self, scale: float, least: int = 3) -> Tracks:
        """Observations of the points that `least` kept frames show, in pixels of images `scale` times as large."""
        number = np.concatenate([numbers for numbers, _, _ in self._seen])
        frame = np.concatenate([np.full(len(numbers), frame) for numbers, frame, _ in self._seen])
        pixel = np.concatenate([pixels for _, _, pixels in self._seen]).astype(np.float64) * scale
        enough = np.bincount(number, minlength=self._count)[number] >= least
        _, point = np.unique(number[enough], return_inverse=True)
        return Tracks(point, frame[enough], pixel[enough])
