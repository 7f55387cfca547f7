"""Recorded videos: correct times, bounded memory, complete files."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from viewer.outputs import video_recorder as module
from viewer.outputs.letterbox import letterbox
from viewer.outputs.video_recorder import VideoRecorder


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def frames_of(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """The frames [H,W,3] of a video and their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in decoded]
        return [frame.to_ndarray(format="rgb24") for frame in decoded], times


def levels_of(path: Path) -> list[int]:
    """The gray level of each frame, to the nearest ten: H.264 changes it by much less."""
    return [10 * round(float(frame.mean()) / 10) for frame in frames_of(path)[0]]


class GatedWriter:
    """Replaces the encoder: accepts frames while the gate is open."""

    def __init__(self, gate: threading.Event, fails_at: int = -1) -> None:
        self.gate, self.fails_at = gate, fails_at
        self.levels: list[int] = []
        self.written = threading.Condition()

    def __enter__(self) -> GatedWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def add(self, frame: np.ndarray) -> None:
        self.gate.wait(10)
        if len(self.levels) == self.fails_at:
            raise HeadsplatError("video.mp4: the disk is full")
        with self.written:
            self.levels.append(int(frame[0, 0, 0]))
            self.written.notify()

    def reached(self, count: int) -> bool:
        """Whether `count` frames are written within ten seconds."""
        with self.written:
            return self.written.wait_for(lambda: len(self.levels) >= count, 10)


