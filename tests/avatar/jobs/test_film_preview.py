"""Avatars of a person who is still being filmed, and their images in the window."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.film_preview import SIDE, AvatarMirror, FilmedFace, FilmPreview, Stage, portrait, serve
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, save_avatar
from capture.coach.coach import Coach
from capture.film.folder import FilmFolder
from capture.film.session import Shown
from capture.film.snapshot import capture_so_far, count_frames
from capture.options import CaptureOptions
from capture.workspace import growing_film
from tests.capture.video.fake_video import FakeVideo, fake_models, fit_person_quickly


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilmFolder:
    """A film of 20 frames so far."""
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)
    folder = FilmFolder(tmp_path / "me.capture", "webcam 0", CaptureOptions())
    add(folder, range(20))
    return folder


def add(folder: FilmFolder, numbers: range) -> None:
    """Film more frames."""
    for frame in FakeVideo(numbers.stop):
        if frame.number in numbers:
            folder.add(frame.number, frame.time, frame.rgb)


def path_of(folder: FilmFolder) -> Path:
    found = growing_film(folder.out)
    assert found is not None
    return found


def test_a_capture_of_the_frames_so_far_leaves_the_film_as_it_is(film: FilmFolder, tmp_path: Path) -> None:
    before = sorted(path.name for path in path_of(film).iterdir())
    capture = capture_so_far(path_of(film), tmp_path / "now.capture", fake_models())
    assert len(capture) == 20 == count_frames(path_of(film))
    assert sorted(path.name for path in path_of(film).iterdir()) == before
    film.drop(3)
    add(film, range(20, 26))
    assert len(capture_so_far(path_of(film), tmp_path / "later.capture", fake_models())) == 25


def test_a_film_without_frames_cannot_be_captured(tmp_path: Path) -> None:
    assert count_frames(tmp_path / "nothing") == 0
    (tmp_path / "film").mkdir()
    with pytest.raises(HeadsplatError, match="a film without frames"):
        capture_so_far(tmp_path / "film", tmp_path / "now.capture")


def test_each_stage_trains_on_the_frames_that_there_are_then(film: FilmFolder, tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    stages = (Stage(16, 32, 4, 300), Stage(5, 32, 4, 400))
    folder = tmp_path / "avatars"
    folder.mkdir()
    stopped = threading.Event()

    def run() -> None:
        try:
            serve(theirs, path_of(film), folder, stages, fake_models())
        except (EOFError, OSError):
            stopped.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ours.poll(60)
    first = load_avatar(ours.recv())
    assert len(first) == 300
    assert not ours.poll(0.3)
    add(film, range(20, 26))
    assert ours.poll(60)
    second = load_avatar(ours.recv())
    assert len(second) == 400
    assert {path.suffix for path in folder.iterdir()} == {".avatar"}
    ours.close()
    thread.join(10)
    assert stopped.is_set()


def test_the_process_ends_and_leaves_nothing(tmp_path: Path) -> None:
    preview = FilmPreview(tmp_path)
    folder = preview.folder
    preview.start()
    assert folder.is_dir() and preview.newest() is None
    preview.stop()
    preview.stop()
    assert not folder.exists() and preview.newest() is None


def test_the_process_may_be_stopped_while_the_newest_avatar_is_looked_for(tmp_path: Path) -> None:
    preview = FilmPreview(tmp_path)

    class Pipe:
        """Is stopped by another thread between two calls."""

        def poll(self) -> bool:
            preview._pipe = None
            return True

        def recv(self) -> Path:
            raise EOFError

    preview._pipe = Pipe()  # type: ignore[assignment]
    assert preview.newest() is None


def test_an_avatar_that_is_gone_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = FilmPreview(tmp_path)
    monkeypatch.setattr(preview, "newest", lambda: tmp_path / "gone.avatar")
    assert AvatarMirror(preview, Recording(), print).image() is None  # type: ignore[arg-type]


class Recording:
    """What the mirror asks of a recording, with the samples of a face."""

    name = "webcam 0"

    def __init__(self) -> None:
        zeros = np.zeros(52, np.float32)
        self.still = Sample(0.0, ARKIT_52, "arkit52", zeros, np.zeros((5, 3), np.float32), np.zeros(3, np.float32), 1.0)
        self.resting = [replace(self.still, time=k / 30) for k in range(60)]
        self.sample: Sample | None = None

    def smile(self, jaw: float) -> None:
        """The face of the newest frame."""
        weights = np.zeros(52, np.float32)
        weights[ARKIT_52.index("jawOpen")] = jaw
        self.sample = replace(self.still, time=time.monotonic(), weights=weights)

    def shown(self) -> Shown:
        return Shown(np.zeros((4, 4, 3), np.uint8), Coach().advice(), 9.0, 200, 40, self.sample)


@pytest.fixture
def avatars(tiny_avatar: Avatar, tmp_path: Path) -> Iterator[list[Path]]:
    path = tmp_path / "0.avatar"
    save_avatar(path, tiny_avatar)
    yield [path]


def test_the_newest_avatar_moves_with_the_filmed_face(
    avatars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview, recording, said = FilmPreview(tmp_path), Recording(), []
    waiting: list[Path] = []
    monkeypatch.setattr(preview, "newest", lambda: waiting.pop() if waiting else None)
    mirror = AvatarMirror(preview, recording, said.append)  # type: ignore[arg-type]
    assert mirror.image() is None and mirror.number == 0
    waiting += avatars
    rest = mirror.image()
    assert rest is not None and rest.shape == (SIDE, SIDE, 3) and rest.std() > 5 and mirror.number == 1
    assert said == ["an avatar of what was filmed so far, after 9 s"] and not avatars[0].exists()
    assert mirror.image() is rest and mirror.number == 1
    opened, until = rest, time.monotonic() + 20
    while np.abs(opened.astype(int) - rest).max() <= 20:  # the avatar goes over to the face in a fraction of a second
        assert time.monotonic() < until
        recording.smile(0.9)
        opened = mirror.image()
    assert mirror.number > 1
    preview.stop()


def test_a_finished_avatar_is_shown_from_the_front(avatars: list[Path]) -> None:
    image = portrait(avatars[0])
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 and image.std() > 5


def test_a_sample_is_given_once_and_the_face_at_rest_is_known() -> None:
    recording = Recording()
    face = FilmedFace(recording)  # type: ignore[arg-type]
    assert face.latest() is None
    recording.smile(0.5)
    assert face.latest() is recording.sample and face.latest() is None
    assert len(face.earlier()) == 60 and face.stats() == {}
