"""Damaged or absurd audio streams and videos are skipped where they can be, and refused in one sentence elsewhere."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatar.cli import main
from avatar.errors import HeadsplatError
from avatar.video import open_output
from avatar.video.audio import check_audio
from capture.live.camera import FileFeed
from capture.options import CaptureOptions, FaceModels
from capture.pipeline import run_capture
from capture.video.decoding import open_video

RATE, SECONDS = 16000, 1
IMAGE = np.zeros((64, 64, 3), np.uint8)


def write_sound(path: Path, codec: str = "aac", layout: str = "mono") -> bytes:
    """A second of a tone; returns the file's bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        assert isinstance(stream, av.AudioStream)
        kind = np.float32 if codec == "aac" else np.int16
        tone = (np.sin(np.arange(RATE * SECONDS) / 20) * (0.3 if codec == "aac" else 9000)).astype(kind)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp" if codec == "aac" else "s16", layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def write_clip(
    path: Path, codec: str = "mpeg4", side: int = 64, pixels: str = "yuv420p", times: list[int] | None = None
) -> bytes:
    """Twenty frames; returns the file's bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = side, side, pixels
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(20):
            image = np.full((side, side, 3), 40 + 5 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts = times[number] if times else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def wav(path: Path, offset: int, form: str, value: int) -> Path:
    """A wav file with one value of its header replaced."""
    content = bytearray(write_sound(path, "pcm_s16le"))
    start = content.index(b"fmt ") + 8 + offset
    content[start : start + struct.calcsize(form)] = struct.pack(form, value)
    path.write_bytes(content)
    return path


def mp4(path: Path, offset: int, form: str, value: int) -> Path:
    """An m4a file with one value of its sound description ('mp4a') replaced."""
    content = bytearray(write_sound(path))
    start = content.index(b"mp4a") + 4 + offset
    content[start : start + struct.calcsize(form)] = struct.pack(form, value)
    path.write_bytes(content)
    return path


def without_samples(path: Path) -> Path:
    """A wav file whose sound has ended before it began."""
    content = write_sound(path, "pcm_s16le")
    start = content.index(b"data")
    path.write_bytes(content[:start] + b"data" + bytes(4))
    return path


def cut(path: Path) -> Path:
    path.write_bytes(write_sound(path)[:-600])  # the index is at the end
    return path


def image(path: Path) -> Path:
    cv2.imwrite(str(path.with_suffix(".png")), IMAGE)
    return path.with_suffix(".png").rename(path)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


SOUNDS: dict[str, Callable[[Path], Path]] = {
    "0 Hz": lambda d: wav(d / "a.wav", 4, "<I", 0),
    "1 Hz": lambda d: wav(d / "a.wav", 4, "<I", 1),
    "4 GHz": lambda d: wav(d / "a.wav", 4, "<I", 0xFFFFFFFF),
    "0 channels": lambda d: wav(d / "a.wav", 2, "<H", 0),
    "65535 channels": lambda d: wav(d / "a.wav", 2, "<H", 65535),
    "0 bits": lambda d: wav(d / "a.wav", 14, "<H", 0),
    "unknown coding": lambda d: wav(d / "a.wav", 0, "<H", 0x1234),
    "0 Hz in mp4": lambda d: mp4(d / "a.m4a", 24, ">I", 0),
    "65535 channels in mp4": lambda d: mp4(d / "a.m4a", 16, ">H", 65535),
    "no samples": lambda d: without_samples(d / "a.wav"),
    "index missing": lambda d: cut(d / "a.m4a"),
    "an image": lambda d: image(d / "a.mp3"),
    "text": lambda d: written(d / "a.wav", b"la la la\n" * 100),
    "empty": lambda d: written(d / "a.wav", b""),
    "no sound": lambda d: written(d / "a.mp4", write_clip(d / "a.mp4")),
}


@pytest.mark.parametrize("make", SOUNDS.values(), ids=SOUNDS)
def test_absurd_sound_is_used_or_refused_in_one_sentence(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    try:
        with open_output(tmp_path / "out.mp4", 30, audio=path) as writer:
            for _ in range(4):
                writer.add(IMAGE)
    except HeadsplatError as error:
        message = str(error)
        assert message.startswith(str(path)) and "\n" not in message and not (tmp_path / "out.mp4").exists()
    else:
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert container.streams.audio


@pytest.mark.parametrize(
    "name", ["0 Hz", "1 Hz", "no samples", "index missing", "an image", "text", "empty", "no sound"]
)
def test_sound_that_cannot_be_used_is_refused_before_the_rendering(name: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="give a"):
        check_audio(SOUNDS[name](tmp_path))


def test_a_damaged_part_of_the_sound_does_not_end_a_rendering(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    content = bytearray(write_sound(path))
    middle = content.index(b"mdat") + 2000
    content[middle : middle + 1500] = bytes(range(250)) * 6
    path.write_bytes(content)
    with open_output(tmp_path / "out.mp4", 30, audio=path) as writer:
        for _ in range(30):
            writer.add(IMAGE)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 30


def test_sound_that_changes_its_format_on_the_way_is_heard_throughout(tmp_path: Path) -> None:
    parts = []
    for number, rate in enumerate((16000, 48000)):
        with av.open(str(tmp_path / f"{number}.ts"), "w") as container:
            stream = container.add_stream("mp2", rate=rate, layout="mono")
            tone = (np.sin(np.arange(rate) / 20) * 9000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append((tmp_path / f"{number}.ts").read_bytes())
    path = written(tmp_path / "both.ts", b"".join(parts))
    with open_output(tmp_path / "out.mp4", 30, audio=path) as writer:
        for _ in range(60):
            writer.add(IMAGE)
    with av.open(str(tmp_path / "out.mp4")) as container:
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.abs(samples[:, 70000:80000]).max() > 0.1


class _NoFace:
    def detect(self, rgb: np.ndarray, thorough: bool = True) -> list[object]:
        return []


NO_FACE = FaceModels(_NoFace, object, object)


def replaced(path: Path, content: bytes, old: bytes, new: bytes) -> Path:
    assert old in content
    return written(path, content.replace(old, new))


def avi(path: Path, width: int, height: int) -> Path:
    """A video whose header states another size; the frames have none of their own."""
    old, new = (struct.pack("<II", *size) for size in ((64, 64), (width, height)))
    return replaced(path, write_clip(path, "ffv1"), old, new)


def rate(path: Path, scale: int, rate: int) -> Path:
    """A video whose header states `rate` / `scale` frames per second."""
    content = bytearray(write_clip(path))
    start = content.index(b"strh") + 8 + 20
    content[start : start + 8] = struct.pack("<II", scale, rate)
    return written(path, bytes(content))


def years(path: Path) -> Path:
    write_clip(path, "ffv1", times=[number * 10**11 for number in range(20)])  # three years apart
    return path


def without_index(path: Path) -> Path:
    return replaced(path, write_clip(path), b"moov", b"free")


VIDEOS: dict[str, Callable[[Path], Path]] = {
    "an image": lambda d: image(d / "a.mp4"),
    "empty": lambda d: written(d / "a.mp4", b""),
    "a folder": lambda d: d,
    "index missing": lambda d: without_index(d / "a.mp4"),
    "header only": lambda d: written(d / "a.mp4", write_clip(d / "a.mp4")[:40]),
    "1x1 pixels": lambda d: (write_clip(d / "a.mkv", "ffv1", 1, "yuv444p"), d / "a.mkv")[1],
    "30000x8000 pixels": lambda d: avi(d / "a.avi", 30000, 8000),
    "8000x30000 pixels": lambda d: avi(d / "a.avi", 8000, 30000),
    "0 fps": lambda d: rate(d / "a.avi", 1, 0),
    "infinite fps": lambda d: rate(d / "a.avi", 0, 30),
    "1e9 fps": lambda d: rate(d / "a.avi", 1, 10**9),
    "years": lambda d: years(d / "a.mkv"),
    "sound": lambda d: (write_sound(d / "a.m4a"), d / "a.m4a")[1],
}


@pytest.mark.parametrize("make", VIDEOS.values(), ids=VIDEOS)
def test_an_absurd_video_is_refused_in_one_sentence(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = make(folder)
    assert main(["info", str(path)]) in (0, 1)
    message = capsys.readouterr().err.strip()
    assert "internal error" not in message and "Traceback" not in message and "\n" not in message
    with pytest.raises(HeadsplatError, match=r"; |no face found") as caught:
        run_capture(path, tmp_path / "out", CaptureOptions(), None, NO_FACE)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "capture.json").exists()


@pytest.mark.parametrize("name", [name for name in VIDEOS if name != "a folder"])
def test_an_absurd_video_in_place_of_a_webcam_ends_in_a_sentence_or_in_frames(name: str, tmp_path: Path) -> None:
    feed = FileFeed(VIDEOS[name](tmp_path), "all")
    try:
        lens = feed.open()
        shapes = {frame.rgb.shape for frame in feed.frames()}
    except HeadsplatError as error:
        assert "\n" not in str(error)
    else:
        assert shapes == {(lens.height, lens.width, 3)}


def test_a_frame_due_in_years_is_not_waited_for(tmp_path: Path) -> None:
    waits: list[float] = []
    feed = FileFeed(years(tmp_path / "a.mkv"), clock=lambda: sum(waits), sleep=waits.append)
    feed.open()
    assert len(list(feed.frames())) == 20
    assert 0 < max(waits) <= 2


@pytest.mark.parametrize("name", ["30000x8000 pixels", "8000x30000 pixels"])
def test_frames_that_do_not_fit_into_memory_are_not_decoded(name: str, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=rf"frames of {name}, at most 16384 a side"):
        open_video(VIDEOS[name](tmp_path))


@pytest.mark.parametrize("name", ["0 fps", "infinite fps", "1e9 fps"])
def test_an_absurd_rate_is_not_believed(name: str, tmp_path: Path) -> None:
    source = open_video(VIDEOS[name](tmp_path))
    assert 0.001 <= source.fps <= 2000 and len(list(source)) == 20
