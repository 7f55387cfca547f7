"""A film on disk: at every moment the frames kept so far are a capture that can be completed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.data.kept_images import KeptImages
from avatar.errors import HeadsplatError
from capture.film.folder import FilmFolder, finish_film
from capture.options import CaptureOptions
from capture.workspace import growing_film
from tests.capture.video.fake_video import FakeVideo, fake_models, fit_person_quickly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.pipeline.fit_person", fit_person_quickly)


def filmed(out: Path, count: int = 24, **options: object) -> FilmFolder:
    """A film of every second frame of a video."""
    folder = FilmFolder(out, "webcam 0", CaptureOptions(passes=2, **options))  # type: ignore[arg-type]
    for frame in FakeVideo(2 * count):
        if frame.number % 2 == 0:
            folder.add(frame.number, 100 + frame.time, frame.rgb)
    return folder


def interrupt_mattes(stage: str, done: int, total: int) -> None:
    """Progress of a completion that is interrupted."""
    if stage == "mattes" and done == 12:
        raise KeyboardInterrupt


def test_a_film_becomes_a_capture_with_its_frames_and_times(tmp_path: Path) -> None:
    folder = filmed(tmp_path / "me.capture", consent="it is me")
    assert len(folder) == 24
    kept = KeptImages(64)
    capture = finish_film(tmp_path / "me.capture", models=fake_models(), kept=kept)
    assert capture is not None and len(capture) == 24 and capture.kept is kept
    assert kept.take(list(range(24)), capture.size_at(64)) is not None
    np.testing.assert_allclose(capture.track["time"], np.arange(24) / 15, atol=1e-5)
    assert capture.metadata["source"]["name"] == "webcam 0" and capture.metadata["consent"] == "it is me"
    assert growing_film(tmp_path / "me.capture") is None
    assert {path.name for path in (tmp_path / "me.capture").iterdir()} == {
        "capture.json",
        "track.npz",
        "frames",
        "mattes",
    }


def test_a_dropped_frame_is_not_in_the_capture(tmp_path: Path) -> None:
    folder = filmed(tmp_path / "me.capture")
    folder.drop(4)
    folder.drop(46)
    capture = finish_film(tmp_path / "me.capture", models=fake_models())
    assert capture is not None and len(capture) == 22


def test_a_frame_that_was_being_written_when_the_process_was_killed_is_left_out(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture")
    film = growing_film(tmp_path / "me.capture")
    assert film is not None
    whole = sorted(film.glob("*.png"))[-1].read_bytes()
    (film / "000099_009900000.png.tmp").write_bytes(whole[: len(whole) // 2])
    capture = finish_film(tmp_path / "me.capture", models=fake_models())
    assert capture is not None and len(capture) == 24


def test_a_completion_that_was_interrupted_is_continued(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture")

    with pytest.raises(KeyboardInterrupt):
        finish_film(tmp_path / "me.capture", interrupt_mattes, fake_models())
    stages = []
    capture = finish_film(tmp_path / "me.capture", lambda stage, done, total: stages.append(stage), fake_models())
    assert capture is not None and len(capture) == 24
    assert "landmarks" not in stages


def test_where_there_is_no_film_nothing_is_completed(tmp_path: Path) -> None:
    assert finish_film(tmp_path / "none.capture") is None


def test_another_film_does_not_replace_one_that_is_not_finished(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture")
    with pytest.raises(
        HeadsplatError,
        match=r"an unfinished film is there; --resume goes on filming, `headsplat train .*me.capture` trains",
    ):
        filmed(tmp_path / "me.capture")
    assert len(filmed(tmp_path / "me.capture", 20, overwrite=True)) == 20
    capture = finish_film(tmp_path / "me.capture", models=fake_models())
    assert capture is not None and len(capture) == 20


def test_a_finished_capture_stays_until_the_film_that_replaces_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "me.capture"
    filmed(out)
    first = finish_film(out, models=fake_models())
    with pytest.raises(HeadsplatError, match="a finished capture is there"):
        filmed(out)
    filmed(out, 20, overwrite=True)
    assert first is not None and (out / "capture.json").exists() and growing_film(out) is not None
    second = finish_film(out, models=fake_models())
    assert second is not None and len(second) == 20 and growing_film(out) is None


def test_a_film_goes_on_after_its_last_frame(tmp_path: Path) -> None:
    out = tmp_path / "me.capture"
    filmed(out).note({"coach": 1})
    with pytest.raises(KeyboardInterrupt):
        finish_film(out, interrupt_mattes, fake_models())
    folder = FilmFolder(out, "webcam 1", CaptureOptions(), resume=True)
    assert (len(folder), folder.start_number, folder.noted()) == (24, 47, {"coach": 1})
    assert folder.start_time == pytest.approx(100 + 46 / 30 + 1)
    for frame in FakeVideo(12):
        folder.add(folder.start_number + frame.number, 2000 + frame.time, frame.rgb)
    stages: list[str] = []
    capture = finish_film(out, lambda stage, done, total: stages.append(stage), fake_models())
    assert capture is not None and len(capture) == 36 and "landmarks" in stages
    assert capture.track["time"][-1] == pytest.approx(1900 + 11 / 30, abs=1e-4)


def test_a_film_does_not_go_on_with_frames_of_another_size(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture")
    folder = FilmFolder(tmp_path / "me.capture", "webcam 1", CaptureOptions(), resume=True)
    with pytest.raises(HeadsplatError, match="webcam 1: frames of 30x20 pixels, those of the film have 192x192; use"):
        folder.add(100, 200.0, np.zeros((20, 30, 3), np.uint8))


def test_only_a_film_that_is_not_finished_goes_on(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="no unfinished film is there; omit --resume"):
        FilmFolder(tmp_path / "me.capture", "webcam 0", CaptureOptions(), resume=True)


def test_a_discarded_film_leaves_nothing(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture").discard()
    assert list(tmp_path.iterdir()) == []


def test_a_discarded_film_leaves_the_capture_that_it_was_to_replace(tmp_path: Path) -> None:
    out = tmp_path / "me.capture"
    filmed(out)
    finish_film(out, models=fake_models())
    filmed(out, overwrite=True).discard()
    assert [path.name for path in tmp_path.iterdir()] == ["me.capture"] and (out / "capture.json").exists()


def test_other_files_of_the_folder_are_not_deleted(tmp_path: Path) -> None:
    folder = filmed(tmp_path / "me.capture")
    (tmp_path / "me.capture" / "notes.txt").write_text("mine")
    folder.discard()
    assert [path.name for path in (tmp_path / "me.capture").iterdir()] == ["notes.txt"]


def test_a_film_without_frames_is_refused(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture", 0)
    with pytest.raises(HeadsplatError, match="a film without frames; film again with --overwrite"):
        finish_film(tmp_path / "me.capture", models=fake_models())


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    filmed(tmp_path / "me.capture")
    film = growing_film(tmp_path / "me.capture")
    assert film is not None
    path = sorted(film.glob("*.png"))[3]
    path.write_bytes(b"no image")
    with pytest.raises(HeadsplatError, match=f"{path.name}: the image is damaged; delete it"):
        finish_film(tmp_path / "me.capture", models=fake_models())
