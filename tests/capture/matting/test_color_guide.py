"""The color guide: its local models against least squares, and edges that only the color shows."""

from __future__ import annotations

import cv2
import numpy as np

from capture.matting.network import ColorGuide, apply_model

EDGE = 1e-3


def test_a_slope_is_the_mean_of_the_least_squares_fits_of_the_windows_around() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (15, 15, 3), dtype=np.uint8)
    values = rng.random((15, 15), dtype=np.float32)
    guide = ColorGuide(image, 5, EDGE)
    slope, _ = guide.fit(values)
    slopes = np.zeros((15, 15, 3))
    for y in range(2, 13):
        for x in range(2, 13):
            colors = image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) / 255
            around = values[y - 2 : y + 3, x - 2 : x + 3].ravel()
            centered = colors - colors.mean(0)
            covariance = centered.T @ centered / 25 + EDGE * np.eye(3)
            slopes[y, x] = np.linalg.solve(covariance, centered.T @ (around - around.mean()) / 25)
    assert np.abs(slope[7, 7] - slopes[5:10, 5:10].mean((0, 1))).max() < 1e-3


def test_an_edge_between_colors_of_equal_brightness_is_found() -> None:
    truth = np.zeros((64, 64), np.float32)
    truth[:, 32:] = 1
    image = np.empty((64, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = (140, 100, 100), (100, 118, 115)
    assert np.ptp(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) <= 2
    rough = cv2.GaussianBlur(np.roll(truth, 2, 1), (0, 0), 2)
    guide = ColorGuide(image, 9, 3e-4)
    found = apply_model(image, *guide.fit(guide.filter(rough, 1.5)), 1.5) / 255
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(found - truth)[inner].mean() < 0.35 * np.abs(rough - truth)[inner].mean()


def test_a_constant_matte_stays_what_it_is() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    guide = ColorGuide(image, 5, EDGE)
    for value in (0.0, 0.5, 1.0):
        filtered = guide.filter(np.full((20, 30), value, np.float32), 1.5)
        assert np.abs(filtered - value).max() < 1e-4
        full = cv2.resize(image, (60, 40))
        assert np.abs(apply_model(full, *guide.fit(filtered), 1.5) - 255 * value).max() <= 1
