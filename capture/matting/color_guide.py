"""Guided filter whose guide is a color image: aligns the edge of a matte with edges of brightness or color.

He, Sun and Tang, "Guided image filtering" (2013), section 3.6, with the models fitted at a smaller size as in He and
Sun, "Fast guided filter" (2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


class ColorGuide:
    """Local linear models of the colors of one image; made once, fitted to any number of mattes."""

    def __init__(self, image: np.ndarray, window: int, edge: float) -> None:
        """
        Args:
            image: [h,w,3] uint8.
            window: odd side of the window in which a model holds, pixels.
            edge: squared color difference, of 0..1, below which an edge is smoothed.
        """
        self._window = (window, window)
        self._image = np.multiply(image, np.float32(1 / 255), dtype=np.float32)
        self._mean = self._blur(self._image)
        red, green, blue = cv2.split(self._image)
        squares = self._blur(cv2.merge([red * red, green * green, blue * blue]))
        products = self._blur(cv2.merge([red * green, red * blue, green * blue]))
        variances = squares - self._mean * self._mean + np.float32(edge)
        turned = cv2.merge([self._mean[..., 0], self._mean[..., 0], self._mean[..., 1]])
        covariances = products - turned * self._mean[..., [1, 2, 2]]
        self._inverse = _inverse(cv2.split(variances), cv2.split(covariances))

    def _blur(self, values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, self._window)

    def fit(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slope [h,w,3] and offset [h,w] that give `values` [h,w] float32 from colors of 0..1 around each pixel."""
        mean = self._blur(values)
        scaled = cv2.multiply(self._image, cv2.merge([values] * 3))
        x, y, z = cv2.split(self._blur(scaled) - self._mean * mean[..., None])
        xx, yy, zz, xy, xz, yz = self._inverse
        slope = cv2.merge([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])
        offset = mean - _sum(cv2.multiply(slope, self._mean))
        return self._blur(slope), self._blur(offset)

    def filter(self, values: np.ndarray, contrast: float) -> np.ndarray:
        """`values` [h,w] of 0..1, filtered, then stretched about one half by `contrast` and clipped to 0..1."""
        slope, offset = self.fit(values)
        found = cv2.add(_sum(cv2.multiply(slope, self._image)), offset)
        return np.clip(contrast * found + (1 - contrast) / 2, 0, 1, dtype=np.float32)


def apply_model(rgb: np.ndarray, slope: np.ndarray, offset: np.ndarray, contrast: float) -> np.ndarray:
    """Matte [H,W] uint8 that a model of `ColorGuide.fit`, of any smaller size, gives for an image [H,W,3] uint8."""
    # Scaled to 0..255 and stretched about one half at the small size; the last sum rounds and saturates.
    slope, offset = contrast * slope, 255 * (contrast * offset + (1 - contrast) / 2)
    full = (rgb.shape[1], rgb.shape[0])
    slope, offset = (cv2.resize(model, full, interpolation=cv2.INTER_LINEAR) for model in (slope, offset))
    return cv2.add(_sum(cv2.multiply(slope, rgb, dtype=cv2.CV_32F)), offset, dtype=cv2.CV_8U)


def _sum(channels: np.ndarray) -> np.ndarray:
    """Sum [h,w] of three channels [h,w,3] float32."""
    return cv2.transform(channels, np.ones((1, 3), np.float32))


def _inverse(diagonal: Sequence[np.ndarray], rest: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Inverses of symmetric matrices with planes `diagonal` (xx, yy, zz) and `rest` (xy, xz, yz), in that order."""
    xx, yy, zz = diagonal
    xy, xz, yz = rest
    first, second, third = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    factor = 1 / (xx * first + xy * second + xz * third)
    planes = (first, xx * zz - xz * xz, xx * yy - xy * xy, second, third, xy * xz - xx * yz)
    return tuple(factor * plane for plane in planes)
