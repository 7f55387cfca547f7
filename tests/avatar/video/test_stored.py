"""Stored values: colors, alpha, depth and normals in every format."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatar.video import Encoding, open_output
from avatar.video.conversions import PNG_DEPTH_STEPS, for_exr, for_video
from tests.avatar.video.reading import decoded, fill, images, rgba

#: Of 255: rounding to limited range, chroma of four pixels in one, light compression.
TOLERANCE = 10


def files_of(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


KINDS = [
    ("a.mp4", Encoding()),
    ("a.mp4", Encoding("h265")),
    ("a.mov", Encoding()),
    ("a.webm", Encoding()),
    ("a", Encoding("png")),
    ("a", Encoding("exr")),
]
IDS = ["h264", "h265", "prores", "vp9", "png", "exr"]


@pytest.mark.parametrize(("name", "encoding"), KINDS, ids=IDS)
def test_equal_images_give_equal_bytes(tmp_path: Path, name: str, encoding: Encoding) -> None:
    written = []
    for run in ("one", "two"):
        fill(open_output(tmp_path / run / name, 25, encoding=encoding), images(6))
        written.append(files_of(tmp_path / run / name))
    assert written[0] == written[1]


@pytest.mark.parametrize(("name", "encoding"), KINDS[:4], ids=IDS[:4])
def test_a_video_keeps_the_colors(tmp_path: Path, name: str, encoding: Encoding) -> None:
    frames = images(4)
    fill(open_output(tmp_path / name, 25, encoding=encoding), frames)
    for frame, shown in zip(frames, decoded(tmp_path / name), strict=True):
        error = rgba(shown)[..., :3].astype(int) - frame
        assert np.abs(error).mean() < TOLERANCE / 2.5  # the other usual matrix, BT.601, would be off by more
        assert np.abs(error).max() < TOLERANCE * 3


@pytest.mark.parametrize(("name", "decoder"), [("a.mov", None), ("a.webm", "libvpx-vp9")])
def test_alpha_is_stored_straight(tmp_path: Path, name: str, decoder: str | None) -> None:
    frames = images(4, channels=4)
    fill(open_output(tmp_path / name, 25, alpha=True), frames)
    for frame, shown in zip(frames, decoded(tmp_path / name, decoder), strict=True):
        error = np.abs(rgba(shown).astype(int) - frame)
        assert error[..., 3].max() <= TOLERANCE
        assert error[..., :3].mean() < TOLERANCE / 2


def test_a_lossless_video_keeps_every_pixel(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    fill(open_output(tmp_path / "a.mp4", 25, encoding=Encoding(lossless=True)), frames)
    shown = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded(tmp_path / "a.mp4")])
    np.testing.assert_array_equal(shown, frames)


def test_odd_sizes_repeat_their_last_row_and_column(tmp_path: Path) -> None:
    frames = images(2, height=47, width=63)
    fill(open_output(tmp_path / "a.mp4", 25, encoding=Encoding(lossless=True)), frames)
    shown = decoded(tmp_path / "a.mp4")[1].to_ndarray(format="rgb24")
    np.testing.assert_array_equal(shown, np.pad(frames[1], ((0, 1), (0, 1), (0, 0)), mode="edge"))


@pytest.mark.parametrize("channels", [3, 4])
def test_png_images_are_exact_and_numbered_as_in_the_full_video(tmp_path: Path, channels: int) -> None:
    frames = images(3, channels=channels)
    fill(open_output(tmp_path / "out", 25, alpha=channels == 4, first_frame=99999), frames)
    assert sorted(file.name for file in (tmp_path / "out").glob("*.png")) == ["100000.png", "100001.png", "99999.png"]
    stored = cv2.imread(str(tmp_path / "out" / "100001.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored[..., [2, 1, 0, 3][:channels]], frames[2])


def test_png_depth_is_in_tenths_of_millimeters(tmp_path: Path) -> None:
    depth = np.array([[0.0, 0.25, 0.61237, 9.0]], np.float32)
    fill(open_output(tmp_path / "out", 25, pass_name="depth"), depth[None])
    stored = cv2.imread(str(tmp_path / "out" / "00000.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert stored.tolist() == [[0, 2500, 6124, 65535]]
    assert PNG_DEPTH_STEPS == 10_000


def test_png_alpha_is_gray(tmp_path: Path) -> None:
    alpha = images(1, channels=1)[..., 0]
    fill(open_output(tmp_path / "out", 25, pass_name="alpha"), alpha)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "00000.png"), cv2.IMREAD_UNCHANGED), alpha[0])


def exr(path: Path) -> dict[str, np.ndarray]:
    """The planes of an EXR file by channel, as ffmpeg decodes them."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    kind = np.float16 if "f16" in frame.format.name else np.float32
    names = {1: "Y", 3: "GBR", 4: "GBRA"}[len(frame.planes)]
    rows = [np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
    return dict(zip(names, rows, strict=True))


def test_exr_colors_are_linear_and_premultiplied(tmp_path: Path) -> None:
    image = np.array([[[255, 188, 0, 255], [255, 188, 0, 128], [255, 255, 255, 0]]], np.uint8)
    fill(open_output(tmp_path / "out", 25, alpha=True, encoding=Encoding("exr")), image[None])
    found = exr(tmp_path / "out" / "00000.exr")
    half = 128 / 255
    assert found["R"][0] == pytest.approx([1, half, 0], abs=1e-3)
    assert found["G"][0] == pytest.approx([0.5029, 0.5029 * half, 0], abs=1e-3)  # sRGB 188 is half the linear value
    assert found["A"][0] == pytest.approx([1, half, 0], abs=1e-3)


def test_exr_depth_is_meters_in_full_floats(tmp_path: Path) -> None:
    depth = np.array([[0.0, 0.612345]], np.float32)
    fill(open_output(tmp_path / "out", 25, pass_name="depth", encoding=Encoding("exr")), depth[None])
    np.testing.assert_array_equal(exr(tmp_path / "out" / "00000.exr")["Y"], depth)


@pytest.mark.parametrize("half", [True, False])
def test_exr_normals_are_x_y_z(tmp_path: Path, half: bool) -> None:
    normals = np.array([[[0.6, -0.8, 0.0], [0, 0, 0]]], np.float32)
    fill(open_output(tmp_path / "out", 25, pass_name="normals", encoding=Encoding("exr", half=half)), normals[None])
    found = exr(tmp_path / "out" / "00000.exr")
    stored = np.stack([found["R"], found["G"], found["B"]], axis=2)
    np.testing.assert_allclose(stored, normals, atol=5e-4 if half else 0)


def test_depth_in_a_video_is_bright_where_near_and_black_where_empty() -> None:
    depth = np.array([[0.0, 0.1, 0.2, 0.7, 1.2, 3.0]], np.float32)
    assert for_video("depth")(depth).tolist() == [[0, 255, 255, 128, 1, 1]]


def test_normals_in_a_video_are_gray_where_empty() -> None:
    normals = np.array([[[0, 0, 0], [1, -1, 0]]], np.float32)
    assert for_video("normals")(normals).tolist() == [[[128, 128, 128], [255, 0, 128]]]


@pytest.mark.parametrize("name", ["depth", "normals", "alpha"])
def test_every_pass_can_be_stored_in_an_mp4(tmp_path: Path, name: str) -> None:
    shape = {"depth": (48, 64), "normals": (48, 64, 3), "alpha": (48, 64)}[name]
    frame = np.full(shape, 200, np.uint8) if name == "alpha" else np.full(shape, 0.577, np.float32)
    fill(open_output(tmp_path / "a.mp4", 25, pass_name=name), frame[None])
    shown = rgba(decoded(tmp_path / "a.mp4")[0])[..., :3]
    assert np.abs(shown.astype(int) - for_video(name)(frame).reshape(48, 64, -1)).max() <= 3


def test_linear_white_is_one() -> None:
    assert for_exr("rgb")(np.full((1, 1, 3), 255, np.uint8)).tolist() == [[[1, 1, 1]]]
