"""The writer's promises: what Ctrl-C, failures and refusals leave and say; the sound beside the pictures."""

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
from avatar.video.tracks import PictureTrack
from tests.avatar.video.reading import decoded, fill, packet_times, pictures, planes, sound_of, write_sound


def interrupted(path: Path, count: int, **options) -> object:
    writer = open_output(path, 25, **options)
    with pytest.raises(KeyboardInterrupt), writer:
        for frame in pictures(5)[:count]:
            writer.add(frame)
        raise KeyboardInterrupt
    return writer


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_ctrl_c_leaves_a_playable_video_of_the_frames_so_far(tmp_path: Path, name: str) -> None:
    writer = interrupted(tmp_path / name, 5)
    assert (writer.interrupted, writer.count) == (True, 5)
    assert len(decoded(tmp_path / name)) == 5
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_ctrl_c_leaves_the_pictures_so_far(tmp_path: Path) -> None:
    interrupted(tmp_path / "out", 3, first_frame=7)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["00007.png", "00008.png", "00009.png"]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    interrupted(tmp_path / "a.mp4", 0)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_of_what_must_be_whole(tmp_path: Path) -> None:
    interrupted(tmp_path / "a.mp4", 3, only_whole=True)
    assert list(tmp_path.iterdir()) == []


def slow_encoder(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    encode = PictureTrack.write

    def slow(self, *arguments) -> None:
        time.sleep(seconds)
        encode(self, *arguments)

    monkeypatch.setattr(PictureTrack, "write", slow)


def ctrl_c_while_it_waits(path: Path, after: list[float], **options) -> Writer:
    """A writer whose block ended well, and that Ctrl-C met so many seconds later, as it waited for the encoder."""
    writer = open_output(path, 25, **options)
    timers = [threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in after]
    with pytest.raises(KeyboardInterrupt), writer:
        for frame in pictures(5):
            writer.add(frame)
        for timer in timers:
            timer.start()
    for timer in timers:
        timer.join()
    return writer


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
def test_ctrl_c_while_the_encoder_catches_up_leaves_the_whole_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    slow_encoder(monkeypatch, 0.1)
    writer = ctrl_c_while_it_waits(tmp_path / name, [0.1])
    assert (writer.interrupted, writer.finished, writer.count) == (True, True, 5)
    assert len(decoded(tmp_path / name)) == 5
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_ctrl_c_while_the_encoder_catches_up_leaves_nothing_of_what_must_be_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_encoder(monkeypatch, 0.1)
    assert not ctrl_c_while_it_waits(tmp_path / "a.mp4", [0.1], only_whole=True).finished
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
def test_one_ctrl_c_more_ends_the_wait_and_the_thread_finishes_alone(
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
def test_other_exceptions_leave_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="stop"), open_output(tmp_path / name, 25) as writer:
        writer.add(pictures(1)[0])
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="asks POSIX whether a process lives")
@pytest.mark.parametrize("name", ["a.mp4", "out"])
def test_what_a_killed_process_left_is_removed_by_the_next_run(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    left = tmp_path / f".{path.stem}.99999999.partial{path.suffix}"
    left.touch() if path.suffix else left.mkdir()
    fill(open_output(path, 25), pictures(2))
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_memory_of_a_picture_may_be_used_again_at_once(tmp_path: Path) -> None:
    frames = pictures(30)
    buffer = np.empty_like(frames[0])
    with open_output(tmp_path / "a.mp4", 25, encoding=Encoding(lossless=True)) as writer:
        for frame in frames:
            np.copyto(buffer, frame)
            writer.add(buffer)
            buffer[:] = 0
    shown = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded(tmp_path / "a.mp4")])
    np.testing.assert_array_equal(shown, frames)


def test_a_slow_encoder_holds_the_renderer_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, ahead, encode = threading.Event(), [], PictureTrack.write

    def slow(self, *arguments) -> None:
        assert go.wait(20)
        encode(self, *arguments)

    monkeypatch.setattr(PictureTrack, "write", slow)
    with open_output(tmp_path / "a.mp4", 25) as writer:

        def feed() -> None:
            for frame in pictures(40):
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

    monkeypatch.setattr(PictureTrack, "write", fail)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"a\.mp4: the disk is full; free some space or write somewhere else"),
        (av.error.ExternalError(-542398533, "broken"), r"a\.mp4: cannot be written \(broken\); choose another place"),
    ],
)
def test_a_failure_of_the_encoder_surfaces_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(HeadsplatError, match=sentence):
        fill(open_output(tmp_path / "a.mp4", 25), pictures(20))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_after_the_last_frame_surfaces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("no such thing"))
    with pytest.raises(RuntimeError, match="no such thing"):
        fill(open_output(tmp_path / "a.mp4", 25), pictures(1))


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
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
def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadsplatError, match=r"file/(a\.mp4|out): cannot be written \(.*\); choose another place"):
        fill(open_output(tmp_path / name, 25), pictures(1))


def test_a_folder_in_the_place_of_a_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(HeadsplatError, match=r"a\.mp4: cannot be written \(a folder of that name is there\)"):
        fill(open_output(tmp_path / "a.mp4", 25), pictures(1))


