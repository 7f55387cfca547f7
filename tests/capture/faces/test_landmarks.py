"""Landmarks: regions and crops without a network, the real network on local clips."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from capture.faces import landmarks
from capture.faces.detector import Detection, FaceDetector
from capture.faces.landmarks import LandmarkTracker, Roi
from capture.tracker.indices import inter_ocular
from capture.video.decoding import open_video


@pytest.fixture
def face(clips: Path) -> tuple[np.ndarray, Roi]:
    """A frame [512,512,3] with one face, and the region of that face."""
    image = next(iter(open_video(clips / "wojtek_turn_512_16s.mp4"))).rgb
    found = LandmarkTracker().locate(image, Roi.from_detection(FaceDetector().detect(image)[0]))
    return image, Roi.from_landmarks(found.points)


def mean_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean image distance of two sets of landmarks as a fraction of the inter-ocular distance."""
    return float(np.linalg.norm((first - second)[:, :2], axis=1).mean() / inter_ocular(first))


def test_the_region_matrix_maps_the_crop_middle_and_corners() -> None:
    matrix = Roi((100.0, 50.0), 40.0, math.pi / 2).matrix(20)
    np.testing.assert_allclose(matrix @ [10, 10, 1], [100, 50], atol=1e-9)
    # Turned clockwise on screen: the crop's upper left corner lies at the upper right of the image's square.
    np.testing.assert_allclose(matrix @ [0, 0, 1], [120, 30], atol=1e-9)
    np.testing.assert_allclose(matrix @ [20, 0, 1], [120, 70], atol=1e-9)


def test_the_region_of_a_detection_is_level_with_its_eyes() -> None:
    marks = np.zeros((6, 2), np.float32)
    marks[1] = (10, 10)
    roi = Roi.from_detection(Detection(np.array([20, 40, 60, 100], np.float32), 1.0, marks))
    assert roi.center == (40, 70)
    assert roi.size == 90
    assert roi.angle == pytest.approx(math.pi / 4)


def test_features_are_sampled_bilinearly_and_zero_outside() -> None:
    rows, columns = np.mgrid[0:48, 0:48].astype(np.float32) + 0.5
    features = np.stack([columns, rows], axis=-1)
    inside = np.array([[0.5, 0, 20.25], [0, 0.5, 10.75]], np.float32)
    expected = landmarks._CELLS @ inside[:, :2].T + inside[:, 2]
    np.testing.assert_allclose(landmarks._sample(features, inside).reshape(-1, 2), expected, atol=1e-4)
    outside = np.array([[1, 0, 60], [0, 1, 0]], np.float32)
    assert not landmarks._sample(features, outside).any()


def test_jitters_come_in_opposite_pairs_of_the_stated_size() -> None:
    pattern = landmarks._jitter_pattern(8, np.random.default_rng(0))
    np.testing.assert_allclose(pattern.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(pattern.std(axis=0)[:3], landmarks._JITTER, rtol=1e-6)


def test_one_outlying_pass_hardly_moves_the_mean() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(0, 0.1, (8, 478, 3))
    points[3] += 20
    assert np.abs(landmarks._robust_mean(points)).max() < 0.5


@pytest.mark.parametrize("roi", [Roi((5.0, 5.0), 40.0, 0.3), Roi((-900.0, 40.0), 60.0, 0.0)], ids=["edge", "outside"])
@pytest.mark.usefixtures("face_models")
def test_a_region_beyond_the_image_gives_finite_points_and_no_presence(roi: Roi) -> None:
    found = LandmarkTracker().locate(np.full((64, 64, 3), 90, np.uint8), roi)
    assert np.isfinite(found.points).all()
    assert found.presence < 0.5


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
def test_a_face_is_present_and_its_points_lie_where_they_should(face: tuple[np.ndarray, Roi]) -> None:
    image, roi = face
    found = LandmarkTracker().locate(image, roi)
    points = found.points
    assert points.shape == (478, 3)
    assert points.dtype == np.float32
    assert found.presence > 0.95
    right_eye, left_eye, nose, chin = points[33], points[263], points[1], points[152]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < chin[1]
    assert nose[2] < chin[2]
    for iris, lids in ((468, (159, 145)), (473, (386, 374))):
        assert points[lids[0], 1] < points[iris, 1] < points[lids[1], 1]


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
@pytest.mark.parametrize("scale", [2, 5])
def test_a_larger_image_gives_the_same_points(face: tuple[np.ndarray, Roi], scale: int) -> None:
    image, roi = face
    large = image.repeat(scale, axis=0).repeat(scale, axis=1)
    tracker = LandmarkTracker()
    points = tracker.locate(image, roi).points
    found = tracker.locate(large, Roi((roi.center[0] * scale, roi.center[1] * scale), roi.size * scale, roi.angle))
    # 0.5 % of the inter-ocular distance: nearest-neighbor enlarging is not quite the same crop.
    assert mean_distance(points, found.points / scale) < 0.005


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
def test_averaging_is_repeatable_and_removes_most_of_the_noise(face: tuple[np.ndarray, Roi]) -> None:
    image, roi = face
    tracker = LandmarkTracker()
    truth = tracker.locate_averaged(image, roi, 40, np.random.default_rng(9))[0]
    points, spread, presence = tracker.locate_averaged(image, roi)
    np.testing.assert_array_equal(points, tracker.locate_averaged(image, roi)[0])
    assert spread.shape == (478,)
    assert (spread > 0).all()
    assert presence > 0.95
    one_pass = mean_distance(truth, tracker.locate(image, roi).points)
    assert mean_distance(truth, points) < 0.7 * one_pass
