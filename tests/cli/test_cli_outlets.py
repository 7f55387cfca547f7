"""The window's Record and Virtual camera."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from avatar.cli.outlets import CameraOutlet, RecordingOutlet
from avatar.cli.recording import Recording
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.types import HeadParams
from capture.live.sample import Sample
from tests.cli.test_cli_recording import levels_of, made_up_params, names_in, picture, sample_at
from viewer.outputs.outlets import Moment, Outlets
from viewer.session.pose_sources import Pose


def outlets_for(folder: Path, *names: str) -> Outlets:
    """The window's, recording already."""
    recording = Recording([folder / name for name in names])
    outlets = Outlets({"record": lambda: RecordingOutlet(recording), "virtual camera": CameraOutlet})
    outlets.toggle("record")
    return outlets


def by_hand(avatar: Avatar, params: HeadParams, time: float) -> Moment:
    return Moment(time, avatar, Pose(params, fresh=True), picture())


def test_the_button_records_take_and_film_and_the_next_time_new_ones(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.csv", "take.mp4")
    params = made_up_params(tiny_avatar, 1)
    for name in ("take.csv, take.mp4", "take_2.csv, take_2.mp4"):
        assert outlets.names == {"record": name}
        outlets.add(by_hand(tiny_avatar, params, time.monotonic()))
        outlets.toggle("record")
        outlets.toggle("record")
    outlets.close()
    assert names_in(tmp_path) == ["take.csv", "take.mp4", "take_2.csv", "take_2.mp4"]


def test_a_face_that_is_held_is_recorded_as_held(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz", "take.mp4")
    params, now = made_up_params(tiny_avatar, 2), time.monotonic()
    outlets.add(by_hand(tiny_avatar, params[0], now - 3.0))
    outlets.add(by_hand(tiny_avatar, params[1], now - 1.0))  # nothing changed for two seconds, nor after that
    outlets.close()
    take = read_motion(tmp_path / "take.motion.npz")
    np.testing.assert_allclose(take.time[:3], [0, 2 - 1 / 30, 2], atol=1e-6)
    assert float(take.time[-1]) == pytest.approx(3, abs=0.5)
    np.testing.assert_array_equal(take.weights[1], take.weights[0])
    np.testing.assert_array_equal(take.weights[3], take.weights[2])
    assert len(levels_of(tmp_path / "take.mp4")) / 30 == pytest.approx(float(take.time[-1]), abs=2.1 / 30)


def live(avatar: Avatar, time: float, sample: Sample | None, phase: str = "driving", fresh: bool = True) -> Moment:
    pose = Pose(made_up_params(avatar, 1), phase, fresh and sample is not None, sample)
    return Moment(time, avatar, pose, picture())


def test_a_live_drivers_own_samples_are_the_take(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    now = time.monotonic()
    first, second = (sample_at(now + number / 30, 0.2 * number) for number in range(2))
    outlets.add(live(tiny_avatar, now, first, fresh=False))  # of before
    for sample, fresh in ((first, True), (first, False), (second, True)):
        outlets.add(live(tiny_avatar, now + 0.1, sample, fresh=fresh))
    outlets.close()
    take = read_motion(tmp_path / "take.csv")
    np.testing.assert_allclose(take.weights[:, take.names.index("jawOpen")], [0, 0.2], atol=1e-6)


def test_a_take_waits_for_the_live_drivers_first_sample(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz", "take.mp4")
    now = time.monotonic()
    outlets.add(live(tiny_avatar, now - 2, None, "waiting"))
    for number in range(3):
        outlets.add(live(tiny_avatar, now + number / 30, sample_at(now + number / 30, 0.3)))
    outlets.toggle("record")
    take = read_motion(tmp_path / "take.motion.npz")
    assert take.names == ARKIT_52 and len(take) == 3
    assert float(take.weights[0].max()) == pytest.approx(0.3)
    assert len(levels_of(tmp_path / "take.mp4")) == 3


def test_samples_that_a_take_cannot_hold_are_told(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    outlets.add(live(tiny_avatar, now, sample_at(now)))
    outlets.add(live(tiny_avatar, now + 0.1, sample_at(now + 0.1, space="flame2023")))
    assert "1 frame of what drove, 0.0 s; 1 sample left out: of other weights" in outlets.toggle("record")


def test_a_face_that_is_lost_is_lost_in_the_take(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    seen, back = sample_at(now, 0.3), sample_at(now + 1, 0.1)
    gone = seen.gone(now + 0.1)
    for time_, sample, phase in ((0, seen, "driving"), (0.5, gone, "lost"), (0.6, gone, "lost"), (1, back, "driving")):
        outlets.add(live(tiny_avatar, now + time_, sample, phase, fresh=phase == "driving"))
    outlets.close()
    take = read_motion(tmp_path / "take.motion.npz")
    assert take.confidence is not None and take.confidence.tolist() == [1, 0, 1]
    np.testing.assert_allclose(take.time, [0, 0.1, 1], atol=1e-6)


def test_who_is_forgotten_is_lost_in_the_take(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    outlets.add(live(tiny_avatar, now, sample_at(now, 0.3)))
    for later in (0.1, 0.2):
        outlets.add(live(tiny_avatar, now + later, None, "waiting"))
    outlets.close()
    take = read_motion(tmp_path / "take.motion.npz")
    assert take.confidence is not None and take.confidence.tolist() == [1, 0]


def test_a_take_that_cannot_be_written_is_said_at_once_and_the_next_one_begins_anew(
    tiny_avatar: Avatar, tmp_path: Path
) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    params = made_up_params(tiny_avatar, 1)
    with pytest.raises(HeadsplatError, match=r"take.csv: takes ARKit's weights only"):
        outlets.add(live(tiny_avatar, time.monotonic(), sample_at(time.monotonic(), space="flame2023")))
    assert outlets.names == {}
    outlets.toggle("record")
    outlets.add(by_hand(tiny_avatar, params, time.monotonic()))
    assert outlets.close()[0].startswith(f"{tmp_path / 'take_2.csv'}: 2 frames of what drove")


def test_a_missing_virtual_camera_is_a_sentence_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(HeadsplatError, match=r"`pip install pyvirtualcam`"):
        outlets_for(tmp_path, "take.csv").toggle("virtual camera")
