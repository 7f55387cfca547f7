"""A live recording is on disk as it grows: kill -9 loses at most its last second, a full disk only what follows."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.cli.progress import SENTENCES
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.recording import Recording
from avatar.motion import read_motion
from tests.avatar.jobs.test_recording import gray_image, levels_of, names_in, sample_at
from tests.support.face_sender import MotionFile, live_link
from tests.support.live_recording import FIRST, LAST, STALL
from viewer.outputs.video_recorder import VideoRecorder

ROOT = Path(__file__).parents[3]


def frames_in(path: Path) -> int:
    """How many frames of a video can be decoded, up to the first that is not whole; 0 where it has no header yet."""
    count = 0
    with contextlib.suppress(av.error.FFmpegError), av.open(str(path)) as container:
        for _ in container.decode(video=0):
            count += 1
    return count


def packets_in(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def packet(seconds: float) -> bytes:
    """A Live Link packet of a face that moves all the time."""
    weights = np.full((1, len(ARKIT_52)), 0.5 + 0.4 * np.sin(5 * seconds), np.float32)
    return live_link(MotionFile(list(ARKIT_52), np.array([seconds]), weights, np.zeros((1, 5, 3)), np.zeros((1, 3))), 0)


def record_and_kill(folder: Path, seconds: float) -> np.ndarray:
    """Record until `seconds` of samples were shown, then kill -9; returns the times of the file `shown`."""
    command = [sys.executable, "-m", "tests.support.live_recording", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address, start = ("127.0.0.1", int(process.stdout.readline())), time.monotonic()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                while True:
                    assert process.poll() is None and time.monotonic() < start + 60, "ended, or timeout"
                    sender.sendto(packet(time.monotonic() - start), address)
                    time.sleep(1 / 60)
                    shown = np.frombuffer((folder / "shown").read_bytes())
                    if shown[LAST] - shown[FIRST] > seconds:
                        break
        finally:
            process.kill()
    return np.frombuffer((folder / "shown").read_bytes())


def test_kill_9_during_a_live_recording_loses_at_most_one_second(tmp_path: Path) -> None:
    shown = record_and_kill(tmp_path, random.uniform(1.5, 2.5))
    length, lost = shown[LAST] - shown[FIRST], 1 + shown[STALL]  # the machine may have stopped the process for a while
    assert names_in(tmp_path) == ["shown", "take.partial.csv", "take.partial.mp4"]
    motion = read_motion(tmp_path / "take.partial.csv")
    assert length - lost <= float(motion.time[-1]) <= length + 0.1
    assert (motion.weights > 0.05).all() and float(motion.weights.std()) > 0.1
    assert length - lost <= frames_in(tmp_path / "take.partial.mp4") / 30 <= length + 0.1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_a_video_can_be_played_as_it_grows_and_becomes_an_ordinary_file(suffix: str, tmp_path: Path) -> None:
    random, partial = np.random.default_rng(0), tmp_path / f"take.partial{suffix}"
    with VideoRecorder(tmp_path / f"take{suffix}") as video:
        for number in range(25):
            video.add(random.integers(0, 256, (32, 32, 3), np.uint8), number / 30)
        video.hold(3.0)
        ends = time.monotonic() + 10
        while frames_in(partial) < 60:  # of 90
            assert time.monotonic() < ends, "timeout"
            time.sleep(0.05)
        packets = packets_in(partial)
    final = tmp_path / f"take{suffix}"
    assert names_in(tmp_path) == [final.name] and frames_in(final) == 91
    assert packets_in(final)[: len(packets)] == packets  # copied, not encoded again
    if suffix != ".webm":
        content = final.read_bytes()
        assert b"moof" not in content and content.index(b"moov") < content.index(b"mdat")


def both(folder: Path) -> tuple[Path, Path]:
    """A motion and a video to record."""
    return folder / "take.csv", folder / "take.mp4"


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let writes beyond `size` bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_reported_once_and_keeps_what_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0)
    with largest_file(200_000), Recording(both(tmp_path), notices=SENTENCES) as recording:
        for number in range(120):
            recording.add_sample(sample_at(50 + number / 30))
            recording.add_image(noise.integers(0, 256, (128, 128, 3), np.uint8), 50 + number / 30)
            time.sleep(0.01)
    failures = [message for message in recording.messages if message.startswith(f"{tmp_path / 'take.mp4'}: cannot")]
    assert len(failures) == 1 and failures[0].endswith(f"; what was recorded is in {tmp_path / 'take.partial.mp4'}")
    assert recording.failed == 1
    assert capsys.readouterr().err.count("take.mp4: cannot be written") == 1
    assert names_in(tmp_path) == ["take.csv", "take.partial.mp4"]
    assert len(read_motion(tmp_path / "take.csv")) == 120
    assert len(levels_of(tmp_path / "take.partial.mp4")) > 5


def test_a_full_disk_keeps_the_motion_so_far_and_the_video_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = np.random.default_rng(0).random((150, 52), np.float32)
    with largest_file(60_000), Recording(both(tmp_path), notices=SENTENCES) as recording:
        for number in range(150):
            recording.add_sample(replace(sample_at(50 + number / 30), weights=weights[number]))
            recording.add_image(gray_image(), 50 + number / 30)
            time.sleep(0.01)
    assert capsys.readouterr().err.count("take.csv: cannot be written") == 1
    assert recording.failed == 1
    (motion,) = (name for name in names_in(tmp_path) if name != "take.mp4")
    assert motion in ("take.csv", "take.partial.csv")  # what is written may fit into the finished file, or not
    assert 20 < len(read_motion(tmp_path / motion)) < 150
    assert frames_in(tmp_path / "take.mp4") == 150


def test_the_next_recording_keeps_what_a_killed_one_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("take.partial.csv", "take.partial.mp4"):
        (tmp_path / name).write_text("of a killed run")
    for _ in range(2):
        with Recording(both(tmp_path), overwrite=True, notices=SENTENCES) as recording:
            recording.add_sample(sample_at(50.0))
            recording.add_image(gray_image(), 50.0)
        assert not recording.failed
        assert f"{tmp_path / 'take.partial.mp4'}: the file of a recording that" in capsys.readouterr().err
    assert names_in(tmp_path) == ["take.csv", "take.mp4", "take.partial.csv", "take.partial.mp4"]
    assert (
        (tmp_path / "take.partial.csv").read_text() == (tmp_path / "take.partial.mp4").read_text() == "of a killed run"
    )


def test_a_video_that_cannot_be_completed_stays_under_its_partial_name(tmp_path: Path) -> None:
    video = VideoRecorder(tmp_path / "take.mp4")
    video.add(gray_image(), 0.0)
    (tmp_path / "take.mp4").mkdir()
    with pytest.raises(HeadsplatError) as failure:
        video.stop()
    assert str(failure.value).startswith(f"{tmp_path / 'take.mp4'}: ")
    assert str(failure.value).endswith(f"; what was recorded is in {tmp_path / 'take.partial.mp4'}")
    assert frames_in(tmp_path / "take.partial.mp4") == 1
