"""Model of a phone camera: background, exposure, tone curve, lens and sensor."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.synthetic.noise import NoiseField
from capture.synthetic.renderer import Image

Array = NDArray[np.floating]

_DEFOCUS = 0.017
_MARGIN = 0.12  # of the image size, margin of the background for camera shake


class Phone:
    """Converts linear light to 8-bit frames as a phone records them."""

    def __init__(self, width: int, height: int, noise: float, seed: int) -> None:
        self._width = width
        self._height = height
        self._noise = noise
        self._seed = seed
        self._room = painted_room(width, height, seed)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        radius = np.hypot((columns - width / 2) / width, (rows - height / 2) / height)
        self._vignette = (1 - 0.32 * radius**2)[..., None].astype(np.float32)
        steps = np.arange(4097, dtype=np.float32) / 1024
        self._curve = _filmic(steps)

    def expose(
        self, image: Image, shift: tuple[float, float], gain: float, frame: int, room: Array | None = None
    ) -> NDArray[np.uint8]:
        """One recorded frame [H,W,3] uint8 sRGB.

        Args:
            image: the rendered person, linear light.
            shift: offset (x, y) of the background in pixels.
            gain: exposure, 1 is neutral.
            frame: frame number, the seed of the sensor noise.
            room: the background [H,W,3], linear light; None: a room that `shift` moves.
        """
        room = self._shifted_room(shift) if room is None else room
        linear = (image.rgb + room * (1 - image.alpha[..., None])) * self._vignette
        index = np.clip(linear * np.float32(1024 * gain), 0, 4096)
        display = self._curve[index.astype(np.int32)]
        display = cv2.addWeighted(display, 1.35, cv2.GaussianBlur(display, (0, 0), 1.1), -0.35, 0)
        return self._add_noise(display, frame)

    def _shifted_room(self, shift: tuple[float, float]) -> Array:
        move = np.array(
            [[1, 0, shift[0] - _MARGIN * self._width], [0, 1, shift[1] - _MARGIN * self._height]], np.float32
        )
        size = (self._width, self._height)
        return cv2.warpAffine(self._room, move, size, borderMode=cv2.BORDER_REPLICATE).astype(np.float32, copy=False)

    def _add_noise(self, display: Array, frame: int) -> NDArray[np.uint8]:
        """Add sensor noise and quantize to 8 bits."""
        rng = np.random.default_rng((self._seed, frame))
        luma = rng.standard_normal((self._height, self._width, 1), dtype=np.float32)
        chroma = rng.standard_normal((self._height // 2, self._width // 2, 3), dtype=np.float32)
        blotches = np.asarray(cv2.resize(chroma, (self._width, self._height)), np.float32)
        grain = (luma + 0.5 * blotches) * (self._noise * (1.25 - 0.5 * display))
        return (np.clip(display + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def _filmic(linear: Array) -> Array:
    """A phone's tone curve (after Hable 2010, with the sRGB exponent): contrast in midtones, soft highlights."""

    def shoulder(x: Array) -> Array:
        return ((x * (0.22 * x + 0.03) + 0.002) / (x * (0.22 * x + 0.3) + 0.06)) - 1 / 30

    scaled = shoulder(linear * 2.1) / float(shoulder(np.full(1, 6.5, np.float32))[0])
    return (np.clip(scaled, 0, 1) ** (1 / 2.2)).astype(np.float32)


def painted_room(width: int, height: int, seed: int, blur: float = _DEFOCUS) -> Array:
    """A living room [H',W',3] in linear light, larger than the image by the margin on each side.

    Args:
        width: of the image, pixels.
        height: pixels.
        seed: of its things.
        blur: standard deviation of the defocus, of its width.
    """
    high = round(height * (1 + 2 * _MARGIN))
    wide = round(width * (1 + 2 * _MARGIN))
    y, x = np.mgrid[:high, :wide].astype(np.float32) / np.float32(wide)
    bottom = high / wide
    wall = np.array([0.30, 0.265, 0.225], np.float32) * (1.15 - 0.55 * x - 0.12 * y)[..., None]
    room = wall.copy()

    def box(x0: float, y0: float, x1: float, y1: float, color: tuple[float, float, float], soft: float) -> None:
        edge = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
        weight = np.clip(edge / soft + 0.5, 0, 1)[..., None]
        room[:] = room * (1 - weight) + np.array(color, np.float32) * weight

    box(-0.1, 0.05, 0.20, 0.95, (1.25, 1.30, 1.35), 0.02)
    box(0.085, 0.0, 0.10, 0.95, (0.40, 0.38, 0.35), 0.012)
    box(0.18, -0.1, 0.29, bottom, (0.36, 0.31, 0.25), 0.03)
    box(0.66, 0.34, 1.1, 0.36, (0.10, 0.06, 0.035), 0.012)
    box(0.66, 0.66, 1.1, 0.68, (0.10, 0.06, 0.035), 0.012)
    rng = np.random.default_rng(seed)
    for shelf in (0.34, 0.66):
        left = 0.69
        while left < 1.02:
            thick = rng.uniform(0.018, 0.045)
            tall = rng.uniform(0.12, 0.21)
            color = rng.uniform(0.03, 0.32) * np.array([1.0, rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.9)])
            box(left, shelf - tall, left + thick, shelf, tuple(color), 0.008)
            left += thick + (rng.uniform(0.06, 0.16) if rng.random() < 0.18 else 0.002)
    box(-0.1, bottom - 0.32, 1.2, bottom + 0.1, (0.085, 0.10, 0.115), 0.03)
    blurred = cv2.GaussianBlur(room, (0, 0), wide * blur)
    grain = NoiseField(seed)(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1), 0.012).reshape(high, wide, 1)
    return (blurred * (1 + 0.012 * grain)).astype(np.float32)
