"""Films of the window: true to time, bounded, whole or not there."""

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
from viewer.outputs.letterbox import fitted
from viewer.outputs.video_recorder import VideoRecorder


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def frames_of(path: Path) -> tuple[list[np.ndarray], list[Fraction]]:
    """The pictures [H,W,3] of a video and their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        times = [frame.pts * frame.time_base for frame in decoded]
        return [frame.to_ndarray(format="rgb24") for frame in decoded], times


def levels_of(path: Path) -> list[int]:
    """The gray level of each frame, to the nearest ten: far coarser than what H.264 changes."""
    return [10 * round(float(frame.mean()) / 10) for frame in frames_of(path)[0]]


class GatedWriter:
    """Stands in for the encoder: takes a frame whenever the gate is open."""

    def __init__(self, gate: threading.Event, fails_at: int = -1) -> None:
        self.gate, self.fails_at = gate, fails_at
        self.levels: list[int] = []
        self.written = threading.Condition()

    def __enter__(self) -> GatedWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def add(self, picture: np.ndarray) -> None:
        self.gate.wait(10)
        if len(self.levels) == self.fails_at:
            raise HeadsplatError("film.mp4: the disk is full")
        with self.written:
            self.levels.append(int(picture[0, 0, 0]))
            self.written.notify()

    def reached(self, count: int) -> bool:
        """Whether so many frames come without any more being asked for."""
        with self.written:
            return self.written.wait_for(lambda: len(self.levels) >= count, 10)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for all pictures, which a test gives faster than anything moves."""
    monkeypatch.setattr(module, "_MOST_WAITING", 1000)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "film.webm"])
def test_frame_k_is_at_k_over_the_rate(name: str, tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / name) as film:
        for number in range(31):
            film.add(gray(100), 7.0 + number / 30)
    times = frames_of(tmp_path / name)[1]
    # A webm counts milliseconds.
    assert [float(time) for time in times] == pytest.approx([k / 30 for k in range(31)], abs=5.1e-4)


@pytest.mark.usefixtures("patient")
def test_each_picture_is_seen_from_the_frame_nearest_to_it(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    times = 1e5 + np.cumsum(random.choice([0.004, 0.03, 0.11], 60))
    levels = random.choice(np.arange(20, 240, 10), 60)
    with VideoRecorder(tmp_path / "film.mp4") as film:
        for time, level in zip(times, levels, strict=True):
            film.add(gray(int(level)), float(time))
    expected = []
    nearest = np.floor((times - times[0]) * 30 + 0.5)
    for k in range(int(nearest[-1]) + 1):
        expected.append(int(levels[np.flatnonzero(nearest <= k)[-1]]))
    assert levels_of(tmp_path / "film.mp4") == expected
    facts = film.stats()
    assert facts["passed"] == 60 - len(np.unique(nearest))
    assert (facts["frames"], facts["dropped"]) == (len(expected), 0)


@pytest.mark.usefixtures("patient")
def test_pictures_at_the_films_own_rate_are_each_shown_once_though_they_come_unevenly(tmp_path: Path) -> None:
    levels = [20 + 10 * (number % 22) for number in range(40)]
    uneven = np.random.default_rng(0).uniform(-0.008, 0.008, 40)
    with VideoRecorder(tmp_path / "film.mp4", rate=29.97) as film:
        for number, level in enumerate(levels):
            film.add(gray(level), 12345.678 + number * 1001 / 30000 + float(uneven[number]))
    assert levels_of(tmp_path / "film.mp4") == levels


def test_a_picture_may_be_overwritten_after_the_call(tmp_path: Path) -> None:
    picture = gray(200)
    with VideoRecorder(tmp_path / "film.mp4") as film:
        film.add(picture, 0.0)
        picture[:] = 20
        film.add(picture, 0.1)
    assert levels_of(tmp_path / "film.mp4") == [200, 200, 200, 20]


def test_the_film_begins_where_it_is_told_and_shows_the_first_picture_till_the_second(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "film.mp4") as film:
        film.begin(10.0)
        film.begin(10.2)  # once only
        film.add(gray(50), 10.1)
        film.add(gray(200), 10.2)
    assert levels_of(tmp_path / "film.mp4") == [50] * 6 + [200]


def test_the_last_picture_is_seen_as_long_as_it_is_held(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "film.mp4") as film:
        film.hold(5.0)  # nothing to hold yet
        film.add(gray(50), 10.0)
        film.add(gray(200), 10.1)
        film.hold(10.3)
        film.hold(10.2)
    assert levels_of(tmp_path / "film.mp4") == [50] * 3 + [200] * 7


def test_a_held_picture_is_written_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    gate.set()
    writer = GatedWriter(gate)
    monkeypatch.setattr(module, "open_output", lambda path, rate: writer)
    film = VideoRecorder(tmp_path / "film.mp4")
    film.add(gray(50), 0.0)
    film.hold(10.0)
    assert writer.reached(300)  # the last of 301 may become another picture's
    film.add(gray(100), 10.0)
    film.add(gray(150), 10.1)
    film.hold(10.2)
    film.stop()
    assert writer.levels == [50] * 300 + [100] * 3 + [150] * 4


def test_a_time_that_runs_back_is_taken_for_the_last_one(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "film.mp4") as film:
        for level, time in ((50, 0.0), (100, 0.1), (200, 0.07)):
            film.add(gray(level), time)
    assert levels_of(tmp_path / "film.mp4") == [50, 50, 50, 200]


def test_pictures_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    half = np.zeros((24, 32, 3), np.uint8)
    half[:, 16:] = 200
    with VideoRecorder(tmp_path / "film.mp4") as film:
        film.add(gray(100), 0.0)
        film.add(half, 1 / 30)
        film.add(gray(100), 2 / 30)
    frame = frames_of(tmp_path / "film.mp4")[0][1]
    assert frame.shape == (48, 64, 3)
    assert frame[:, :28].mean() < 10 and abs(frame[:, 36:].mean() - 200) < 10


def test_a_slow_encoder_costs_pictures_and_neither_memory_nor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    writer = GatedWriter(gate)
    monkeypatch.setattr(module, "open_output", lambda path, rate: writer)
    film = VideoRecorder(tmp_path / "film.mp4")
    for number in range(200):
        film.add(gray(number), number / 30)
        waiting = len(film._waiting) + len(film._spare)
        assert waiting <= 33
    gate.set()
    film.stop()
    facts = film.stats()
    assert facts["dropped"] in (168, 169, 170)  # one or two more may have been taken by the encoder
    assert len(writer.levels) == facts["frames"] == 200
    assert all(level <= frame for frame, level in enumerate(writer.levels))
    assert writer.levels[:30] == list(range(30))


def test_large_pictures_wait_in_fewer_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module, "open_output", lambda path, rate: GatedWriter(gate))
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 5 * gray(0).nbytes)
    film = VideoRecorder(tmp_path / "film.mp4")
    for number in range(20):
        film.add(gray(number), number / 30)
    assert len(film._waiting) <= 5
    gate.set()
    film.stop()


