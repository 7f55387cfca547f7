"""A recording: which frames are kept, how it ends, and how it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.coach.face_state import FaceState
from capture.film.folder import open_film
from capture.film.session import MOST_FRAMES, RADIUS, Filming, film_features
from capture.live.camera import FileFeed, LiveFrame
from capture.live.identity import LearnOptions
from capture.video.selection import FrameSelection
from capture.workspace import growing_film
from tests.capture.video.fake_video import NO_FACE, FakeVideo, fake_models, true_points

LEARN = LearnOptions(seconds=0.5, key_frames=5)


def filming(out: Path, video: FakeVideo, *, resume: bool = False, **options: object) -> Filming:
    """A recording of a video; the face at rest is not asked for."""
    recording = Filming(
        FileFeed(video, "all"), out, lossless=True, models=fake_models(**options), learn=LEARN, resume=resume  # type: ignore[arg-type]
    )  # fmt: skip
    recording.command("skip")
    return recording


def record(out: Path, video: FakeVideo, **options: object) -> Filming:
    """The same, after its end."""
    recording = filming(out, video, **options)  # type: ignore[arg-type]
    recording.start()
    assert recording.wait(60)
    recording.stop()
    return recording


def stored(out: Path) -> list[int]:
    """Numbers of the frames in the folder."""
    film = growing_film(out)
    assert film is not None
    return sorted(int(path.name[:6]) for path in film.glob("*.png"))


def test_frames_are_kept_in_the_folder_as_they_were_filmed(tmp_path: Path) -> None:
    recording = record(tmp_path / "me.capture", FakeVideo(50))
    numbers = stored(tmp_path / "me.capture")
    assert recording.seen == 50 and recording.kept == len(numbers) > 5
    film = growing_film(tmp_path / "me.capture")
    assert film is not None
    assert [frame.rgb[0, 0, 0] for frame in open_film(film, tmp_path)] == numbers


def test_frames_without_a_face_are_not_kept(tmp_path: Path) -> None:
    record(tmp_path / "me.capture", FakeVideo(50, dict.fromkeys(range(30, 50), NO_FACE)))
    assert max(stored(tmp_path / "me.capture")) < 30


def test_frames_with_another_person_are_not_kept(tmp_path: Path) -> None:
    recording = record(tmp_path / "me.capture", FakeVideo(50), other=0.8)
    shown = recording.shown()
    assert recording.kept == 0 and shown is not None and shown.advice.warning == "people"


def test_the_newest_frame_is_shown_with_the_advice(tmp_path: Path) -> None:
    recording = record(tmp_path / "me.capture", FakeVideo(50))
    shown = recording.shown()
    assert shown is not None and shown.rgb[0, 0, 0] == 49 and shown.frames == 50
    assert shown.advice.request and shown.kept == recording.kept


def test_a_recording_that_is_stopped_keeps_its_frames(tmp_path: Path) -> None:
    recording = filming(tmp_path / "me.capture", FakeVideo(10_000))
    recording.start()
    while recording.kept < 3:
        assert not recording.wait(0.01)
    recording.stop()
    assert len(stored(tmp_path / "me.capture")) == recording.kept >= 3 and recording.wait(0)


def test_a_camera_that_fails_is_reported(tmp_path: Path) -> None:
    class Unplugged(FileFeed):
        def frames(self) -> Iterator[LiveFrame]:
            raise HeadsplatError("webcam 0: no more frames arrive; reconnect the camera and restart")
            yield

    recording = Filming(Unplugged(FakeVideo(3), "all"), tmp_path / "me.capture", models=fake_models())
    recording.start()
    with pytest.raises(HeadsplatError, match="webcam 0: no more frames arrive"):
        recording.wait(10)
    recording.stop()


def test_an_error_of_the_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.suffix == ".png":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("capture.film.folder.write_atomically", full)
    recording = filming(tmp_path / "me.capture", FakeVideo(50))
    recording.start()
    with pytest.raises(HeadsplatError, match="the disk is full"):
        while not recording.wait(0.1):
            pass
    recording.stop()


def test_of_a_person_who_does_not_move_frames_are_kept_evenly() -> None:
    selection = FrameSelection(MOST_FRAMES, RADIUS)
    points = true_points(0, 0).astype(np.float32)
    for number in range(90):
        selection.offer(number, film_features(FaceState(number / 30), points), 0.1)
    assert 20 <= len(selection) <= 45


def test_frames_differ_by_face_gaze_winks_and_time() -> None:
    points = true_points(0, 0).astype(np.float32)
    plain = film_features(FaceState(0), points)
    others = [
        film_features(FaceState(0), true_points(9, 0).astype(np.float32)),
        film_features(FaceState(0, gaze=(12, 0)), points),
        film_features(FaceState(0, expression={"eyeBlinkLeft": 1.0}), points),
        film_features(FaceState(5), points),
    ]
    assert [bool(np.linalg.norm(other - plain) > 0.5) for other in others] == [True] * 4


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recording that has ended."""
    out = tmp_path_factory.mktemp("ended") / "me.capture"
    record(out, FakeVideo(50))
    return out


def resumed(ended: Path, out: Path, noted: bytes | None = None) -> Filming:
    """A recording that goes on in a copy `out`, of which this is noted in place of what it was."""
    shutil.copytree(ended, out)
    film = growing_film(out)
    assert film is not None
    if noted is not None:
        (film / "shown.json").write_bytes(noted)
    return record(out, FakeVideo(50), resume=True)


def test_a_recording_goes_on_where_one_has_ended(ended: Path, tmp_path: Path) -> None:
    shown = json.loads((ended / "partial" / "film" / "shown.json").read_bytes())
    shown["coach"]["requests"]["smile"][""] = 9.0
    recording = resumed(ended, tmp_path / "me.capture", json.dumps(shown).encode())
    film = growing_film(tmp_path / "me.capture")
    assert film is not None
    time = [frame.time for frame in open_film(film, ended)]
    assert recording.kept == len(time) > len(stored(ended)) and max(np.diff(time)) > 1
    advice = recording.shown()
    assert advice is not None and "smile" in {item.key for item in advice.advice.items if item.status == "done"}


@pytest.mark.parametrize("noted", [b"", b'{"coach": {}, "selection": {"radius": "x"}}'])
def test_frames_of_which_nothing_is_known_stay(ended: Path, tmp_path: Path, noted: bytes) -> None:
    recording = resumed(ended, tmp_path / "me.capture", noted)
    after = stored(tmp_path / "me.capture")
    assert set(stored(ended)) < set(after) and recording.kept == len(after)
