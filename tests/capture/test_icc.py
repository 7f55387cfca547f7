"""Photos of a wide gamut: the colors of their ICC profile become those of sRGB, whatever file contains it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.icc import MatrixProfile, jpeg_components, profile_of
from capture.photos import open_photos
from tests.capture.icc_files import (
    ADOBE,
    ADOBE_CURVE,
    P3,
    SRGB,
    SRGB_CURVE,
    Primaries,
    jpeg_with,
    png_with,
    profile,
    table_curve,
    tiff_with,
    webp_with,
)
from tests.capture.video.test_color import COLORS, TO_P3, linear, srgb

#: Bound on |read - filmed| in levels.
ERROR = 3
#: BT.709 to Adobe RGB (1998) in linear light, both of D65.
TO_ADOBE = np.array([[0.7152, 0.2848, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0412, 0.9588]])


def adobe_codes(light: np.ndarray) -> np.ndarray:
    return 255 * light ** (256 / 563)


#: Name, primaries, their matrix, curve of the profile, codes of linear light.
GAMUTS: list[tuple[str, Primaries, np.ndarray, bytes, Callable[[np.ndarray], np.ndarray]]] = [
    ("Display P3", P3, TO_P3, SRGB_CURVE, srgb),
    ("Display P3 with a table", P3, TO_P3, table_curve(), srgb),
    ("Adobe RGB", ADOBE, TO_ADOBE, ADOBE_CURVE, adobe_codes),
]
WRITERS = {".jpg": jpeg_with, ".png": png_with, ".webp": webp_with, ".tif": tiff_with}


def patches(colors: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(np.rint(colors).astype(np.uint8)[None], 16, 0), 16, 1)


def read(path: Path) -> np.ndarray:
    """Colors [n,3] of the middles of patches of 16 pixels."""
    (frame,) = open_photos([path])
    return frame.rgb[8, 8::16].astype(int)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(("primaries", "matrix", "curve", "code"), [g[1:] for g in GAMUTS], ids=[g[0] for g in GAMUTS])
def test_photos_have_the_colors_that_their_profile_means(
    tmp_path: Path,
    suffix: str,
    primaries: Primaries,
    matrix: np.ndarray,
    curve: bytes,
    code: Callable[[np.ndarray], np.ndarray],
) -> None:
    stored = code(np.clip(linear(COLORS) @ matrix.T, 0, 1))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(WRITERS[suffix](patches(stored), profile(primaries, curve)))
    assert np.abs(stored - COLORS).max() > 2 * ERROR
    assert np.abs(read(path) - COLORS).max() <= ERROR
    assert open_photos([path]).warnings == ()


def test_photos_whose_profile_is_that_of_srgb_keep_every_level(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(png_with(image, profile(SRGB, SRGB_CURVE)))
    (frame,) = open_photos([tmp_path / "a.png"])
    np.testing.assert_array_equal(frame.rgb, image)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_damaged_profile_leaves_the_colors_and_is_reported(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(WRITERS[suffix](patches(COLORS), profile(P3, SRGB_CURVE)[:260]))
    assert np.abs(read(path) - COLORS).max() <= ERROR
    assert open_photos([path]).warnings == (
        f"a{suffix}: its color profile (CMYK or tables) is not applied: its colors are approximate; export it as sRGB",
    )


def test_cut_off_files_have_no_profile() -> None:
    whole = profile(P3, SRGB_CURVE)
    for write in WRITERS.values():
        content = write(patches(COLORS), whole)
        assert profile_of(content) == whole
        for length in (0, 3, 12, 20, 40, 60, 200, 300):
            profile_of(content[:length])
    assert all(MatrixProfile.parse(whole[:length]) is None for length in range(0, len(whole) - 40, 17))
    assert MatrixProfile.parse(profile(P3, SRGB_CURVE, b"GRAY")) is None


def test_profiles_with_changed_bytes_are_read_or_not() -> None:
    rng = np.random.default_rng(5)
    image = patches(COLORS)
    kinds = [profile(P3, SRGB_CURVE), profile(ADOBE, ADOBE_CURVE), profile(P3, b"para\0\0\0\0\0\1\0\0" + bytes(12))]
    for kind in kinds * 60:
        changed = np.frombuffer(kind, np.uint8).copy()
        changed[rng.integers(128, len(changed), 3)] = rng.integers(0, 256, 3)
        found = MatrixProfile.parse(changed.tobytes())
        assert found is None or found.to_srgb(image).shape == image.shape
    content = png_with(image, kinds[0])
    for at in range(37, 60):
        profile_of(content[:at] + b"\xff" + content[at + 1 :])


def test_the_components_of_a_jpeg_are_those_of_its_header() -> None:
    gray = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
    color = jpeg_with(np.zeros((8, 8, 3), np.uint8), profile(P3, SRGB_CURVE))
    cmyk = b"\xff\xd8\xff\xee\0\x04ab\xff\xc2\0\x0b\x08\0\x08\0\x08\x04" + bytes(3)
    assert [jpeg_components(content) for content in (gray, color, cmyk, b"\xff\xd8")] == [1, 3, 4, 0]