def test_what_the_encoder_refuses_is_said_when_the_film_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    gate.set()
    monkeypatch.setattr(module, "open_output", lambda path, rate: GatedWriter(gate, fails_at=3))
    film = VideoRecorder(tmp_path / "film.mp4")
    for number in range(20):
        film.add(gray(number), number / 30)  # the window goes on
    with pytest.raises(HeadsplatError, match=r"film.mp4: the disk is full"):
        film.stop()
    assert film.stats()["failure"] == "film.mp4: the disk is full"


def test_ctrl_c_leaves_the_film_so_far(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoRecorder(tmp_path / "film.mp4") as film:
        for number in range(10):
            film.add(gray(100), number / 30)
        raise KeyboardInterrupt
    assert len(frames_of(tmp_path / "film.mp4")[0]) == 10


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), VideoRecorder(tmp_path / "film.mp4") as film:
        film.add(gray(100), 0.0)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_film_without_pictures_is_a_sentence(tmp_path: Path) -> None:
    film = VideoRecorder(tmp_path / "film.mp4")
    with pytest.raises(HeadsplatError, match=r"film.mp4: no picture was drawn, so nothing is recorded"):
        film.stop()
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"film.mp4: cannot be written"):
        VideoRecorder(tmp_path / "file" / "film.mp4")


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "film.mp4") as film:
        film.add(gray(100), 0.0)
        with pytest.raises(ValueError, match=r"picture: expected uint8 \[H,W,3\], got float32 \[48, 64, 3\]"):
            film.add(gray(100).astype(np.float32), 0.1)


@pytest.mark.parametrize(
    ("height", "width", "bars"),
    [
        (100, 100, (slice(None), slice(0, 50))),  # a square between two bars
        (50, 200, (slice(0, 25), slice(None))),  # a strip between two
    ],
)
def test_a_picture_of_another_shape_lies_between_black_bars(height: int, width: int, bars: tuple[slice, slice]) -> None:
    frame = fitted(gray(200, height, width), 200, 100)
    assert frame.shape == (100, 200, 3)
    assert not frame[bars].any() and not frame[::-1, ::-1][bars].any()
    assert (frame > 0).mean() == pytest.approx(0.5)


def test_a_size_that_was_halved_and_rounded_gets_no_bars() -> None:
    assert fitted(gray(200, 170, 227), 455, 341).min() == 200
