"""What the coach reads in frames of a drawn person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from avatar.driving.live.samples import Sample
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from capture.coach.face_state import FaceState
from capture.coach.measures import measured_expression
from capture.coach.observer import Observer
from capture.options import FaceModels
from capture.tracker.indices import LEFT_CORNER, RIGHT_CORNER
from tests.capture.drawn import HEIGHT, WIDTH, drawn_frames


def detector(*boxes: Sequence[float]) -> FaceModels:
    """Networks whose detector finds faces in these boxes."""
    faces = [SimpleNamespace(box=np.array(box), height=box[3] - box[1]) for box in boxes]
    return FaceModels(detector=lambda: SimpleNamespace(detect=lambda rgb, thorough: faces))


def sample(yaw: float = 0.0, pitch: float = 0.0, gaze: float = 0.0, across: float = 0.0, **weights: float) -> Sample:
    """A face half a meter away; `yaw`, `pitch` and `gaze` in degrees, `across` in meters."""
    joints = np.zeros((5, 3), np.float32)
    turn = axis_angle_to_matrix(torch.tensor([0, np.radians(yaw), 0.0], dtype=torch.float32))
    nod = axis_angle_to_matrix(torch.tensor([-np.radians(pitch), 0.0, 0.0], dtype=torch.float32))
    joints[ROOT] = matrix_to_axis_angle(turn @ nod).numpy()
    joints[[LEFT_EYE, RIGHT_EYE], 1] = np.radians(gaze)
    values = np.array([weights.get(name, 0.0) for name in ARKIT_52], np.float32)
    return Sample(0.0, ARKIT_52, "arkit52", values, joints, np.array([across, 0, -0.5], np.float32), 1.0)


def state(
    image: np.ndarray | None = None, tracked: Sample | None = None, models: FaceModels | None = None
) -> FaceState:
    """What a frame of the drawn person shows."""
    images, points, _, _ = drawn_frames(0.0)
    image = images[0] if image is None else image
    return Observer(models or detector((0, 0, WIDTH, HEIGHT)))(image, 1.0, points[0], tracked)


def test_a_frame_without_a_face_is_not_found() -> None:
    observer = Observer(detector())
    assert not observer(drawn_frames(0.0)[0][0], 1.0, None, None).found


def test_a_face_that_the_tracker_lost_is_not_found() -> None:
    assert not state(tracked=replace(sample(), confidence=0.0)).found


def test_before_the_person_is_known_there_are_no_expressions() -> None:
    found = state()
    assert found.found and not found.measured


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-30, 0), (0, 12), (0, -15)])
def test_head_angles_are_to_the_persons_left_and_up(yaw: float, pitch: float) -> None:
    found = state(tracked=sample(yaw=yaw, pitch=pitch))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, 0), abs=0.1)


def test_head_angles_are_relative_to_the_view_of_the_camera() -> None:
    across = 0.5 * np.tan(np.radians(10))
    assert state(tracked=sample(across=across)).yaw == pytest.approx(10, abs=0.1)


def test_the_gaze_is_that_of_the_sample() -> None:
    assert state(tracked=sample(gaze=15)).gaze == pytest.approx((15, 0), abs=0.1)


def test_expressions_are_measured_on_the_landmarks() -> None:
    found = state(tracked=sample(jawOpen=1.0))
    assert found.expression["jawOpen"] < 0.1 and found.expression == measured_expression(drawn_frames(0.0)[1][0])


def test_a_turned_face_is_not_smaller() -> None:
    points = drawn_frames(0.0)[1][0].copy()
    width = points[LEFT_CORNER] - points[RIGHT_CORNER]
    points[LEFT_CORNER] = points[RIGHT_CORNER] + [0.6 * width[0], width[1], 0.8 * width[0]]
    turned = Observer(detector())(drawn_frames(0.0)[0][0], 1.0, points, None)
    assert turned.eye_pixels == pytest.approx(state().eye_pixels, rel=0.01)


def test_the_box_is_in_fractions_of_the_frame() -> None:
    left, top, right, bottom = state().box
    assert 0 < left < right < 1 and 0 < top < bottom < 1


def test_a_darker_frame_has_a_darker_face() -> None:
    image = drawn_frames(0.0)[0][0]
    assert state(image // 4).brightness == pytest.approx(state(image).brightness / 4, rel=0.05)


def test_a_blurred_frame_is_less_sharp() -> None:
    import cv2

    image: Any = drawn_frames(0.0)[0][0]
    assert state(cv2.GaussianBlur(image, (0, 0), 3)).blur > state(image).blur + 0.05


@pytest.mark.parametrize(("height", "faces"), [(60, 2), (10, 1)])
def test_another_person_counts_unless_far_behind(height: int, faces: int) -> None:
    assert state(models=detector((0, 0, WIDTH, HEIGHT), (-500, 0, -400, height))).faces == faces
