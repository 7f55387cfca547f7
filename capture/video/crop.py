"""The part of each source frame that is stored: a window of constant size that follows the head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from capture.options import Framing
from capture.tracker.indices import FACE_COUNT

#: Height of the face (top of the forehead to chin) as a fraction of the window's longer side, and how far below the
#: window's upper edge its middle is, as a fraction of the window's height.
_FACE = {"head": 0.40, "bust": 0.27}
_DOWN = {"head": 0.43, "bust": 0.36}
#: A face that comes nearer than usual fills this fraction at most in 95 % of the training frames.
_NEAREST = 0.5
#: The whole frame is stored if the window has this fraction of its area: small crops cost pixels and gain little.
_WHOLE = 0.8
#: Standard deviation (s) of the window's smoothing: nods move the head in the window, a person who leans moves both.
_SIGMA = 0.25
#: Landmarks stay this far inside the window, in heights of the face.
_MARGIN = 0.2
#: Height of the face (pixels) that the default size of a training can use; below it the user gets a sentence.
DESIRED_FACE = 180
_FOREHEAD = 10
_CHIN = 152
_EARS = (234, 454)


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

    @property
    def scales(self) -> np.ndarray:
        """Stored pixels per source pixel [2], x and y; they differ from `scale` by the rounding of the size."""
        return np.array(self.stored_size) / [self.width, self.height]

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The stored image of a source image [H,W] or [H,W,3]."""
        crop = image[self.y : self.y + self.height, self.x : self.x + self.width]
        if self.stored_size == (self.width, self.height):
            return np.ascontiguousarray(crop)
        return cv2.resize(crop, self.stored_size, interpolation=cv2.INTER_AREA)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Landmarks [...,2 or 3] of the source frame in stored pixels."""
        moved = points.astype(np.float64)
        moved[..., :2] = (moved[..., :2] - [self.x, self.y]) * self.scales
        moved[..., 2:] *= self.scale
        return moved

    def principal_point(self, width: int, height: int) -> np.ndarray:
        """The middle [2] of a `width` x `height` source frame in stored pixels."""
        return self.points(np.array([width / 2, height / 2]))


@dataclass(frozen=True)
class MovingWindow:
    """A window of constant size that follows the head; positions of the T training frames do not depend on others."""

    source: tuple[int, int]  # (width, height) of the source frames
    size: tuple[int, int]  # (width, height) of the window in source pixels
    scale: float  # stored pixels per source pixel, at most 1
    time: np.ndarray  # [T] seconds
    center: np.ndarray  # [T,2] of the window as each frame alone would have it, source pixels
    low: np.ndarray  # [T,2] corner of the landmarks' box
    high: np.ndarray  # [T,2]
    shift: np.ndarray  # [2] from the head to the middle of the window
    face: float  # median height of the face, source pixels

    @staticmethod
    def around(
        points: np.ndarray, time: np.ndarray, source: tuple[int, int], framing: Framing, max_size: int
    ) -> MovingWindow:
        """Choose the window from the training frames.

        Args:
            points: landmarks [T,468 or more,2 or more] of training frames, source pixels.
            time: of these frames [T], seconds.
            source: (width, height) of the source frames.
            framing: how much of the person the window shows.
            max_size: longer side of stored frames at most.
        """
        faces = face_heights(points)
        size = _window_size(faces, source, framing)
        heads = _heads(points)
        middles = (points[:, _FOREHEAD, 1] + points[:, _CHIN, 1]) / 2
        down = float(np.median(middles - heads[:, 1])) + (0.5 - _DOWN.get(framing, 0.5)) * size[1]
        shift = np.array([0.0, down])
        scale = min(1.0, max_size / max(size))
        low, high = _box(points)
        return MovingWindow(
            source, size, scale, np.asarray(time), heads + shift, low, high, shift, float(np.median(faces))
        )

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) of stored frames."""
        return Crop(0, 0, *self.size, self.scale).stored_size

    def crop_at(self, row: int) -> Crop:
        """The crop of training frame `row`, from training frames alone."""
        center = _local_line(self.time - self.time[row], self.center)
        return self._crop(center, self.low[row], self.high[row])

    def crop_of(self, time: float, points: np.ndarray) -> Crop:
        """The crop of another frame at `time` seconds, from the training frames and its own landmarks `points`."""
        own = _heads(points[None]) + self.shift
        center = _local_line(np.append(self.time - time, 0.0), np.concatenate([self.center, own]))
        low, high = _box(points[None])
        return self._crop(center, low[0], high[0])

    def _crop(self, center: np.ndarray, low: np.ndarray, high: np.ndarray) -> Crop:
        """The window at `center` [2], moved so that the box of landmarks is inside of it, and it inside of the source.

        A window larger than the source (of one of several cameras) is centered on it.
        """
        size = np.array(self.size)
        margin = _MARGIN * self.face
        least = high + margin - size / 2
        most = low - margin + size / 2
        center = np.where(least <= most, np.clip(center, least, most), (low + high) / 2)
        free = np.array(self.source) - size
        corner = np.where(free >= 0, np.clip(np.rint(center - size / 2), 0, np.maximum(free, 0)), free // 2)
        return Crop(int(corner[0]), int(corner[1]), *self.size, self.scale)


def face_heights(points: np.ndarray) -> np.ndarray:
    """Distance [T] from the top of the forehead to the chin of landmarks [T,468 or more,2 or more], pixels."""
    distance: np.ndarray = np.linalg.norm(points[:, _FOREHEAD, :2] - points[:, _CHIN, :2], axis=1).astype(np.float64)
    return distance


def few_pixels(face: float, size: tuple[int, int]) -> str | None:
    """A sentence where the source shows the face with few pixels, None otherwise.

    Args:
        face: height of the face, source pixels.
        size: (width, height) of stored frames.
    """
    if face >= DESIRED_FACE:
        return None
    return (
        f"the face is {face:.0f} pixels high in the video, less than {DESIRED_FACE}; frames of {size[0]}x{size[1]} are "
        "stored and not enlarged: film closer or at a higher resolution for a sharper avatar"
    )


def _window_size(faces: np.ndarray, source: tuple[int, int], framing: Framing) -> tuple[int, int]:
    """(width, height) in source pixels, at most the source's, for faces of these heights [T]."""
    if framing == "full":
        return source
    usual = float(np.median(faces))
    nearest = float(np.percentile(faces, 95))
    side = 2 * math.ceil(max(usual / _FACE[framing], nearest / _NEAREST) / 2)
    size = min(side, source[0]), min(side, source[1])
    return source if size[0] * size[1] >= _WHOLE * source[0] * source[1] else size


def _local_line(time: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value [2] at time 0 of the line through `values` [n,2] at `time` [n] (s), with Gaussian weights.

    A line, as a mean would lag behind at the ends of the clip. Its slope is damped where few values determine it.
    """
    weights = np.exp(-0.5 * (time / _SIGMA) ** 2)
    total = weights.sum()
    first = weights @ time
    second = weights @ time**2 + 0.1 * _SIGMA**2
    share = weights * (second - first * time) / (total * second - first**2)
    result: np.ndarray = share @ values
    return result


def _heads(points: np.ndarray) -> np.ndarray:
    """Middle of the heads [T,2]: across, between the ears, which a turn hardly moves; down, halfway to the face's.

    The middle of the face alone would move with each turn, the chin with each word.
    """
    ears = points[:, list(_EARS), :2].mean(1).astype(np.float64)
    face = points[:, [_FOREHEAD, _CHIN], :2].mean(1)
    ears[:, 1] = (ears[:, 1] + face[:, 1]) / 2
    return ears


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    face = points[:, :FACE_COUNT, :2].astype(np.float64)
    return face.min(1), face.max(1)
