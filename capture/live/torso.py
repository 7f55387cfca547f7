"""The performer's torso from frame to frame: registered to one frame of the session, at a low resolution, unmatted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.tracker.torso_registration import RegistrationOptions, TorsoTemplate, image_pyramid, torso_region

Array = NDArray[np.floating]

#: Height of the face in the images that are registered, pixels; that of a face too small to be worth it.
_FACE = 32
_SMALLEST = 40
#: The part of the frame that is searched, face heights from the chin of the reference: left, up, right, down.
_REACH = np.array([-2.2, -0.3, 2.2, 2.6])
#: The point whose motion is reported, face heights below the chin.
_CHEST = 0.6
_FAST = RegistrationOptions(levels=((2, 2), (1, 1)), converged=0.05, most_pixels=600)
#: Confidence below which the next frame starts from the reference instead.
_LOST = 0.5
#: The reference is looked for in these calls; each takes a pass of the matting network.
_ATTEMPTS = (5, 30, 90, 240)
_CHIN = 152
_FOREHEAD = 10


@dataclass(frozen=True)
class TorsoMotion:
    """Motion of the torso in the image from where the reference shows it."""

    right: float  # pixels of the frame, of the chest
    down: float
    turn: float  # radians, clockwise
    confidence: float  # 0..1

    def in_world(self, meters_per_pixel: float) -> NDArray[np.float32]:
        """[3] along +x and +y of the world (meters), about its +z (radians), for a camera that looks along -z."""
        moved = [self.right * meters_per_pixel, -self.down * meters_per_pixel, -self.turn]
        return np.array(moved, np.float32)


class TorsoFollower:
    """Finds the torso of one driver in every frame; the camera stands still."""

    def __init__(self, matting: Callable[[], Any]) -> None:
        """Args: factory of the matting network, which is needed for the reference only."""
        self._matting = matting
        self.reset()

    def reset(self) -> None:
        """Discard the reference: another person is in front of the camera."""
        self._reference: _Reference | None = None
        self._calls = 0

    def __call__(self, rgb: np.ndarray, points: np.ndarray) -> TorsoMotion | None:
        """The motion in a frame; None while no frame has shown a torso.

        Args:
            rgb: [H,W,3] uint8.
            points: [478,3] landmarks of the face, pixels.
        """
        if self._reference is None:
            self._calls += 1
            if self._calls in _ATTEMPTS:
                self._reference = _Reference.of(rgb, points, self._matting)
        return None if self._reference is None else self._reference.find(rgb)


class _Reference:
    """The frame that others are compared with."""

    def __init__(self, view: _View, template: TorsoTemplate, chest: Array) -> None:
        self._view = view
        self._template = template
        self._chest = chest
        self._warp: Array = np.eye(2, 3)

    @staticmethod
    def of(rgb: np.ndarray, points: np.ndarray, matting: Callable[[], Any]) -> _Reference | None:
        """The frame as the reference; None if it does not show enough of a torso."""
        face = float(points[_CHIN, 1] - points[_FOREHEAD, 1])
        (x, y) = points[_CHIN, :2].tolist()
        view = _View.around(x, y, face, rgb.shape[1], rgb.shape[0])
        if view is None:
            return None
        box = points[:468, :2]
        matte = cv2.resize(matting().raw(rgb, np.concatenate([box.min(0), box.max(0)])), rgb.shape[1::-1])
        small = view.shrink(np.round(matte * 255).astype(np.uint8)[:, :, None])
        (chin_x, chin_y) = view.pixel(x, y)
        mask = torso_region(small, chin_y, _FACE, margin=3)
        if mask is None:
            return None
        template = TorsoTemplate(view.pyramid(rgb), mask, _FAST)
        return _Reference(view, template, np.array([chin_x, chin_y + _CHEST * _FACE, 1.0]))

    def find(self, rgb: np.ndarray) -> TorsoMotion:
        """The motion of the torso in a frame of the same size."""
        warp: Array
        warp, confidence = self._template.register(self._view.pyramid(rgb), self._warp)
        if not np.isfinite(warp).all() or not np.isfinite(confidence):
            warp = np.eye(2, 3)
            confidence = 0.0
        self._warp = warp if confidence >= _LOST else np.eye(2, 3)
        right, down = (warp @ self._chest - self._chest[:2]) / self._view.scale
        turn = np.arctan2(warp[1, 0] - warp[0, 1], warp[0, 0] + warp[1, 1])
        return TorsoMotion(float(right), float(down), float(turn), confidence)


@dataclass(frozen=True)
class _View:
    """The part of every frame that is searched, and its resolution."""

    left: int  # pixels of the frame
    top: int
    right: int
    bottom: int
    scale: float  # pixels of the small image per pixel of the frame

    @staticmethod
    def around(x: float, y: float, face: float, width: int, height: int) -> _View | None:
        """The view below a face; None if the face is too small or too low in the frame.

        Args:
            x: of the chin, pixels of the frame.
            y: of the chin, pixels of the frame.
            face: height of the face, pixels.
            width: of the frame, pixels.
            height: of the frame, pixels.
        """
        if face < _SMALLEST:
            return None
        reach = np.round(np.array([x, y, x, y]) + _REACH * face)
        left, top, right, bottom = np.clip(reach, 0, [width, height, width, height]).astype(int).tolist()
        view = _View(left, top, right, bottom, _FACE / face)
        return view if min(view.size) >= 16 else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the small image."""
        return round((self.right - self.left) * self.scale), round((self.bottom - self.top) * self.scale)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Index in the small image of a point of the frame in pixels."""
        return (x - self.left) * self.scale - 0.5, (y - self.top) * self.scale - 0.5

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """The view of the second to last channel of a frame [H,W,C] uint8; of RGB that is green, nearly the luma."""
        channel = max(image.shape[2] - 2, 0)
        every = max(1, int(0.5 / self.scale))  # a mean of a few pixels in each direction is enough
        crop = image[self.top : self.bottom : every, self.left : self.right : every, channel]
        return cv2.resize(np.ascontiguousarray(crop), self.size, interpolation=cv2.INTER_AREA)

    def pyramid(self, rgb: np.ndarray) -> list[np.ndarray]:
        """The view of a frame for the registration."""
        return image_pyramid(cv2.GaussianBlur(self.shrink(rgb).astype(np.float32), (0, 0), 0.7), _FAST)
