"""What pictures may be asked for: passes, sizes, backgrounds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.rendering.backdrop import covering, parse_backdrop
from avatar.rendering.settings import Look, parse_passes


def test_passes_come_in_one_order_whatever_was_typed() -> None:
    assert parse_passes("mesh, rgb") == ("rgb", "mesh")


def test_backgrounds_are_colors_pictures_or_nothing(tmp_path: Path) -> None:
    assert parse_backdrop("#ff0000", 4, 4).color == (1.0, 0.0, 0.0)
    assert parse_backdrop("black", 4, 4).color == (0.0, 0.0, 0.0)
    assert parse_backdrop("transparent", 4, 4).transparent
    picture = tmp_path / "wall.png"
    cv2.imwrite(str(picture), np.full((6, 9, 3), (10, 20, 30), np.uint8))
    found = parse_backdrop(str(picture), 5, 4).picture
    assert found is not None and found.shape == (4, 5, 3)
    assert found[0, 0].tolist() == [30, 20, 10]


def test_a_picture_covers_and_keeps_its_shape_and_middle() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert (covering(wide, 10, 10) == 255).all()
    assert covering(wide, 100, 80).shape == (80, 100, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: parse_passes("rgb,flow"), "--passes: 'flow' is none; give some of rgb, alpha, depth, normals, mesh"),
        (lambda: parse_passes("rgb,rgb"), "names a pass twice; name each once"),
        (lambda: parse_backdrop("mauve", 4, 4), "--background: 'mauve' is no color and no picture; give white, black"),
        (lambda: parse_backdrop(__file__, 4, 4), "not a picture that can be read; give a PNG or JPEG file"),
        (lambda: Look(5000, 100), "--size: 5000x100 cannot be drawn; give 1 to 4096 pixels a side"),
        (lambda: Look(64, 64, supersample=5), "--supersample: expected 1 to 4, got 5"),
        (lambda: Look(64, 64, passes=("normals",), rasterizer="gsplat"), "normals are drawn by our own rasterizer"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(make: object, sentence: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        make()  # type: ignore[operator]
    assert sentence in str(caught.value)
