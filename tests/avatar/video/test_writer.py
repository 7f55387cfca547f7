"""The writer: output and messages after Ctrl-C, failures and invalid options; the audio track."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.errors import HeadsplatError
from avatar.video import Encoding, Writer, open_output, write_video
from avatar.video.tracks import VideoTrack
from tests.avatar.video.reading import audio_of, decoded, fill, images, packet_times, planes, write_audio


def interrupted(path: Path, count: int, **options) -> object:
    writer = open_output(path, 25, **options)
    with pytest.raises(KeyboardInterrupt), writer:
        for frame in images(5)[:count]:
            writer.add(frame)
        raise KeyboardInterrupt
    return writer


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_ctrl_c_keeps_a_playable_video_of_the_frames_so_far(tmp_path: Path, name: str) -> None:
    writer = interrupted(tmp_path / name, 5)
    assert (writer.interrupted, writer.count) == (True, 5)
    assert len(decoded(tmp_path / name)) == 5
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_ctrl_c_keeps_the_images_so_far(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", 3, first_frame=7)
    assert sorted(file.name for file in (tmp_path / "out").glob("*.png")) == ["00007.png", "00008.png", "00009.png"]


def test_ctrl_c_before_the_first_frame_discards_the_output(tmp_path: Path) -> None:
    interrupted(tmp_path / "a.mp4", 0)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_discards_an_output_that_must_be_complete(tmp_path: Path) -> None:
    interrupted(tmp_path / "a.mp4", 3, complete_only=True)
    assert list(tmp_path.iterdir()) == []


def slow_encoder(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    encode = VideoTrack.write

    def slow(self, *arguments) -> None:
        time.sleep(seconds)
        encode(self, *arguments)

    monkeypatch.setattr(VideoTrack, "write", slow)


def ctrl_c_while_it_waits(path: Path, after: list[float], **options) -> Writer:
    """A writer that was interrupted by Ctrl-C after its last frame, while it waited for the encoder."""
    writer = open_output(path, 25, **options)
    timers = [threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in after]
    with pytest.raises(KeyboardInterrupt), writer:
        for frame in images(5):
            writer.add(frame)
        for timer in timers:
            timer.start()
    for timer in timers:
        timer.join()
    return writer


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_ctrl_c_during_the_wait_for_the_encoder_keeps_the_full_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    slow_encoder(monkeypatch, 0.1)
    writer = ctrl_c_while_it_waits(tmp_path / name, [0.1])
    assert (writer.interrupted, writer.finished, writer.count) == (True, True, 5)
    assert len(decoded(tmp_path / name)) == 5
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_during_the_wait_discards_an_output_that_must_be_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_encoder(monkeypatch, 0.1)
    assert not ctrl_c_while_it_waits(tmp_path / "a.mp4", [0.1], complete_only=True).finished
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_a_second_ctrl_c_ends_the_wait_and_the_thread_finishes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_encoder(monkeypatch, 0.3)
    writer = ctrl_c_while_it_waits(tmp_path / "a.mp4", [0.1, 0.3])
    assert not writer.finished
    for thread in threading.enumerate():
        if thread.name == "writing a.mp4":
            thread.join()
    assert writer.finished
    assert len(decoded(tmp_path / "a.mp4")) == 5


@pytest.mark.parametrize("name", ["a.mp4", "out"])
def test_other_exceptions_discard_the_output(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="stop"), open_output(tmp_path / name, 25) as writer:
        writer.add(images(1)[0])
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="checks with POSIX whether a process runs")
@pytest.mark.parametrize("name", ["a.mp4", "out"])
def test_temporary_files_of_a_killed_process_are_removed_by_the_next_run(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    left = tmp_path / f".{path.stem}.99999999.partial{path.suffix}"
    left.touch() if path.suffix else left.mkdir()
    fill(open_output(path, 25), images(2))
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_the_memory_of_an_image_can_be_reused_immediately(tmp_path: Path) -> None:
    frames = images(30)
    buffer = np.empty_like(frames[0])
    with open_output(tmp_path / "a.mp4", 25, encoding=Encoding(lossless=True)) as writer:
        for frame in frames:
            np.copyto(buffer, frame)
            writer.add(buffer)
            buffer[:] = 0
    shown = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded(tmp_path / "a.mp4")])
    np.testing.assert_array_equal(shown, frames)


def test_a_slow_encoder_blocks_the_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, ahead, encode = threading.Event(), [], VideoTrack.write

    def slow(self, *arguments) -> None:
        assert go.wait(20)
        encode(self, *arguments)

    monkeypatch.setattr(VideoTrack, "write", slow)
    with open_output(tmp_path / "a.mp4", 25) as writer:

        def feed() -> None:
            for frame in images(40):
                writer.add(frame)
                ahead.append(not go.is_set())

        feeder = threading.Thread(target=feed)
        feeder.start()
        feeder.join(0.5)
        assert feeder.is_alive()
        go.set()
        feeder.join()
    assert 1 <= sum(ahead) <= 8


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_) -> None:
        raise error

    monkeypatch.setattr(VideoTrack, "write", fail)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"a\.mp4: the disk is full; free some space or write somewhere else"),
        (av.error.ExternalError(-542398533, "broken"), r"a\.mp4: cannot be written \(broken\); choose another place"),
    ],
)
def test_a_failure_of_the_encoder_is_raised_with_the_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(HeadsplatError, match=message):
        fill(open_output(tmp_path / "a.mp4", 25), images(20))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_after_the_last_frame_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("no such thing"))
    with pytest.raises(RuntimeError, match="no such thing"):
        fill(open_output(tmp_path / "a.mp4", 25), images(1))


def test_a_full_disk_is_reported_and_discards_the_output(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files the POSIX way")
    noise = np.random.default_rng(2).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(HeadsplatError, match=r"a\.mp4: cannot be written \(File too large\)"):
            fill(open_output(tmp_path / "a.mp4", 25), noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/a.mp4", "file/out"])
def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"file/(a\.mp4|out): cannot be written \(.*\); choose another place"):
        fill(open_output(tmp_path / name, 25), images(1))


def test_a_folder_with_the_name_of_the_video_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(HeadsplatError, match=r"a\.mp4: cannot be written \(a folder of that name exists\)"):
        fill(open_output(tmp_path / "a.mp4", 25), images(1))


REFUSED = [
    ("a.avi", {}, r"a\.avi: cannot write \.avi; give a name in \.mp4, \.mov \(ProRes 4444\) or \.webm \(VP9\), or a"),
    ("a.mp4", {"alpha": True}, r"a\.mp4: \.mp4 cannot store alpha; give a name in \.mov or \.webm, or a folder"),
    ("a.mp4", {"pass_name": "shadow"}, "shadow: no such pass; choose one of rgb, alpha, depth, normals, mesh"),
    ("a.mp4", {"encoding": Encoding("av2")}, "av2: no such codec; choose one of h264, h265, prores, vp9, png, exr"),
    ("a.mp4", {"encoding": Encoding("vp9")}, r"a\.mp4: vp9 is not stored in \.mp4; give a name in \.webm"),
    ("out", {"encoding": Encoding("h264")}, r"out: h264 is not stored in folders; give a name in \.mp4"),
    ("a.mp4", {"encoding": Encoding("exr")}, r"a\.mp4: exr is not stored in \.mp4; give the name of a folder"),
    ("a.mov", {"encoding": Encoding(crf=3)}, r"a\.mov: prores has no quality setting; leave crf out"),
    ("a.mp4", {"encoding": Encoding(crf=60)}, "crf: expected 0 to 51 for h264, got 60"),
    ("a.webm", {"encoding": Encoding(preset="slow")}, r"a\.webm: vp9 has no presets; leave preset out"),
    (
        "a.mp4",
        {"encoding": Encoding(preset="warp")},
        "preset: 'warp' is not a preset; choose one of ultrafast, superfast,",
    ),
    ("a.mov", {"encoding": Encoding(lossless=True)}, r"prores is not lossless here; give an \.mp4 with h264 or a"),
    (
        "out",
        {"audio": "tone.wav"},
        r"out: a folder of images cannot store audio; give a name in \.mp4, \.mov or \.webm",
    ),
    ("a.mp4", {"audio": "none.wav"}, r"none\.wav: no such file; check the path given with --audio"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_unsupported_options_are_refused_before_anything_is_rendered(
    tmp_path: Path, name: str, options: dict, message: str
) -> None:
    with pytest.raises(HeadsplatError, match=message):
        open_output(tmp_path / name, 25, **options)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([np.zeros((4, 4, 4), np.uint8)], r"rgb: expected \[H,W,3\] uint8, got \[4, 4, 4\] uint8"),
        ([np.zeros((4, 4, 3), np.float32)], r"rgb: expected \[H,W,3\] uint8, got \[4, 4, 3\] float32"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], r"rgb: expected \[4, 4\] as in the first"),
    ],
)
def test_images_of_another_format_are_refused(tmp_path: Path, frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, None], "time: expected for every frame or for none"),
        ([0.5, 0.5], "time: expected more than 0.5 seconds, got 0.5"),
        ([float("nan")], "time: expected more than -inf seconds, got nan"),
    ],
)
def test_times_that_are_not_valid_are_refused(tmp_path: Path, times: list[float | None], message: str) -> None:
    with pytest.raises(ValueError, match=message), open_output(tmp_path / "a.mp4", 25) as writer:
        for frame, time in zip(images(2), times, strict=False):
            writer.add(frame, time)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
@pytest.mark.parametrize("seconds", [0.2, 3.0], ids=["padded", "cut"])
def test_audio_has_the_duration_of_the_video(tmp_path: Path, name: str, seconds: float) -> None:
    audio = write_audio(tmp_path / "tone.wav", seconds)
    fill(open_output(tmp_path / name, 25, audio=audio), images(25))
    samples = audio_of(tmp_path / name)
    assert len(samples) == pytest.approx(48000, abs=1)
    peaks = np.abs(samples).reshape(-1, 4800 if len(samples) == 48000 else len(samples)).max(axis=1)
    assert (peaks > 0.3)[: 2 if seconds < 1 else 10].all()
    assert seconds > 1 or peaks[4:].max() < 0.05
    assert packet_times(tmp_path / name)[1] == 1


def test_a_segment_has_the_audio_of_its_time(tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "tone.wav", 1.5)  # then silence
    fill(open_output(tmp_path / "a.mp4", 25, audio=audio, first_frame=25), images(25))
    samples = np.abs(audio_of(tmp_path / "a.mp4"))
    assert samples[10_000:22_000].max() > 0.3
    assert samples[26_000:].max() < 0.05


def test_a_video_without_audio_is_refused_as_audio(tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", images(2), 25)
    message = r"silent\.mp4: contains no audio; give another file with --audio or leave it out"
    with pytest.raises(HeadsplatError, match=message):
        open_output(tmp_path / "a.mp4", 25, audio=tmp_path / "silent.mp4")


def test_a_text_is_refused_as_audio(tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("la la la")
    with pytest.raises(HeadsplatError, match=r"notes\.wav: cannot be read as audio \(.*\); give a wav, mp3, m4a or"):
        open_output(tmp_path / "a.mp4", 25, audio=tmp_path / "notes.wav")


def test_audio_does_not_change_the_frames(tmp_path: Path) -> None:
    tone = write_audio(tmp_path / "tone.wav", 0.5)
    for name, audio in (("with.mp4", tone), ("without.mp4", None)):
        fill(open_output(tmp_path / name, 25, audio=audio), images(6))
    assert planes(tmp_path / "with.mp4") == planes(tmp_path / "without.mp4")
