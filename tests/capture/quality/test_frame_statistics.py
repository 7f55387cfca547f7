import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.quality.assessment import check_photographed
from capture.quality.frame_statistics import flat_share, measure_frame
from tests.capture.drawn import HEIGHT, WIDTH, drawn_frames


def line_drawing(shape: tuple[int, ...], points: np.ndarray) -> np.ndarray:
    """Every ninth landmark of [478,3] as a dot on white paper."""
    image = np.full(shape, 255, np.uint8)
    columns, rows = np.rint(points[::9, :2]).astype(int).T
    image[rows.clip(0, HEIGHT - 1), columns.clip(0, WIDTH - 1)] = 0
    return image


def test_faces_of_one_brightness_are_no_photos() -> None:
    images, points, mattes, _ = drawn_frames(0.0, 3)
    lit = [measure_frame(*frame) for frame in zip(images, points, mattes, strict=True)]
    drawings = [line_drawing(images.shape[1:], each) for each in points]
    flat = [measure_frame(*frame) for frame in zip(drawings, points, mattes, strict=True)]
    assert max(flat_share(each.face) for each in lit) < 0.15
    assert min(flat_share(each.face) for each in flat) > 0.4
    assert flat_share(np.full((468, 3), 0.5, np.float32)) == 1
    check_photographed([*lit, flat[0]], "clip.mp4")
    check_photographed([], "clip.mp4")
    with pytest.raises(HeadsplatError, match=r"clip\.mp4: \d+% of the face has the same brightness, as in a drawing"):
        check_photographed([lit[0], *flat], "clip.mp4")
