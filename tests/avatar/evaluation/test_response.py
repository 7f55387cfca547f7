"""The response to a driven blink and jaw, with a locator that sees the mesh itself, and the crop of eyes and mouth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.data.image_regions import FACE_SIDE, LEFT_EYE_RING, LIP_RING, RIGHT_EYE_RING, inner_face
from avatar.evaluation.landmarks import Landmarker
from avatar.evaluation.protocol import evaluate
from avatar.evaluation.response import SIZE, WEIGHTS, Response, measure_response
from avatar.model.avatar import Avatar


def mesh_itself(image: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The landmarks at which the search starts are those of the mesh."""
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    assert start.shape == (478, 3) and (start[:, :2] > 0).all() and (start[:, :2] < SIZE).all()
    return start


def test_the_mesh_closes_its_eyes_and_opens_its_mouth_as_far_as_the_soft_clamp_lets_it(tiny_avatar: Avatar) -> None:
    response = measure_response(tiny_avatar, Landmarker(mesh_itself))
    assert response is not None
    assert response.eye_openness[0] == 1 and response.mouth_opening[0] == 0
    assert all(np.diff(response.eye_openness) <= 0) and all(np.diff(response.mouth_opening) > 0)
    assert response.eye_openness[-2] < 0.25 and response.eye_openness[-1] < 0.01
    assert response.mouth_asked[0] == 0 and response.mouth_asked[-1] == pytest.approx(1)
    assert response.mouth_opening[-1] < 1.02


def test_a_mouth_that_stays_shut_is_off_by_the_whole_opening(tiny_avatar: Avatar) -> None:
    first: list[np.ndarray] = []

    def frozen(image: np.ndarray, start: np.ndarray) -> np.ndarray:
        first.append(start)
        return first[0]

    response = measure_response(tiny_avatar, Landmarker(frozen))
    assert response is not None
    assert response.jaw_error == pytest.approx(1) and response.mouth_opening == (0,) * len(WEIGHTS)
    assert response.eye_openness == (1,) * len(WEIGHTS)


def test_lids_that_overlap_or_slide_sideways_are_closed(tiny_avatar: Avatar) -> None:
    def closed(image: np.ndarray, start: np.ndarray) -> np.ndarray:
        frames.append(start)
        face = start.copy()
        if len(frames) == len(WEIGHTS):
            corners = face[263, :2] - face[33, :2]
            for high, low in ((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380)):
                face[low, :2] = face[high, :2] + 0.2 * corners - 0.01 * np.array([-corners[1], corners[0]])
        return face

    frames: list[np.ndarray] = []
    response = measure_response(tiny_avatar, Landmarker(closed))
    assert response is not None and response.eye_openness[-1] == 0


def test_a_face_that_is_lost_gives_no_response(tiny_avatar: Avatar) -> None:
    assert measure_response(tiny_avatar, Landmarker(lambda image, start: None)) is None
    assert measure_response(tiny_avatar, Landmarker(None, "no models")) is None


def test_the_sentence_names_the_openings_in_percent() -> None:
    response = Response((1, 0.8, 0.5, 0.2, 0.07), (0, 0.2, 0.5, 0.7, 0.9), (0, 0.25, 0.5, 0.75, 1))
    assert response.jaw_error == pytest.approx(0.1)
    assert "open to 7 % of their opening at rest; the mouth opens to 90 %" in response.to_text()
    assert "at most 10 % from what was asked for" in response.to_text()


def test_the_report_has_the_response(tiny: Capture, tiny_avatar: Avatar) -> None:
    report = evaluate(tiny_avatar, tiny, size=32, landmarker=Landmarker(lambda image, start: start))
    stored = json.loads(report.to_json())["response"]
    assert stored["weights"] == list(WEIGHTS) and len(stored["eye_openness"]) == len(WEIGHTS)
    assert "Driven from the front: at a full blink" in report.to_markdown()
    without = evaluate(tiny_avatar, tiny, size=32)
    assert without.metadata.response is None and "Driven from the front" not in without.to_markdown()


def test_the_crop_of_eyes_and_mouth_is_centered_and_has_the_scale_of_their_box() -> None:
    landmarks = np.full((478, 3), 60.0)
    landmarks[list(LIP_RING), 1] = 90  # box 60 pixels wide, 40 high, its center at (70, 70)
    landmarks[list(RIGHT_EYE_RING), :2] = (40, 50)
    landmarks[list(LEFT_EYE_RING), :2] = (100, 50)
    image = np.zeros((160, 160, 3), np.float32)
    image[65:75, 65:75] = 1
    crop = inner_face(image, landmarks)
    rows, cols = (np.flatnonzero(crop[..., 0].max(axis) > 0.5) for axis in (1, 0))
    assert crop.shape == (FACE_SIDE, FACE_SIDE, 3)
    for found in (rows, cols):
        assert (found[0] + found[-1] + 1) / 2 == pytest.approx(FACE_SIDE / 2, abs=0.6)
        assert len(found) == pytest.approx(10 * FACE_SIDE / 72, abs=1.5)


def test_the_crop_does_not_depend_on_the_size_of_the_image() -> None:
    landmarks = np.random.default_rng(0).random((478, 3)) * 40 + 20
    row, col = np.mgrid[:80, :80] + 0.5
    wave = (0.5 + 0.4 * np.sin(row / 9) * np.cos(col / 7))[..., None].repeat(3, 2).astype(np.float32)
    row, col = (np.mgrid[:160, :160] + 0.5) / 2
    large = (0.5 + 0.4 * np.sin(row / 9) * np.cos(col / 7))[..., None].repeat(3, 2).astype(np.float32)
    assert np.abs(inner_face(wave, landmarks) - inner_face(large, landmarks * 2)).max() < 0.01
