"""Frames of a synthetic person drawn straight from the scene, with true landmarks: no video and no networks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from capture.synthetic import SyntheticOptions, SyntheticScene

WIDTH, HEIGHT = 192, 256


@lru_cache(maxsize=4)
def drawn_frames(drift: float, count: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames that look ahead, spread over a clip.

    Returns: images [n,H,W,3] uint8, landmarks [n,478,3] pixels (z zero), rough mattes [n,H,W] float32, true
    exposure [n] of linear light.
    """
    scene = SyntheticScene(SyntheticOptions(width=WIDTH, height=HEIGHT, frames=48, exposure_drift=drift))
    truth = scene.truth()
    ahead = np.flatnonzero(truth.skull_rotation[:, 2, 2] > np.cos(0.15))
    chosen = ahead[np.linspace(0, len(ahead) - 1, count).round().astype(int)]
    points = np.zeros((count, 478, 3), np.float32)
    points[..., :2] = truth.landmarks[0, chosen]
    images = np.stack([scene.frame(int(number)) for number in chosen])
    return images, points, np.stack([_matte(each) for each in points]), truth.exposure[0, chosen]


def _matte(points: np.ndarray) -> np.ndarray:
    """Generously everything that can be person: around the face, and below it."""
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    margin = 0.35 * (high - low)
    x0, y0 = np.maximum(low - margin, 0).astype(int)
    matte[y0 : int(high[1]), x0 : int(high[0] + margin[0])] = 1
    matte[int(high[1] - margin[1]) :] = 1
    return matte
