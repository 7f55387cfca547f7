"""Reading and writing video files, on files made here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.video import open_output, write_video
from capture.video import colors
from capture.video.decoding import open_video

#: Bound on |decoded - written| of flat colors: 4:2:0, 8-bit YUV rounding and light compression.
COLOR_TOLERANCE = 4


def quadrants(height: int = 96, width: int = 128) -> np.ndarray:
    """An image [H,W,3] whose quarters are red, white, black and green."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 30, 60)
    image[: height // 2, width // 2 :] = (240, 240, 240)
    image[height // 2 :, width // 2 :] = (20, 180, 90)
    return image


def corners(image: np.ndarray) -> np.ndarray:
    """Colors [4,3] of the quarters' middles: upper left, upper right, lower left, lower right."""
    height, width = image.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return np.array([image[row, column] for row in rows for column in columns], dtype=np.int64)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "clip.mp4", [quadrants()] * 12, 24, crf=6)
    return tmp_path / "clip.mp4"


def test_a_written_video_reads_back_with_its_colors_size_and_times(video: Path) -> None:
    source = open_video(video)
    frames = list(source)
    assert (source.width, source.height, source.fps, source.frame_count) == (128, 96, 24, 12)
    assert [frame.number for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 24, atol=1e-5)
    assert np.abs(corners(frames[5].rgb) - corners(quadrants())).max() <= COLOR_TOLERANCE
    assert source.warnings == []


def test_iterating_twice_gives_the_same_frames(video: Path) -> None:
    source = open_video(video)
    first, second = (np.stack([frame.rgb for frame in source]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_variable_frame_rate_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.02, 0.1, 0.11, 0.5]
    with open_output(tmp_path / "vfr.mp4", 30) as writer:
        for time in times:
            writer.add(quadrants(), time)
    found = [frame.time for frame in open_video(tmp_path / "vfr.mp4")]
    np.testing.assert_allclose(found, times, atol=2e-5)


def test_odd_sizes_are_padded_to_even(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", [quadrants(97, 131)] * 2, 25)
    source = open_video(tmp_path / "odd.mp4")
    assert (source.width, source.height) == (132, 98)


def rotated(video: Path, matrix: Sequence[float]) -> Path:
    """A copy of an mp4 whose track header holds another display matrix (a, b, c, d)."""
    content = bytearray(video.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: 40 bytes lie between the box's name and the matrix
    a, b, c, d = (round(value * 65536) for value in matrix)  # 16.16 fixed point
    values = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    content[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path = video.with_name("rotated.mp4")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("matrix", "clockwise"), [([0, 1, -1, 0], 1), ([-1, 0, 0, -1], 2), ([0, -1, 1, 0], 3)], ids=["90", "180", "270"]
)
def test_rotation_metadata_is_applied(video: Path, matrix: list[int], clockwise: int) -> None:
    source = open_video(rotated(video, matrix))
    upright = np.rot90(quadrants(), -clockwise)
    assert (source.height, source.width) == upright.shape[:2]
    frame = next(iter(source)).rgb
    assert frame.shape == upright.shape
    assert np.abs(corners(frame) - corners(upright)).max() <= COLOR_TOLERANCE


#: Display matrices (a, b, c, d) that mirror, and what a player does with the stored image.
MIRRORING: list[tuple[str, list[int], Callable[[np.ndarray], np.ndarray]]] = [
    ("left to right", [-1, 0, 0, 1], lambda image: image[:, ::-1]),
    ("top to bottom", [1, 0, 0, -1], lambda image: image[::-1]),
    ("about a diagonal", [0, 1, 1, 0], lambda image: image.swapaxes(0, 1)),
    ("about the other diagonal", [0, -1, -1, 0], lambda image: image.swapaxes(0, 1)[::-1, ::-1]),
]


@pytest.mark.parametrize(("matrix", "play"), [kind[1:] for kind in MIRRORING], ids=[kind[0] for kind in MIRRORING])
def test_a_display_matrix_that_mirrors_is_applied_as_players_do(
    video: Path, matrix: list[int], play: Callable[[np.ndarray], np.ndarray]
) -> None:
    stored = next(iter(open_video(video))).rgb
    source = open_video(rotated(video, matrix))
    shown = play(stored)
    assert source.mirrored and (source.height, source.width) == shown.shape[:2]
    np.testing.assert_array_equal(next(iter(source)).rgb, shown)
    turned = source.with_turn(90)
    assert (turned.height, turned.width) == shown.shape[1::-1]
    np.testing.assert_array_equal(next(iter(turned)).rgb, np.rot90(shown))


def test_a_turn_between_quarters_is_rounded(video: Path) -> None:
    cos, sin = math.cos(math.radians(100)), math.sin(math.radians(100))
    source = open_video(rotated(video, [cos, sin, -sin, cos]))  # clockwise
    assert (source.rotation, source.mirrored) == (270, False)
    assert open_video(video).mirrored is False


def test_the_focal_length_a_phone_writes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["com.apple.quicktime.camera.focal_length.35mm_equivalent"] = "26"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(quadrants(64, 64), format="rgb24")))
        container.mux(stream.encode(None))
    assert open_video(path).focal_35mm == 26.0


def test_no_focal_length_is_none(video: Path) -> None:
    assert open_video(video).focal_35mm is None


def test_a_missing_file_is_named() -> None:
    with pytest.raises(HeadsplatError, match=r"nowhere\.mp4: no such file; check the path of the video"):
        open_video("nowhere.mp4")


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="a folder, not a video file"):
        open_video(tmp_path)


@pytest.mark.parametrize("content", [b"", b"just some text\n" * 50], ids=["empty", "text"])
def test_other_files_are_not_videos(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(HeadsplatError, match=r"notes\.mp4 is not a video"):
        open_video(path)


def test_sound_alone_has_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 8000, Fraction(1, 8000), 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(HeadsplatError, match=r"there is no video stream in it \(only sound\)"):
        open_video(path)


def noisy_video(folder: Path) -> Path:
    """A video with images that take room in the file, its index at the front."""
    rng = np.random.default_rng(3)
    write_video(folder / "noise.mp4", (rng.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(30)), 30)
    return folder / "noise.mp4"


def test_a_truncated_video_gives_the_frames_before_the_cut(tmp_path: Path) -> None:
    path = noisy_video(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    source = open_video(path)
    assert 5 < len(list(source)) < 30
    assert re.fullmatch(
        r"noise\.mp4: the video ends early, at 0\.[2-8] of 1\.0 s; it may have been cut off", source.warnings[-1]
    )


def test_a_video_cut_off_before_its_first_frame_is_an_error(tmp_path: Path) -> None:
    path = noisy_video(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 100])
    with pytest.raises(HeadsplatError, match="no frame could be decoded"):
        open_video(path)


def test_damaged_parts_are_skipped_with_a_warning(tmp_path: Path) -> None:
    path = noisy_video(tmp_path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    source = open_video(path)
    assert len(list(source)) >= 10
    assert source.warnings


def test_hlg_white_and_black_become_srgb_white_and_black() -> None:
    image = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    converted = colors.hdr_to_srgb(image, 18)
    assert converted[0, 0].tolist() == [0, 0, 0]
    assert converted[0, 1].min() >= 250


def test_hdr_keeps_gray_gray_and_brightness_in_order() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for transfer in (16, 18):
        converted = colors.hdr_to_srgb(ramp, transfer).astype(np.int64)[0]
        assert np.abs(converted - converted[:, :1]).max() <= 1
        assert (np.diff(converted[:, 0]) >= 0).all()


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), open_output(tmp_path / "out.mp4", 25) as writer:
        writer.add(quadrants())
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_writing_no_frames_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"out\.mp4: no frames to write"):
        write_video(tmp_path / "out.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rgb: expected \[96, 128\] as in the first frame, got \[64, 64\]"):
        write_video(tmp_path / "out.mp4", [quadrants(), quadrants(64, 64)], 25)


def test_hdr_video_is_recognized_and_converted(tmp_path: Path) -> None:
    path = tmp_path / "hlg.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 18, 1
        flat = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 190, np.uint8), format="rgb24")
        container.mux(stream.encode(flat.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    source = open_video(path)
    frame = next(iter(source)).rgb
    assert source.hdr
    # HLG code 0.75 is diffuse white (203 cd/m2): bright but not clipped in sRGB.
    assert 215 <= frame.min() <= frame.max() <= 240
