"""The preview image of the performer's camera."""

from __future__ import annotations

import numpy as np

from viewer.session.driver_preview import preview_image


def test_it_is_small_keeps_its_aspect_ratio_and_shows_landmarks() -> None:
    image = np.full((300, 480, 3), 40, np.uint8)
    points = np.array([[100.0, 60.0, 0.0], [-5.0, 10.0, 0.0], [1e4, 1e4, 0.0]])
    small = preview_image(image, points)
    assert small.shape == (150, 240, 3)
    bright = np.argwhere((small > 60).any(-1))
    assert bright.tolist() == [[30, 50]]


def test_without_a_face_it_is_the_frame_only() -> None:
    assert (preview_image(np.full((240, 240, 3), 9, np.uint8), None) == 9).all()
