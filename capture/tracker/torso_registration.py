"""Image registration of the torso: the affine motion of a textured region between two images, robust to occlusion.

Inverse compositional Gauss-Newton (Baker and Matthews, Lucas-Kanade 20 years on, IJCV 2004) from coarse to fine, with
gain and bias of the brightness and Geman-McClure weights, so that a hand before the torso does not pull it along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Smallest scale of the robust weights, gray levels.
_NOISE = 4.0
#: Damping relative to the mean of the diagonal: parameters that the texture does not show stay at their start.
_DAMPING = 1e-3
#: The region begins this many face heights below the chin, the first where its area reaches _AREA squared face heights.
_BELOW_CHIN = (0.3, 0.2, 0.12)
_AREA = 0.15
#: Gray level behind the matte: the silhouette of the shoulders is a feature too.
_BACKGROUND = 180.0


@dataclass(frozen=True)
class RegistrationOptions:
    """How thorough a registration is."""

    levels: tuple[tuple[int, int], ...] = ((4, 12), (2, 12), (1, 6))
    """shrink factors of the images, coarse to fine, and the limit of iterations at each"""
    converged: float = 0.02
    """pixels of a step below which a level is done"""
    most_pixels: int = 6000
    """maximum number of pixels of a level"""


THOROUGH = RegistrationOptions()


def image_pyramid(image: np.ndarray, options: RegistrationOptions = THOROUGH) -> list[np.ndarray]:
    """Images of the levels of `options`, from coarse to fine, of a gray one [H,W] float32."""
    images = []
    for factor, _ in options.levels:
        size = (max(8, image.shape[1] // factor), max(8, image.shape[0] // factor))
        images.append(image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return images


def matted_pyramid(luma: np.ndarray, matte: np.ndarray) -> list[np.ndarray]:
    """Images float32, one for each level from coarse to fine, of luma [H,W] uint8 over gray by a matte [H,W] uint8."""
    alpha = matte.astype(np.float32) / 255
    return image_pyramid(cv2.GaussianBlur(luma * alpha + _BACKGROUND * (1 - alpha), (0, 0), 1.0))


def torso_region(matte: np.ndarray, chin: float, face: float, margin: int = 9) -> NDArray[np.bool_] | None:
    """Mask [H,W] of the torso and its outline; None if the frame shows too little of it.

    Args:
        matte: [H,W] uint8.
        chin: row of the chin, pixels.
        face: height of the face, pixels.
        margin: diameter by which the matte is widened, pixels.
    """
    rows = np.arange(len(matte))[:, None]
    outlined = cv2.dilate((matte > 20).astype(np.uint8), np.ones((margin, margin), np.uint8)) > 0
    for below in _BELOW_CHIN:
        mask: NDArray[np.bool_] = outlined & (rows > chin + below * face)
        if face >= 8 and mask.sum() >= _AREA * face * face:
            return mask
    return None


@dataclass(frozen=True)
class _Level:
    """The region of the reference at one resolution."""

    points: Array  # [N,2] pixels of this level
    unit: Array  # [N,2] the same from the center of the region, in units of its size
    values: Array  # [N] gray
    gradient: Array  # [N,8] derivative of the gray value by the affine motion (units), gain and bias
    scale: tuple[float, float]  # pixels of this level per pixel of the full image


class TorsoTemplate:
    """A region of a reference image that is found again in other images.

    A warp [2,3] maps pixel indices of the reference (0, 0: center of the first pixel) to those of the other image.
    """

    def __init__(self, pyramid: list[np.ndarray], mask: np.ndarray, options: RegistrationOptions = THOROUGH) -> None:
        """
        Args:
            pyramid: of the reference, from `matted_pyramid` or, with `options`, from `image_pyramid`.
            mask: [H,W] bool, the region.
            options: of the registration.
        """
        self._options = options
        rows, columns = np.nonzero(mask)
        self.center = np.array([columns.mean(), rows.mean()])
        self.size = float(np.sqrt(len(rows)))
        self._levels = [self._level(image, mask) for image in pyramid]

    def _level(self, image: np.ndarray, mask: np.ndarray) -> _Level:
        height, width = image.shape
        inside = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        inside[[0, -1]] = inside[:, [0, -1]] = False
        rows, columns = np.nonzero(inside)
        every = max(1, round(len(rows) / self._options.most_pixels))
        rows = rows[::every]
        columns = columns[::every]
        scale = (width / mask.shape[1], height / mask.shape[0])
        gx = cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=1 / 8)[rows, columns] * scale[0] * self.size
        gy = cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=1 / 8)[rows, columns] * scale[1] * self.size
        full = (np.column_stack([columns, rows]) + 0.5) / scale - 0.5
        unit = (full - self.center) / self.size
        values = image[rows, columns].astype(np.float64)
        x, y = unit.T
        gradient = np.column_stack([gx, gx * x, gx * y, gy, gy * x, gy * y, values, np.ones_like(values)])
        return _Level(full, unit, values, gradient.astype(np.float64), scale)

    def register(self, pyramid: list[np.ndarray], start: Array) -> tuple[Array, float]:
        """Find the region in another image.

        Args:
            pyramid: of the image, from `matted_pyramid`.
            start: [2,3] initial warp.

        Returns:
            The warp [2,3], and the confidence 0..1: the correlation of the region with the image under the warp, times
            the fraction of the region inside the image.
        """
        warp = start.copy()
        for level, image, (_, limit) in zip(self._levels, pyramid, self._options.levels, strict=True):
            if len(level.values) < 30:
                continue
            for _ in range(limit):
                step = self._step(level, image, warp)
                if step is None:
                    return start, 0.0
                warp = self._compose(warp, step)
                if np.abs(step).max() * self.size * level.scale[0] < self._options.converged:
                    break
        return warp, self._confidence(pyramid[-1], warp)

    def _sample(self, level: _Level, image: np.ndarray, warp: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Values [N] of the image at the warped points of a level, and which of them are inside it."""
        where = (level.points @ warp[:, :2].T + warp[:, 2] + 0.5) * level.scale - 0.5
        height, width = image.shape
        inside = (where[:, 0] >= 0) & (where[:, 1] >= 0) & (where[:, 0] <= width - 1) & (where[:, 1] <= height - 1)
        coordinates = where.astype(np.float32)
        values = cv2.remap(
            image, coordinates[:, :1], coordinates[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return values[:, 0].astype(np.float64), inside

    def _step(self, level: _Level, image: np.ndarray, warp: Array) -> Array | None:
        """Affine motion [6] in units of the region that brings the reference closer to the warped image."""
        values, inside = self._sample(level, image, warp)
        if inside.sum() < 0.2 * len(inside):
            return None
        rest = values - level.values
        rest -= _median(rest[inside])
        noise = max(_NOISE, 1.5 * _median(np.abs(rest[inside])))
        weight = inside / np.square(1 + np.square(rest / (2 * noise)))
        scaled = level.gradient * weight[:, None]
        matrix = scaled.T @ level.gradient
        damping = np.zeros(8)
        damping[:6] = _DAMPING * np.trace(matrix[:6, :6]) / 6
        damping[6] = 0.01 * matrix[6, 6] + 1e-6
        solution: Array = np.linalg.solve(matrix + np.diag(damping + 1e-6), scaled.T @ rest)[:6]
        return solution

    def _compose(self, warp: Array, step: Array) -> Array:
        """`warp` after the inverse of the motion `step` [6]; large steps are shortened."""
        step = step / max(1.0, float(np.abs(step).max()) / 0.2)
        move = np.eye(3)
        move[:2, :2] += np.array([[step[1], step[2]], [step[4], step[5]]])
        shift = np.array([step[0], step[3]]) * self.size
        move[:2, 2] = self.center + shift - move[:2, :2] @ self.center
        whole = np.vstack([warp, [0.0, 0.0, 1.0]]) @ np.linalg.inv(move)
        return whole[:2]

    def _confidence(self, image: np.ndarray, warp: Array) -> float:
        level = self._levels[-1]
        values, inside = self._sample(level, image, warp)
        if inside.sum() < 0.2 * len(inside):
            return 0.0
        a = level.values[inside] - level.values[inside].mean()
        b = values[inside] - values[inside].mean()
        correlation = float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-9))
        return max(0.0, correlation) * min(1.0, 2 * float(inside.mean()))


def _median(values: Array) -> float:
    """The median of finite values [N], N > 0, which are reordered: np.median takes twice the time."""
    middle = len(values) // 2
    values.partition(middle)
    upper = float(values[middle])
    return upper if len(values) % 2 else (float(values[:middle].max()) + upper) / 2
