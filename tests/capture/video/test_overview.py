"""Frames of long videos: what is chosen, and that held-out frames have no say in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from avatar.video import Encoding, open_output
from capture.stages.landmarks import FaceFollower
from capture.video import decoding
from capture.video.decoding import open_video
from capture.video.frame_index import FrameIndex
from capture.video.overview import choose_frames, choose_varied
from capture.workspace import Workspace
from tests.capture.video.fake_video import FakeVideo, fake_models


def rows(count: int) -> dict[str, np.ndarray]:
    """Frames that all look alike."""
    return {
        "features": np.zeros((count, 8)),
        "sharpness": np.zeros(count),
        "presence": np.ones(count),
        "person": np.zeros(count, int),
        "size": np.ones(count),
    }


def test_a_rare_expression_is_chosen() -> None:
    looked = rows(500)
    looked["features"][333] = 5.0
    assert 666 in choose_varied(np.arange(500) * 2, looked, 1000, 64)


@pytest.mark.parametrize(("name", "value"), [("sharpness", -2.0), ("presence", 0.6), ("person", 1)])
def test_a_bad_frame_is_no_discovery(name: str, value: float) -> None:
    looked = rows(500)
    looked["features"] = np.random.default_rng(0).normal(0, 0.1, (500, 8))
    looked["features"][333] = 5.0
    looked[name][333] = value
    assert 666 not in choose_varied(np.arange(500) * 2, looked, 1000, 64)


def test_as_many_are_chosen_as_are_allowed() -> None:
    looked = rows(300)
    for features in (looked["features"], np.random.default_rng(0).normal(0, 1, (300, 8))):
        looked["features"] = features
        chosen = choose_varied(np.arange(300) * 5, looked, 1500, 100)
        assert len(chosen) == 100 and (np.diff(chosen) > 0).all()


def test_frames_that_look_alike_are_spread_evenly() -> None:
    chosen = choose_varied(np.arange(300) * 5, rows(300), 1500, 100)
    assert np.diff(chosen).max() <= 20


def test_a_clip_without_any_face_is_spread_evenly() -> None:
    nothing = {name: values[:0] for name, values in rows(1).items()}
    chosen = choose_varied(np.zeros(0, int), nothing, 1000, 64)
    assert chosen.min() == 0 and chosen.max() == 999


def _chosen(folder: Path, video: FakeVideo, candidates: np.ndarray) -> np.ndarray:
    workspace = Workspace(folder)
    workspace.open({}, overwrite=False)
    return choose_frames(video, candidates, 32, FaceFollower(fake_models(), 1), workspace, None)


def test_held_out_frames_have_no_say(tmp_path: Path) -> None:
    candidates = np.setdiff1d(np.arange(120), np.arange(4, 120, 5))
    changed = FakeVideo(120, dict.fromkeys(range(4, 120, 5), 9))
    plain = _chosen(tmp_path / "a", FakeVideo(120), candidates)
    np.testing.assert_array_equal(plain, _chosen(tmp_path / "b", changed, candidates))
    assert set(plain) <= set(candidates)


def test_an_interrupted_overview_goes_on_to_the_same_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.video.overview._SAVE_STEP", 10)
    video = FakeVideo(120)
    video.stop_after = 57
    with pytest.raises(KeyboardInterrupt):
        _chosen(tmp_path / "a", video, np.arange(120))
    resumed = _chosen(tmp_path / "a", FakeVideo(120), np.arange(120))
    np.testing.assert_array_equal(resumed, _chosen(tmp_path / "b", FakeVideo(120), np.arange(120)))


def numbered_video(path: Path, count: int = 90) -> Path:
    """Frames whose gray says their number, a key image at least every 250."""
    with open_output(path, 30, encoding=Encoding(crf=4)) as writer:
        for number in range(count):
            # A cut every 20 frames makes the encoder set a key image there.
            base = 200 if number // 20 % 2 else 30
            writer.add(np.full((64, 64, 3), base + number % 20, np.uint8))
    return path


def test_wanted_frames_are_those_of_the_whole_video(tmp_path: Path) -> None:
    source = open_video(numbered_video(tmp_path / "clip.mp4"))
    whole = {frame.number: frame for frame in source}
    wanted = [0, 1, 30, 31, 62, 85, 89]
    found = list(source.frames(wanted))
    assert [frame.number for frame in found] == wanted
    for frame in found:
        np.testing.assert_array_equal(frame.rgb, whole[frame.number].rgb)
        assert frame.time == pytest.approx(whole[frame.number].time)


def test_long_gaps_are_jumped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_video(numbered_video(tmp_path / "clip.mp4"))
    assert len(source) == 90 and source.index is not None and source.index.keys.max() > 50
    decoded = []
    number = FrameIndex.number
    monkeypatch.setattr(FrameIndex, "number", lambda self, tick: decoded.append(tick) or number(self, tick))
    assert [frame.number for frame in source.frames([0, 85])] == [0, 85]
    assert len(decoded) < 60


@pytest.mark.parametrize("fails", [False, True], ids=["lands elsewhere", "is refused"])
def test_a_seek_that_lands_elsewhere_or_fails_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    source, sought = open_video(numbered_video(tmp_path / "clip.mp4")), []

    class Container:
        def __init__(self, container: Any) -> None:
            self.own = container

        def __enter__(self) -> Container:
            return self

        def __exit__(self, *error: object) -> None:
            self.own.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.own, name)

        def seek(self, target: int, stream: Any) -> None:
            sought.append(target)
            if fails:
                raise av.error.InvalidDataError(1, "no seek")
            self.own.seek(0, stream=stream)

    assert source.index is not None
    expected = {frame.number: frame.time for frame in source}
    monkeypatch.setattr(decoding, "open_container", lambda path: Container(av.open(str(path))))
    found = list(source.frames([0, 85]))
    assert [frame.number for frame in found] == [0, 85] and len(sought) == len(set(sought)) >= 1
    assert found[1].time == pytest.approx(expected[85])
