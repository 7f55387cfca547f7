"""Face detection: the decoding on made-up network outputs, the real networks on local clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.faces import detector
from capture.faces.detector import Detection, FaceDetector
from capture.video.decoding import open_video


@pytest.fixture
def face_image(clips: Path) -> np.ndarray:
    """A frame [512,512,3] with one face."""
    return next(iter(open_video(clips / "wojtek_turn_512_16s.mp4"))).rgb


@pytest.mark.parametrize(("model", "count"), [("short_range", 896), ("full_range", 2304)])
def test_there_are_as_many_anchors_as_the_network_has_outputs(model: str, count: int) -> None:
    anchors = detector._anchors(detector._LAYOUTS[model])
    assert anchors.shape == (count, 2)
    assert anchors.min() > 0
    assert anchors.max() < 1


def test_overlapping_detections_become_their_weighted_mean() -> None:
    marks = np.zeros((6, 2), np.float32)
    first = Detection(np.array([0, 0, 100, 100], np.float32), 0.9, marks)
    second = Detection(np.array([10, 0, 110, 100], np.float32), 0.6, marks)
    apart = Detection(np.array([300, 300, 350, 350], np.float32), 0.7, marks)
    merged = detector._merge([second, apart, first])
    assert len(merged) == 2
    np.testing.assert_allclose(merged[0].box, [4, 0, 104, 100], atol=1e-4)
    assert merged[0].score == 0.9
    np.testing.assert_allclose(merged[1].box, apart.box)


@pytest.mark.parametrize(("width", "height", "side"), [(1920, 1080, 960), (1080, 1920, 480), (300, 200, 200)])
def test_tiles_cover_the_image(width: int, height: int, side: int) -> None:
    covered = np.zeros((height, width), bool)
    for x, y in detector._tile_corners(width, height, side):
        assert 0 <= x <= width - side or x == 0
        covered[y : y + side, x : x + side] = True
    assert covered.all()


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
@pytest.mark.parametrize("model", ["auto", "short_range", "full_range"])
def test_a_face_is_found_where_it_is(face_image: np.ndarray, model: str) -> None:
    found = FaceDetector(model).detect(face_image)
    assert len(found) == 1
    x0, y0, x1, y1 = found[0].box
    assert 125 < x0 < 180 < 320 < x1 < 350
    assert 160 < y0 < 200 < 350 < y1 < 390
    right_eye, left_eye = found[0].keypoints[:2]
    assert right_eye[0] < 225 < 250 < left_eye[0]


@pytest.mark.data
@pytest.mark.usefixtures("face_models")
def test_a_small_face_in_a_4k_image_is_found_in_a_tile(face_image: np.ndarray) -> None:
    image = np.full((2160, 3840, 3), 128, np.uint8)
    image[1500:1756, 3000:3256] = cv2.resize(face_image, (256, 256), interpolation=cv2.INTER_AREA)
    found = FaceDetector().detect(image)
    assert len(found) == 1
    center = (found[0].box[:2] + found[0].box[2:]) / 2
    assert np.abs(center - [3122, 1639]).max() < 15
    assert FaceDetector().detect(image, thorough=False) == []


@pytest.mark.usefixtures("face_models")
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_no_face_is_found_in_a_flat_image(shade: int) -> None:
    assert FaceDetector().detect(np.full((480, 640, 3), shade, np.uint8)) == []
