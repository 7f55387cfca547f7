"""Colors of the person at the edge of the matte: the background that shines through is taken out."""

from __future__ import annotations

import cv2
import numpy as np

from avatar.data.foreground import take_foreground_colors

PERSON, BACKGROUND = np.array([160, 90, 60]), np.array([30, 200, 230])


def mixed(size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A frame [H,W,3] with a soft disk of one color before another, and its matte [H,W]."""
    disk = cv2.circle(np.zeros((size, size), np.float32), (size // 2, size // 2), size // 3, 1.0, -1)
    matte = np.rint(255 * cv2.GaussianBlur(disk, (0, 0), 2)).astype(np.uint8)
    share = matte[..., None] / 255
    return np.rint(share * PERSON + (1 - share) * BACKGROUND).astype(np.uint8), matte


def taken(frame: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A copy of a frame [H,W,3] with the person's colors at the edge."""
    frames = frame[None].copy()
    take_foreground_colors(frames, matte[None])
    return frames[0]


def test_the_edge_gets_the_colors_of_the_person() -> None:
    frame, matte = mixed()
    found = taken(frame, matte)
    edge = (matte > 60) & (matte < 255)
    before, after = (np.abs(image[edge].astype(float) - PERSON).mean() for image in (frame, found))
    assert before > 25 and after < 0.25 * before


def test_pixels_of_one_side_keep_their_color() -> None:
    frame, matte = mixed()
    frame = frame ^ np.random.default_rng(0).integers(0, 32, frame.shape, dtype=np.uint8)
    found = taken(frame, matte)
    sure = (matte == 0) | (matte == 255)
    assert np.array_equal(found[sure], frame[sure])


def test_the_pixel_is_still_the_mixture_of_two_colors() -> None:
    frame, matte = mixed()
    found = taken(frame, matte)
    share = matte[..., None] / 255
    background = frame - share * found  # (1 - share) times a color of 0..255, up to rounding
    assert background.min() > -1 and (background <= 255 * (1 - share) + 1).all()


def test_no_frames_and_mattes_of_one_side_alone_are_left_alone() -> None:
    none = np.zeros((0, 8, 8, 3), np.uint8)
    take_foreground_colors(none, none[..., 0])
    frame = np.full((8, 8, 3), 70, np.uint8)
    for value in (0, 255):
        assert np.array_equal(taken(frame, np.full((8, 8), value, np.uint8)), frame)
