"""Videos as people have them: every kind is read with the face upright and in place, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.live.camera import FileFeed
from capture.options import FaceModels
from capture.stages.landmarks import FaceFollower
from capture.stages.orientation import find_turn
from capture.synthetic import SyntheticOptions, make_video
from capture.tracker.indices import inter_ocular
from capture.video import colors
from capture.video.decoding import open_video
from tests.capture.video.test_decoding import rotated

WIDTH, HEIGHT = 192, 256
#: Bound on the mean distance of landmarks from those of the plain clip, fraction of the inter-ocular distance: lossy
#: coding, 4:2:0 and another region of interest; a wrong aspect, turn or shift is beyond 0.1.
SAME_PLACE = 0.03


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Frames [4,H,W,3] of a synthetic person."""
    path = tmp_path_factory.mktemp("awkward") / "plain.mp4"
    make_video(path, SyntheticOptions(width=WIDTH, height=HEIGHT, frames=4, exposure_drift=0.0, crf=8))
    return np.stack([frame.rgb for frame in open_video(path)])


@pytest.fixture(scope="module")
def follower(face_models: None) -> FaceFollower:
    return FaceFollower(FaceModels(), 1)


def encode(
    path: Path,
    frames: np.ndarray,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 30,
    times: list[float] | None = None,
    aspect: Fraction | None = None,
    transfer: int = 0,
    sound: bool = False,
    cover: bool = False,
) -> Path:
    """Write frames [T,H,W,3] uint8 (or uint16 for HDR) with the properties under test."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no {codec} encoder")
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {"crf": "8"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        context = stream.codec_context
        context.time_base = Fraction(1, 90000)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if transfer:
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, transfer, 1
        tone = _sound_stream(container) if sound else None
        image_of_song = _cover_stream(container) if cover else None
        for number, frame in enumerate(frames):
            image = _encodable(frame, pixels, transfer)
            seconds = times[number] if times else number / rate
            image.pts, image.time_base = round(seconds * 90000), Fraction(1, 90000)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
        if tone is not None:
            _add_sound(container, tone)
        if image_of_song is not None:
            _add_cover(container, image_of_song)
    return path


def _encodable(frame: np.ndarray, pixels: str, transfer: int) -> av.VideoFrame:
    """A frame [H,W,3] uint8 or uint16 in the pixel format and color space of the stream."""
    image = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(frame), format="rgb24" if frame.dtype == np.uint8 else "rgb48le"
    )
    matrix = {"dst_colorspace": 9} if transfer else {}
    return image.reformat(format=pixels, **matrix)


def _sound_stream(container: av.container.OutputContainer) -> av.AudioStream:
    return container.add_stream("aac", rate=16000, layout="mono")


def _add_sound(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
    sound.sample_rate, sound.time_base, sound.pts = 16000, Fraction(1, 16000), 0
    container.mux(stream.encode(sound))
    container.mux(stream.encode(None))


def _cover_stream(container: av.container.OutputContainer) -> av.VideoStream:
    stream = container.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 640, 640, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _add_cover(container: av.container.OutputContainer, stream: av.VideoStream) -> None:
    image = av.VideoFrame.from_ndarray(np.full((640, 640, 3), 200, np.uint8), format="rgb24")
    container.mux(stream.encode(image.reformat(format="yuvj420p")))
    container.mux(stream.encode(None))


def to_hdr(frames: np.ndarray, transfer: int) -> np.ndarray:
    """HDR code values [T,H,W,3] uint16 of sRGB frames uint8: the inverse of what is read, below its highlights."""
    code = frames / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    wide = np.clip(linear @ np.linalg.inv(colors.BT2020_TO_BT709).T, 0, None)
    if transfer == colors.HLG:  # the scene's light: the gamma is taken from the luminance
        display = wide * 203 / 0.8 / 1000
        luminance = display @ [[0.2627], [0.6780], [0.0593]]
        wide = display * np.maximum(luminance, 1e-9) ** (1 / 1.2 - 1)
    curve = colors.hdr_curve(transfer, 10)
    return (np.interp(wide, curve, np.arange(1024)) * 64).astype(np.uint16)


def turned(folder: Path, plain: np.ndarray, matrix: list[int], clockwise: int) -> Path:
    """Images lying on their side in the file, and a display matrix that says so."""
    lying = np.rot90(plain, clockwise, axes=(1, 2))
    return rotated(encode(folder / "clip.mp4", lying), matrix)


def enlarged(plain: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in plain])


Make = Callable[[Path, np.ndarray], Path]

#: Name, how it is made, size of an upright frame, pixels of it for one of the plain clip, (x, y) shift in its pixels.
KINDS: list[tuple[str, Make, tuple[int, int], float, tuple[int, int]]] = [
    ("quarter turn", lambda d, p: turned(d, p, [0, 1, -1, 0], 1), (WIDTH, HEIGHT), 1, (0, 0)),
    ("half turn", lambda d, p: turned(d, p, [-1, 0, 0, -1], 2), (WIDTH, HEIGHT), 1, (0, 0)),
    ("three quarter turn", lambda d, p: turned(d, p, [0, -1, 1, 0], 3), (WIDTH, HEIGHT), 1, (0, 0)),
    ("mirrored", lambda d, p: rotated(encode(d / "c.mp4", p[:, :, ::-1]), [-1, 0, 0, 1]), (WIDTH, HEIGHT), 1, (0, 0)),
    (
        "mirrored top to bottom",
        lambda d, p: rotated(encode(d / "c.mp4", p[:, ::-1]), [1, 0, 0, -1]),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    (
        "mirrored on its side",
        lambda d, p: rotated(encode(d / "c.mp4", p.swapaxes(1, 2)), [0, 1, 1, 0]),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    (
        "variable frame rate",
        lambda d, p: encode(d / "c.mp4", p, times=[0, 0.02, 0.3, 0.31]),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    ("60 frames a second", lambda d, p: encode(d / "c.mp4", p, rate=60), (WIDTH, HEIGHT), 1, (0, 0)),
    (
        "10-bit HEVC",
        lambda d, p: encode(d / "c.mov", p, "libx265", "yuv420p10le"),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    (
        "HLG",
        lambda d, p: encode(d / "c.mov", to_hdr(p, 18), "libx265", "yuv420p10le", transfer=18),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    (
        "PQ",
        lambda d, p: encode(d / "c.mov", to_hdr(p, 16), "libx265", "yuv420p10le", transfer=16),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    ("4K upright", lambda d, p: encode(d / "c.mp4", enlarged(p[:1], 2160, 2880)), (2160, 2880), 11.25, (0, 0)),
    (
        "wide",
        lambda d, p: encode(d / "c.mp4", np.pad(p, ((0, 0), (0, 0), (160, 104), (0, 0)))),
        (WIDTH + 264, HEIGHT),
        1,
        (160, 0),
    ),
    (
        "squeezed pixels",
        lambda d, p: encode(d / "c.mp4", enlarged(p, WIDTH // 2, HEIGHT), aspect=Fraction(2)),
        (WIDTH, HEIGHT),
        1,
        (0, 0),
    ),
    (
        "odd size",
        lambda d, p: encode(d / "c.mkv", p[:, : HEIGHT - 1, : WIDTH - 1], "ffv1", "yuv444p"),
        (WIDTH - 1, HEIGHT - 1),
        1,
        (0, 0),
    ),
    ("with sound", lambda d, p: encode(d / "c.mp4", p, sound=True), (WIDTH, HEIGHT), 1, (0, 0)),
    ("with a larger cover image", lambda d, p: encode(d / "c.mp4", p, cover=True), (WIDTH, HEIGHT), 1, (0, 0)),
    ("one frame", lambda d, p: encode(d / "c.mp4", p[:1]), (WIDTH, HEIGHT), 1, (0, 0)),
]


@pytest.mark.parametrize(("make", "size", "scale", "shift"), [kind[1:] for kind in KINDS], ids=[k[0] for k in KINDS])
def test_the_face_is_upright_and_in_its_place(
    tmp_path: Path,
    plain: np.ndarray,
    follower: FaceFollower,
    make: Make,
    size: tuple[int, int],
    scale: float,
    shift: tuple[int, int],
) -> None:
    source = open_video(make(tmp_path, plain))
    assert (source.width, source.height) == size
    frame = next(iter(source)).rgb
    assert frame.shape == (size[1], size[0], 3)
    found, expected = (follower.follow(image, None, None) for image in (frame, plain[0]))
    assert found is not None and expected is not None
    distance = np.linalg.norm(found.points[:, :2] - (expected.points[:, :2] * scale + shift), axis=1)
    assert distance.mean() < SAME_PLACE * scale * inter_ocular(expected.points)


@pytest.mark.parametrize("matrix", [[-1, 0, 0, 1], [1, 0, 0, -1]], ids=["left to right", "top to bottom"])
def test_a_capture_and_a_camera_leave_a_mirrored_video_as_players_show_it(
    tmp_path: Path, plain: np.ndarray, follower: FaceFollower, matrix: list[int]
) -> None:
    stored = plain[:, :, ::-1] if matrix[0] < 0 else plain[:, ::-1]
    path = rotated(encode(tmp_path / "clip.mp4", stored), matrix)
    workspace: Any = SimpleNamespace(load_partial=lambda name: None, save_partial=lambda name, arrays: None)
    assert find_turn(open_video(path), np.arange(4), follower, workspace) == 0
    feed = FileFeed(path, "all")
    lens = feed.open()
    frame = next(feed.frames()).rgb
    assert (lens.height, lens.width) == frame.shape[:2] == plain.shape[1:3]
    assert np.abs(frame.astype(int) - plain[0]).mean() < 5  # of 255: coding; 30 where it is turned or mirrored


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_becomes_the_colors_it_was_made_from_and_is_said(
    tmp_path: Path, plain: np.ndarray, transfer: int, name: str
) -> None:
    dim = (plain * 0.7).astype(np.uint8)  # below the highlights, which are rolled off
    path = encode(tmp_path / "clip.mov", to_hdr(dim, transfer), "libx265", "yuv420p10le", transfer=transfer)
    source = open_video(path)
    frame = next(iter(source)).rgb
    apart = np.abs(cv2.blur(frame, (9, 9)).astype(int) - cv2.blur(dim[0], (9, 9)))
    assert np.percentile(apart, 95) <= 8  # of 255: chroma subsampling and coding of the wide range
    assert source.warnings == [f"clip.mov: HDR video ({name}) was converted to sRGB; film without HDR for truer skin"]


def test_times_of_a_variable_rate_are_the_files_own(tmp_path: Path, plain: np.ndarray) -> None:
    times = [0.0, 0.02, 0.3, 0.31]
    found = [frame.time for frame in open_video(encode(tmp_path / "c.mp4", plain, times=times))]
    np.testing.assert_allclose(found, times, atol=2e-4)


def song(path: Path, cover: bool) -> Path:
    """A sound file, with or without a cover image."""
    with av.open(str(path), "w") as container:
        stream = _sound_stream(container)
        image = _cover_stream(container) if cover else None
        _add_sound(container, stream)
        if image is not None:
            _add_cover(container, image)
    return path


@pytest.mark.parametrize("cover", [False, True], ids=["sound", "sound with a cover image"])
def test_sound_files_are_refused_in_one_sentence(tmp_path: Path, cover: bool) -> None:
    with pytest.raises(HeadsplatError, match=r"song\.m4a: there is no video stream in it \(only sound\)") as caught:
        open_video(song(tmp_path / "song.mp4", cover).rename(tmp_path / "song.m4a"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_cut_off_phone_video_without_its_index_is_refused(tmp_path: Path, plain: np.ndarray, share: float) -> None:
    path = encode(tmp_path / "clip.mp4", plain)  # the index is at the end, as phones write it
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        HeadsplatError, match=r"clip\.mp4 is not a video headsplat can read|no frame could be"
    ) as caught:
        list(open_video(path))
    assert "\n" not in str(caught.value)
