"""Render settings: passes, sizes, backgrounds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.rendering.background import parse_background, resize_to_cover
from avatar.rendering.settings import RenderSettings, parse_passes


def test_passes_have_a_fixed_order() -> None:
    assert parse_passes("mesh, rgb") == ("rgb", "mesh")


def test_backgrounds_are_colors_images_or_transparent(tmp_path: Path) -> None:
    assert parse_background("#ff0000", 4, 4).color == (1.0, 0.0, 0.0)
    assert parse_background("black", 4, 4).color == (0.0, 0.0, 0.0)
    assert parse_background("transparent", 4, 4).transparent
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((6, 9, 3), (10, 20, 30), np.uint8))
    found = parse_background(str(path), 5, 4).image
    assert found is not None and found.shape == (4, 5, 3)
    assert found[0, 0].tolist() == [30, 20, 10]


def test_an_image_covers_the_frame_and_keeps_its_aspect_ratio_and_center() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert (resize_to_cover(wide, 10, 10) == 255).all()
    assert resize_to_cover(wide, 100, 80).shape == (80, 100, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: parse_passes("rgb,flow"),
            "--passes: 'flow' is not a pass; give some of rgb, alpha, depth, normals, mesh, separated by commas",
        ),
        (lambda: parse_passes("rgb,rgb"), "contains a pass twice; name each once"),
        (
            lambda: parse_background("mauve", 4, 4),
            "--background: 'mauve' is not a color and not an image file; give white, black, gray",
        ),
        (lambda: parse_background(__file__, 4, 4), "cannot be read as an image; give a PNG or JPEG file"),
        (lambda: RenderSettings(5000, 100), "--size: 5000x100 cannot be rendered; give 1 to 4096 pixels a side"),
        (lambda: RenderSettings(64, 64, supersample=5), "--supersample: expected 1 to 4, got 5"),
        (
            lambda: RenderSettings(64, 64, passes=("normals",), rasterizer="gsplat"),
            "normals are rendered by the native rasterizer only; leave --rasterizer gsplat out",
        ),
    ],
)  # fmt: skip
def test_settings_that_are_not_valid_are_refused(make: object, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        make()  # type: ignore[operator]
    assert message in str(caught.value)
