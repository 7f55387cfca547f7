"""The outline of the head: a circle has its radius in every direction, in the units of the landmarks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from capture.stages.outline import head_outline
from capture.tracker.indices import STABLE_LANDMARKS


def measured(radius: int, middle: tuple[int, int], size: float, side: int = 200) -> np.ndarray:
    """The outline of a disk of `radius` pixels; landmarks lie `size` pixels around its middle."""
    matte = np.zeros((side, side), np.uint8)
    cv2.circle(matte, middle, radius, 255, -1)
    landmarks = np.zeros((478, 3))
    angle = np.linspace(0, 2 * np.pi, len(STABLE_LANDMARKS), endpoint=False)
    circle = size * np.stack([np.cos(angle), np.sin(angle)], -1)
    landmarks[STABLE_LANDMARKS, :2] = np.array(middle) + 0.5 + circle
    return head_outline(matte, landmarks)


def test_a_disk_has_its_radius_in_every_direction() -> None:
    assert measured(50, (100, 100), 25.0) == pytest.approx(np.full(12, 2.0), abs=0.05)


def test_the_outline_does_not_depend_on_the_scale_of_the_image() -> None:
    small, large = measured(50, (100, 100), 25.0), measured(200, (400, 400), 100.0, side=800)
    assert small == pytest.approx(large, abs=0.05)
