"""Image metrics of the protocol: PSNR, SSIM, temporal difference, flicker."""

from __future__ import annotations

import math

import numpy as np
import torch

from avatar import ops


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two images [H,W,3] in 0..1, at most 100; over `mask` [H,W] if given.

    An empty mask gives nan.

    Raises:
        ValueError: an image has values that are not finite.
    """
    error = np.square(a.astype(np.float64) - b).mean(-1)
    if mask is not None and not mask.any():
        return float("nan")
    mean = error.mean() if mask is None else error[mask].mean()
    if not np.isfinite(mean):
        raise ValueError("psnr: the images have values that are not finite")
    return float(min(100.0, -10 * np.log10(max(mean, 1e-12))))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity (11x11 Gaussian window, sigma 1.5; Wang et al. 2004) of two images [H,W,3] in 0..1."""
    first = torch.from_numpy(np.ascontiguousarray(a, np.float32))[None]
    second = torch.from_numpy(np.ascontiguousarray(b, np.float32))[None]
    return float(ops.ssim(first, second)[0])


class TemporalDifference:
    """PSNR of the differences of consecutive frames: how well changes from frame to frame are reproduced."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._values: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add the next frame [H,W,3] in 0..1 and its truth."""
        residual = predicted.astype(np.float32) - truth
        if self._last is not None:
            square = float(np.square(residual - self._last).mean())
            self._values.append(-10 * math.log10(max(square, 1e-10)))
        self._last = residual

    @property
    def value(self) -> float:
        """Mean over all pairs of frames, dB; nan before the second frame."""
        return float(np.mean(self._values)) if self._values else float("nan")


class Flicker:
    """Temporal flicker of consecutive frames: root mean square of the second difference of the residual, x 255."""

    def __init__(self) -> None:
        self._last: list[np.ndarray] = []
        self._squares: list[float] = []

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Add the next frame [H,W,3] in 0..1 and its truth."""
        self._last = [*self._last[-2:], predicted.astype(np.float32) - truth]
        if len(self._last) == 3:
            a, b, c = self._last
            self._squares.append(float(np.square(a - 2 * b + c).mean()))

    @property
    def value(self) -> float:
        """Flicker of all frames; nan before the third frame."""
        return float(255 * np.sqrt(np.mean(self._squares))) if self._squares else float("nan")
