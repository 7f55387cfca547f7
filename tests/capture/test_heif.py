"""HEIC and AVIF photos: single images, grids, transformations, EXIF data, damage, and what cannot be decoded."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.heif import read_heif
from capture.photos import open_photos
from capture.tracker.camera import FILM_DIAGONAL
from capture.video.colors import P3_TO_BT709, hdr_to_srgb, wide_to_srgb
from tests.capture import icc_files
from tests.capture.heif_files import AV1, HEVC, HEVC_10, Codec, aperture, colors, heif_file, mirrored, profile, rotation
from tests.support.import_graph import ROOT

#: Levels by which coding changes a image of smooth colors.
TOLERANCE = 6


def smooth_image(width: int, height: int) -> np.ndarray:
    """Colors that tell all places and directions apart."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 170 * x / width, 40 + 170 * y / height, np.full((height, width), 128)], -1).astype(np.uint8)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("codec", [HEVC, AV1])
@pytest.mark.parametrize("tile", [None, 128])
def test_a_picture_is_read_whole_or_in_tiles(tmp_path: Path, codec: Codec, tile: int | None) -> None:
    image = smooth_image(300, 200)
    (tmp_path / "a.heic").write_bytes(heif_file(image, codec, tile))
    assert_near(read_heif(tmp_path / "a.heic"), image)


@pytest.mark.parametrize("tile", [None, 128])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_picture_is_upright(tmp_path: Path, tile: int | None, quarters: int) -> None:
    image = smooth_image(256, 128)
    (tmp_path / "a.heic").write_bytes(heif_file(image, tile=tile, properties=(rotation(quarters),)))
    assert_near(read_heif(tmp_path / "a.heic"), np.rot90(image, quarters))


def test_mirrors_and_apertures_apply_in_their_order(tmp_path: Path) -> None:
    image = smooth_image(256, 128)
    (tmp_path / "a.heic").write_bytes(heif_file(image, properties=(aperture(200, 100), rotation(1), mirrored(1))))
    assert_near(read_heif(tmp_path / "a.heic"), np.rot90(image[14:114, 28:228])[:, ::-1])
    (tmp_path / "b.heic").write_bytes(heif_file(image, properties=(mirrored(0),)))
    assert_near(read_heif(tmp_path / "b.heic"), image[::-1])


@pytest.mark.parametrize("level", [30, 128, 220])
def test_ten_bits_are_not_darker(tmp_path: Path, level: int) -> None:
    (tmp_path / "a.heic").write_bytes(heif_file(np.full((64, 64, 3), level, np.uint8), HEVC_10))
    assert abs(float(read_heif(tmp_path / "a.heic").mean()) - level) <= 1


@pytest.mark.parametrize("tile", [None, 128])
def test_the_stated_matrix_is_applied(tmp_path: Path, tile: int | None) -> None:
    red = np.full((128, 128, 3), (200, 60, 60), np.uint8)
    luma = 0.299 * 200 + 0.701 * 60  # the difference of red to it is stored, in the matrix's own units
    for matrix, expected in ((6, 200.0), (1, luma + (200 - luma) / (1 - 0.299) * (1 - 0.2126))):
        (tmp_path / "a.heic").write_bytes(heif_file(red, tile=tile, properties=(colors(1, 13, matrix, False),)))
        assert read_heif(tmp_path / "a.heic")[..., 0].mean() == pytest.approx(expected, abs=3)


def test_a_matrix_that_is_not_converted_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image = np.full((64, 64, 3), 128, np.uint8)
    (tmp_path / "a.heic").write_bytes(heif_file(image, properties=(colors(1, 13, 8, False),)))
    with pytest.raises(HeadsplatError, match=r"\(its colors are stored as YCgCo or ICtCp\); export it as JPEG"):
        read_heif(tmp_path / "a.heic")


P3_PROFILE = profile(icc_files.profile(icc_files.P3, icc_files.SRGB_CURVE))
SRGB_PROFILE = profile(icc_files.profile(icc_files.SRGB, icc_files.SRGB_CURVE))


