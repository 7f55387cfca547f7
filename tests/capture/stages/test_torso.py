"""The motion of the torso in the image: accuracy on a textured one, occlusion, moving windows and the split."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from capture.stages.torso import TorsoFrames, choose_reference, torso_motion

SIZE, FACE = 200, 60.0
CHIN = 90.0


def scene(warp: np.ndarray, hand: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Luma and matte [H,W] of shoulders with a pattern, moved by the affine map `warp` [2,3]; a hand may cover a part.

    The pattern is continuous, so that it can be rendered at any motion.
    """
    columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    points = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(np.vstack([warp, [0, 0, 1]])).T
    x, y = points[..., 0], points[..., 1]
    pattern = 110 + 35 * np.sin(x / 7 + 0.3 * np.sin(y / 9)) + 30 * np.sin(y / 6 + x / 23)
    inside = ((x - 100) / 70) ** 2 + ((y - 210) / 90) ** 2 < 1
    matte = cv2.GaussianBlur(inside.astype(np.float32) * 255, (0, 0), 1).round().astype(np.uint8)
    if hand:
        matte[130:170, 60:90], pattern[130:170, 60:90] = 255, 220
    return pattern.round().astype(np.uint8), matte


def affine(shift: tuple[float, float] = (0, 0), turn: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """An affine map [2,3] about the middle of the torso; `turn` in degrees."""
    warp = cv2.getRotationMatrix2D((100, 150), turn, scale)
    warp[:, 2] += shift
    return warp


def frames_of(warps: list[np.ndarray], hand: int = -1, test: tuple[int, ...] = ()) -> TorsoFrames:
    """A clip whose frames show the torso at `warps`; frame `hand` has a hand in front of it."""
    count = len(warps)
    landmarks = np.zeros((count, 478, 3))
    landmarks[:, 152, 1], landmarks[:, 10, 1] = CHIN, CHIN - FACE
    images = [scene(warp, row == hand) for row, warp in enumerate(warps)]
    is_test = np.isin(np.arange(count), test)
    return TorsoFrames(images.__getitem__, landmarks, np.full((count, 2), 100.0), np.arange(count) / 30, is_test)


def expected(warps: list[np.ndarray]) -> np.ndarray:
    """Motion [T,2] of the first tracked point of a clip, in face heights from the reference."""
    rows, columns = np.nonzero(cv2.dilate((scene(warps[0])[1] > 20).astype(np.uint8), np.ones((9, 9))) > 0)
    below = rows > CHIN + 0.3 * FACE
    center = np.array([columns[below].mean(), rows[below].mean()])
    return np.stack([warp[:, :2] @ center + warp[:, 2] - center for warp in warps]) / FACE


def swaying(count: int) -> list[np.ndarray]:
    """A torso that sways, leans and comes closer; frame 0 is at rest."""
    phase = np.linspace(0, 2, count)
    return [affine((9 * np.sin(3 * p), -5 * np.sin(2 * p)), 4 * np.sin(p), 1 + 0.05 * np.sin(p)) for p in phase]


def test_an_affine_motion_of_a_textured_torso_is_found() -> None:
    warps = swaying(12)
    motion, confidence = torso_motion(frames_of(warps), 0)
    assert np.abs(motion[:, :2] - expected(warps)).max() < 0.003  # 0.2 pixels
    assert confidence.min() > 0.97
    turn = np.degrees(np.arctan2(motion[-1, 1] - motion[-1, 3], 1 + motion[-1, 0] - motion[-1, 2]))
    assert turn == pytest.approx(-4 * np.sin(2), abs=0.3)


def test_a_hand_in_front_of_the_torso_does_not_pull_it_along() -> None:
    warps = swaying(8)
    motion, confidence = torso_motion(frames_of(warps, hand=5), 0)
    assert np.abs(motion[5, :2] - expected(warps)[5]).max() < 0.01
    assert confidence[5] < confidence[4]


def test_a_moving_window_does_not_change_the_motion() -> None:
    still = frames_of(swaying(8))
    shifts = np.array([[0.0, 0.0], [6, 2], [12, 4], [18, 4], [12, 0], [6, -4], [0, -8], [-6, -8]])

    def moved(row: int) -> tuple[np.ndarray, np.ndarray]:
        warp = np.vstack([swaying(8)[row], [0, 0, 1]])
        warp[:2, 2] += shifts[row]
        return scene(warp[:2])

    window = replace(still, images=moved, principal=still.principal + shifts)
    here, there = torso_motion(still, 0)[0], torso_motion(window, 0)[0]
    assert np.abs(here - there).max() < 0.01


def test_a_clip_without_a_torso_has_no_confidence() -> None:
    frames = frames_of(swaying(4))
    landmarks = frames.landmarks.copy()
    landmarks[:, 152, 1] += 100  # the chin is at the lower border of the image
    motion, confidence = torso_motion(replace(frames, landmarks=landmarks), 0)
    assert not motion.any() and not confidence.any()


def test_a_frame_that_shows_something_else_has_little_confidence() -> None:
    frames = frames_of(swaying(6))
    noise = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)

    def images(row: int) -> tuple[np.ndarray, np.ndarray]:
        return (noise, np.full_like(noise, 255)) if row == 3 else frames.images(row)

    motion, confidence = torso_motion(replace(frames, images=images), 0)
    assert confidence[3] < 0.4 and confidence[4] > 0.9
    assert np.abs(motion[4, :2] - expected(swaying(6))[4]).max() < 0.01


def test_held_out_frames_do_not_influence_training_frames() -> None:
    warps = swaying(12)

    def run(held_out: Any) -> tuple[np.ndarray, np.ndarray]:
        frames = frames_of(warps, test=(4, 5, 9))
        images = [held_out if row in (4, 5, 9) else frames.images(row) for row in range(12)]
        return torso_motion(replace(frames, images=images.__getitem__), 0)

    black = np.zeros((SIZE, SIZE), np.uint8)
    (one, sure), (other, unsure) = run(scene(affine((20, 0)))), run((black, black))
    training = [0, 1, 2, 3, 6, 7, 8, 10, 11]
    assert np.array_equal(one[training], other[training]) and np.array_equal(sure[training], unsure[training])


def test_the_reference_is_the_candidate_in_the_median_pose() -> None:
    poses = np.zeros((5, 6))
    poses[:, 1] = [-0.4, 0.0, 0.02, 0.3, 0.5]
    assert choose_reference(poses, np.array([0, 2, 3, 4])) in (2, 3)
    assert choose_reference(poses, np.array([0, 1, 4])) == 1
