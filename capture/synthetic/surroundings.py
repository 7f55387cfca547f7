"""The room around a person: what is behind them in the frames of a camera that walks around."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.view import View

Array = NDArray[np.floating]

_RADIUS = 2.2  # meters, of the round room about the person
_LOWEST = -1.6  # meters, of the wall's lower edge below the person


class Surroundings:
    """A round room with a painted wall, seen from inside of it."""

    def __init__(self, walls: list[Array], center: Array) -> None:
        """
        Args:
            walls: images [h,w,3] of one size, linear light, side by side around the room; a few.
            center: [3] meters, world, on the room's axis.
        """
        self._panorama = np.concatenate(walls, 1)
        self._center = center

    def seen_from(self, view: View) -> Array:
        """The wall [H,W,3] in linear light behind everything in the image of a camera."""
        columns, rows = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
        pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
        rays = pixels @ np.linalg.inv(view.K.astype(np.float64)).T @ view.world_to_cam[:3, :3].astype(np.float64)
        start = view.eye - self._center
        # The ray meets the cylinder where its distance from the vertical axis is the radius.
        square = rays[..., 0] ** 2 + rays[..., 2] ** 2
        along = rays[..., 0] * start[0] + rays[..., 2] * start[2]
        inside = _RADIUS**2 - start[0] ** 2 - start[2] ** 2
        depth = (np.sqrt(along**2 + square * inside) - along) / square
        hit = start + rays * depth[..., None]
        high, wide = self._panorama.shape[:2]
        around = (np.arctan2(hit[..., 0], hit[..., 2]) / (2 * np.pi)) % 1 * wide
        meter = wide / (2 * np.pi * _RADIUS)
        down = high - (hit[..., 1] - _LOWEST) * meter
        seen: Array = cv2.remap(
            self._panorama,
            around.astype(np.float32),
            np.clip(down, 0, high - 1).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        ).astype(np.float32)
        return seen