REFUSED = [
    ("a.avi", {}, r"a\.avi: cannot write \.avi; give a name in \.mp4, \.mov \(ProRes 4444\) or \.webm \(VP9\), or a"),
    ("a.mp4", {"alpha": True}, r"a\.mp4: \.mp4 holds no alpha; give a name in \.mov or \.webm, or a folder"),
    ("a.mp4", {"picture": "shadow"}, "shadow: no such picture; choose one of rgb, alpha, depth, normals, mesh"),
    ("a.mp4", {"encoding": Encoding("av2")}, "av2: no such codec; choose one of h264, h265, prores, vp9, png, exr"),
    ("a.mp4", {"encoding": Encoding("vp9")}, r"a\.mp4: vp9 is not stored in \.mp4; give a name in \.webm"),
    ("out", {"encoding": Encoding("h264")}, r"out: h264 is not stored in folders; give a name in \.mp4"),
    ("a.mp4", {"encoding": Encoding("exr")}, r"a\.mp4: exr is not stored in \.mp4; give the name of a folder"),
    ("a.mov", {"encoding": Encoding(crf=3)}, r"a\.mov: prores has no quality to choose; leave crf out"),
    ("a.mp4", {"encoding": Encoding(crf=60)}, "crf: expected 0 to 51 for h264, got 60"),
    ("a.webm", {"encoding": Encoding(preset="slow")}, r"a\.webm: vp9 has no preset to choose; leave preset out"),
    ("a.mp4", {"encoding": Encoding(preset="warp")}, "preset: 'warp' is none; choose one of ultrafast, superfast,"),
    ("a.mov", {"encoding": Encoding(lossless=True)}, r"prores is not lossless here; give an \.mp4 with h264 or a"),
    ("out", {"audio": "tone.wav"}, r"out: a folder of pictures holds no sound; give a name in \.mp4, \.mov or \.webm"),
    ("a.mp4", {"audio": "none.wav"}, r"none\.wav: no such file; check the path given with --audio"),
]


@pytest.mark.parametrize(("name", "options", "sentence"), REFUSED)
def test_what_a_file_cannot_hold_is_refused_before_anything_is_rendered(
    tmp_path: Path, name: str, options: dict, sentence: str
) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        open_output(tmp_path / name, 25, **options)


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([np.zeros((4, 4, 4), np.uint8)], r"rgb: expected \[H,W,3\] uint8, got \[4, 4, 4\] uint8"),
        ([np.zeros((4, 4, 3), np.float32)], r"rgb: expected \[H,W,3\] uint8, got \[4, 4, 3\] float32"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], r"rgb: expected \[4, 4\] as in the first"),
    ],
)
def test_pictures_of_another_kind_are_refused(tmp_path: Path, frames: list[np.ndarray], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        write_video(tmp_path / "a.mp4", frames, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([0.0, None], "time: expected for every frame or for none"),
        ([0.5, 0.5], "time: expected more than 0.5 seconds, got 0.5"),
        ([float("nan")], "time: expected more than -inf seconds, got nan"),
    ],
)
def test_times_that_are_none_are_refused(tmp_path: Path, times: list[float | None], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence), open_output(tmp_path / "a.mp4", 25) as writer:
        for frame, time in zip(pictures(2), times, strict=False):
            writer.add(frame, time)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm"])
@pytest.mark.parametrize("seconds", [0.2, 3.0], ids=["padded", "cut"])
def test_sound_is_as_long_as_the_pictures(tmp_path: Path, name: str, seconds: float) -> None:
    sound = write_sound(tmp_path / "tone.wav", seconds)
    fill(open_output(tmp_path / name, 25, audio=sound), pictures(25))
    samples = sound_of(tmp_path / name)
    assert len(samples) == pytest.approx(48000, abs=1)
    heard = np.abs(samples).reshape(-1, 4800 if len(samples) == 48000 else len(samples)).max(axis=1)
    assert (heard > 0.3)[: 2 if seconds < 1 else 10].all()
    assert seconds > 1 or heard[4:].max() < 0.05
    assert packet_times(tmp_path / name)[1] == 1


def test_a_piece_has_the_sound_of_its_own_time(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "tone.wav", 1.5)  # and then nothing
    fill(open_output(tmp_path / "a.mp4", 25, audio=sound, first_frame=25), pictures(25))
    samples = np.abs(sound_of(tmp_path / "a.mp4"))
    assert samples[10_000:22_000].max() > 0.3
    assert samples[26_000:].max() < 0.05


def test_a_video_without_sound_is_refused_as_sound(tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", pictures(2), 25)
    sentence = r"silent\.mp4: there is no sound in it; give another file with --audio or leave it out"
    with pytest.raises(HeadsplatError, match=sentence):
        open_output(tmp_path / "a.mp4", 25, audio=tmp_path / "silent.mp4")


def test_a_text_is_refused_as_sound(tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("la la la")
    with pytest.raises(HeadsplatError, match=r"notes\.wav: cannot be read as sound \(.*\); give a wav, mp3, m4a or"):
        open_output(tmp_path / "a.mp4", 25, audio=tmp_path / "notes.wav")


def test_sound_does_not_change_the_pictures(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "tone.wav", 0.5)
    for name, audio in (("with.mp4", sound), ("without.mp4", None)):
        fill(open_output(tmp_path / name, 25, audio=audio), pictures(6))
    assert planes(tmp_path / "with.mp4") == planes(tmp_path / "without.mp4")
