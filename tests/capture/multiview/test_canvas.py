"""The stored rectangles of several cameras."""

from __future__ import annotations

import numpy as np

from capture.multiview.canvas import CanvasPath, choose_canvases, enlargement_warnings
from tests.capture.video.test_crop import clip, travel

TIME = np.arange(90) / 30
SIZES = [(1920, 1080), (1280, 720)]


def two_cameras() -> tuple[list[np.ndarray], list[CanvasPath]]:
    heads = [clip(240.0, travel())[:, :468, :2], clip(150.0, travel(size=SIZES[1]))[:, :468, :2]]
    return heads, choose_canvases(heads, range(90), TIME, SIZES, "head", 1024)


def test_all_cameras_are_stored_at_one_size_and_each_follows_the_head() -> None:
    heads, paths = two_cameras()
    for points, path in zip(heads, paths, strict=True):
        assert path.size == paths[0].window.size
        for step in (0, 25, 60):
            canvas = path.at(step, TIME[step], points[step])
            face = canvas.points(points[step])[[10, 152], :2]
            assert 0.35 < np.ptp(face[:, 1]) / canvas.size[1] < 0.45
            assert 0.3 < face[:, 0].mean() / canvas.size[0] < 0.7


def test_a_camera_whose_images_are_enlarged_is_named() -> None:
    _, paths = two_cameras()
    (sentence,) = enlargement_warnings(paths, ["left", "right"])
    assert sentence.startswith("the images of camera right are enlarged 1.6 times")


def test_a_camera_that_never_sees_the_head_is_stored_whole() -> None:
    heads = [clip(240.0, travel())[:, :468, :2], clip(150.0, travel() + 5000)[:, :468, :2]]
    paths = choose_canvases(heads, range(90), TIME, SIZES, "head", 1024)
    canvas = paths[1].at(3, TIME[3], heads[1][3])
    assert (canvas.x, canvas.y, canvas.width, canvas.height) == (0, -120, 1280, 960)