def use(writer: GatedWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let recorders write with `writer`, which makes no file that could become the video."""
    monkeypatch.setattr(module, "open_output", lambda path, rate, encoding: writer)
    monkeypatch.setattr(module, "join", lambda paths, out: None)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of waiting images, which tests add faster than in real time."""
    monkeypatch.setattr(module, "_MAX_WAITING", 1000)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize("name", ["video.mp4", "video.mov", "video.webm"])
def test_frame_k_is_at_k_over_the_rate(name: str, tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / name) as video:
        for number in range(31):
            video.add(gray(100), 7.0 + number / 30)
    times = frames_of(tmp_path / name)[1]
    # A webm counts milliseconds.
    assert [float(time) for time in times] == pytest.approx([k / 30 for k in range(31)], abs=5.1e-4)


@pytest.mark.usefixtures("unlimited")
def test_each_image_is_shown_from_the_frame_nearest_to_its_time(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    times = 1e5 + np.cumsum(random.choice([0.004, 0.03, 0.11], 60))
    levels = random.choice(np.arange(20, 240, 10), 60)
    with VideoRecorder(tmp_path / "video.mp4") as video:
        for time, level in zip(times, levels, strict=True):
            video.add(gray(int(level)), float(time))
    expected = []
    nearest = np.floor((times - times[0]) * 30 + 0.5)
    for k in range(int(nearest[-1]) + 1):
        expected.append(int(levels[np.flatnonzero(nearest <= k)[-1]]))
    assert levels_of(tmp_path / "video.mp4") == expected
    stats = video.stats()
    assert stats.replaced == 60 - len(np.unique(nearest))
    assert (stats.frames, stats.dropped) == (len(expected), 0)


@pytest.mark.usefixtures("unlimited")
def test_images_at_the_videos_rate_are_each_shown_once_despite_jitter(tmp_path: Path) -> None:
    levels = [20 + 10 * (number % 22) for number in range(40)]
    jitter = np.random.default_rng(0).uniform(-0.008, 0.008, 40)
    with VideoRecorder(tmp_path / "video.mp4", rate=29.97) as video:
        for number, level in enumerate(levels):
            video.add(gray(level), 12345.678 + number * 1001 / 30000 + float(jitter[number]))
    assert levels_of(tmp_path / "video.mp4") == levels


def test_an_image_may_be_overwritten_after_the_call(tmp_path: Path) -> None:
    image = gray(200)
    with VideoRecorder(tmp_path / "video.mp4") as video:
        video.add(image, 0.0)
        image[:] = 20
        video.add(image, 0.1)
    assert levels_of(tmp_path / "video.mp4") == [200, 200, 200, 20]


def test_the_video_starts_at_the_given_time_with_the_first_image(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "video.mp4") as video:
        video.set_start(10.0)
        video.set_start(10.2)  # once only
        video.add(gray(50), 10.1)
        video.add(gray(200), 10.2)
    assert levels_of(tmp_path / "video.mp4") == [50] * 6 + [200]


def test_the_last_image_is_shown_as_long_as_it_is_held(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "video.mp4") as video:
        video.hold(5.0)  # no image yet
        video.add(gray(50), 10.0)
        video.add(gray(200), 10.1)
        video.hold(10.3)
        video.hold(10.2)
    assert levels_of(tmp_path / "video.mp4") == [50] * 3 + [200] * 7


def test_a_held_image_is_encoded_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    gate.set()
    writer = GatedWriter(gate)
    use(writer, monkeypatch)
    video = VideoRecorder(tmp_path / "video.mp4")
    video.add(gray(50), 0.0)
    video.hold(10.0)
    assert writer.reached(300)  # the last of 301 may still get another image
    video.add(gray(100), 10.0)
    video.add(gray(150), 10.1)
    video.hold(10.2)
    video.stop()
    assert writer.levels == [50] * 300 + [100] * 3 + [150] * 4


def test_an_earlier_time_counts_as_the_last_one(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "video.mp4") as video:
        for level, time in ((50, 0.0), (100, 0.1), (200, 0.07)):
            video.add(gray(level), time)
    assert levels_of(tmp_path / "video.mp4") == [50, 50, 50, 200]


def test_images_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    half = np.zeros((24, 32, 3), np.uint8)
    half[:, 16:] = 200
    with VideoRecorder(tmp_path / "video.mp4") as video:
        video.add(gray(100), 0.0)
        video.add(half, 1 / 30)
        video.add(gray(100), 2 / 30)
    frame = frames_of(tmp_path / "video.mp4")[0][1]
    assert frame.shape == (48, 64, 3)
    assert frame[:, :28].mean() < 10 and abs(frame[:, 36:].mean() - 200) < 10


def test_a_slow_encoder_drops_images_without_more_memory_or_a_shorter_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    writer = GatedWriter(gate)
    use(writer, monkeypatch)
    video = VideoRecorder(tmp_path / "video.mp4")
    for number in range(200):
        video.add(gray(number), number / 30)
        waiting = len(video._waiting) + len(video._spare)
        assert waiting <= 33
    gate.set()
    video.stop()
    stats = video.stats()
    assert stats.dropped in (168, 169, 170)  # the encoder may have taken one or two
    assert len(writer.levels) == stats.frames == 200
    assert all(level <= frame for frame, level in enumerate(writer.levels))
    assert writer.levels[:30] == list(range(30))


def test_fewer_large_images_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    use(GatedWriter(gate), monkeypatch)
    monkeypatch.setattr(module, "_MAX_WAITING_BYTES", 5 * gray(0).nbytes)
    video = VideoRecorder(tmp_path / "video.mp4")
    for number in range(20):
        video.add(gray(number), number / 30)
    assert len(video._waiting) <= 5
    gate.set()
    video.stop()


def test_an_error_of_the_encoder_is_raised_by_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    gate.set()
    use(GatedWriter(gate, fails_at=3), monkeypatch)
    video = VideoRecorder(tmp_path / "video.mp4")
    for number in range(20):
        video.add(gray(number), number / 30)  # does not raise
    with pytest.raises(HeadsplatError, match=r"video.mp4: the disk is full"):
        video.stop()
    assert video.stats().failure == "video.mp4: the disk is full"


def test_ctrl_c_completes_the_video(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoRecorder(tmp_path / "video.mp4") as video:
        for number in range(10):
            video.add(gray(100), number / 30)
        raise KeyboardInterrupt
    assert len(frames_of(tmp_path / "video.mp4")[0]) == 10


def test_an_error_completes_the_video(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoRecorder(tmp_path / "video.mp4") as video:
        video.add(gray(100), 0.0)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_an_error_before_the_first_image_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoRecorder(tmp_path / "video.mp4"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_video_without_images_is_a_one_line_error(tmp_path: Path) -> None:
    video = VideoRecorder(tmp_path / "video.mp4")
    with pytest.raises(HeadsplatError, match=r"video.mp4: no image was rendered, so nothing is recorded"):
        video.stop()
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_rejected_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"video.mp4: cannot be written"):
        VideoRecorder(tmp_path / "file" / "video.mp4")


def test_an_array_of_another_type_is_rejected(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "video.mp4") as video:
        video.add(gray(100), 0.0)
        with pytest.raises(ValueError, match=r"image: expected uint8 \[H,W,3\], got float32 \[48, 64, 3\]"):
            video.add(gray(100).astype(np.float32), 0.1)


@pytest.mark.parametrize(
    ("height", "width", "bars"),
    [
        (100, 100, (slice(None), slice(0, 50))),  # a square with bars left and right
        (50, 200, (slice(0, 25), slice(None))),  # a strip with bars above and below
    ],
)
def test_an_image_of_another_aspect_ratio_gets_black_bars(height: int, width: int, bars: tuple[slice, slice]) -> None:
    frame = letterbox(gray(200, height, width), 200, 100)
    assert frame.shape == (100, 200, 3)
    assert not frame[bars].any() and not frame[::-1, ::-1][bars].any()
    assert (frame > 0).mean() == pytest.approx(0.5)


def test_a_size_that_was_halved_and_rounded_gets_no_bars() -> None:
    assert letterbox(gray(200, 170, 227), 455, 341).min() == 200