@pytest.mark.parametrize(
    "stated",
    [
        (colors(12, 13, 6, False),),
        (P3_PROFILE,),
        (colors(2, 2, 6, False), P3_PROFILE),
        (P3_PROFILE, colors(12, 13, 6, False)),
        (profile(bytes(200)), colors(12, 13, 6, False)),
    ],
    ids=["numbers", "profile", "unstated numbers and profile", "profile and numbers", "another profile and numbers"],
)
def test_display_p3_is_converted(tmp_path: Path, stated: tuple[bytes, ...]) -> None:
    skin = np.full((64, 64, 3), (190, 140, 120), np.uint8)
    (tmp_path / "a.heic").write_bytes(heif_file(skin, properties=stated))
    expected = wide_to_srgb(skin, P3_TO_BT709)[0, 0]
    assert expected[0] > 195
    np.testing.assert_allclose(read_heif(tmp_path / "a.heic").mean((0, 1)), expected, atol=2.5)
    (tmp_path / "b.heic").write_bytes(heif_file(skin, properties=(SRGB_PROFILE,)))
    np.testing.assert_allclose(read_heif(tmp_path / "b.heic").mean((0, 1)), skin[0, 0], atol=2.5)


def test_another_wide_profile_is_converted_as_in_jpeg_photos(tmp_path: Path) -> None:
    skin = np.full((64, 64, 3), (190, 140, 120), np.uint8)
    icc = icc_files.profile(icc_files.ADOBE, icc_files.ADOBE_CURVE)
    (tmp_path / "a.heic").write_bytes(heif_file(skin, properties=(profile(icc),)))
    (tmp_path / "a.png").write_bytes(icc_files.png_with(skin, icc))
    (expected,) = open_photos([tmp_path / "a.png"])
    assert abs(int(expected.rgb[0, 0, 0]) - 190) > 5
    np.testing.assert_allclose(read_heif(tmp_path / "a.heic").mean((0, 1)), expected.rgb[0, 0], atol=2.5)


def test_the_stated_range_and_transfer_are_applied(tmp_path: Path) -> None:
    gray = np.full((64, 64, 3), 200, np.uint8)
    (tmp_path / "a.heic").write_bytes(heif_file(gray, properties=(colors(1, 13, 6, True),)))
    assert read_heif(tmp_path / "a.heic").mean() == pytest.approx(16 + 200 * 219 / 255, abs=1)
    (tmp_path / "b.heic").write_bytes(heif_file(gray, HEVC_10, properties=(colors(9, 18, 9, False),)))
    expected = hdr_to_srgb(np.full((1, 1, 3), 200 * 257, np.uint16), 18).mean()
    assert read_heif(tmp_path / "b.heic").mean() == pytest.approx(expected, abs=1.5)
    assert abs(expected - 200) > 5


def test_the_focal_length_of_the_exif_data_is_used(tmp_path: Path) -> None:
    fields = struct.pack("<HHII", 0x8769, 4, 1, 26) + struct.pack("<I", 0)
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + fields + struct.pack("<HHHIHHI", 1, 0xA405, 3, 1, 24, 0, 0)
    (tmp_path / "IMG_1.HEIC").write_bytes(heif_file(smooth_image(400, 300), tile=256, exif=exif))
    prior = open_photos([tmp_path / "IMG_1.HEIC"]).prior
    assert prior.origin == "metadata" and prior.focal == pytest.approx(np.hypot(400, 300) * 24 / FILM_DIAGONAL)


def test_a_file_of_another_program_is_read() -> None:
    """The first frame of the demo's video, written by pillow-heif."""
    image = read_heif(ROOT / "tests" / "data" / "pillow.heic")
    assert image.shape == (360, 270, 3)
    np.testing.assert_allclose(image.mean((0, 1)), [141.4, 135.0, 126.5], atol=1)


def test_damaged_files_get_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    whole = heif_file(smooth_image(256, 256), tile=128)
    path = tmp_path / "a.heic"
    rng = np.random.default_rng(0)
    cut = [whole[:size] for size in range(24, len(whole) - 1, 97)]
    flipped = []
    for _ in range(60):
        data = bytearray(whole)
        data[int(rng.integers(24, 700))] ^= int(rng.integers(1, 256))
        flipped.append(bytes(data))
    for damaged in [*cut, *flipped]:
        path.write_bytes(damaged)
        try:
            read_heif(path)
        except HeadsplatError as error:
            assert any(words in str(error) for words in ("copy it again", "export it as JPEG", "the most that is read"))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HeadsplatError, match=r"a\.heic: a damaged HEIC .* \(it is cut off\); copy it again"):
        read_heif(path)


def test_without_a_decoder_pillow_heif_reads_it_if_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(heif_file(smooth_image(64, 64)))
    monkeypatch.setattr("capture.heif.av.codecs_available", set())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(HeadsplatError, match=r"no decoder of HEVC\); export it as JPEG, .*pip install pillow-heif"):
        read_heif(path)
    library = SimpleNamespace(open_heif=lambda stream, convert_hdr_to_8bit: smooth_image(64, 64))
    monkeypatch.setitem(sys.modules, "pillow_heif", library)
    np.testing.assert_array_equal(read_heif(path), smooth_image(64, 64))
