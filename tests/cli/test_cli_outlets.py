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
from avatar.model import Avatar
from avatar.motion import read_motion
from avatar.records import HeadParams
from tests.cli.test_cli_recording import levels_of, made_up_params, names_in, picture, sample_at
from viewer.outlets import Moment, Outlets
from viewer.performers import Pose


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


def test_a_live_drivers_own_samples_are_the_take(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    params, now = made_up_params(tiny_avatar, 1), time.monotonic()
    for number, fresh in enumerate((True, False, True)):
        sample = sample_at(now + number / 30, 0.1 * number)
        outlets.add(Moment(now + number / 30, tiny_avatar, Pose(params, fresh=fresh, sample=sample), picture()))
    outlets.close()
    take = read_motion(tmp_path / "take.csv")
    np.testing.assert_allclose(take.weights[:, take.names.index("jawOpen")], [0, 0.2], atol=1e-6)


def test_a_take_that_cannot_be_written_is_said_at_once_and_the_next_one_begins_anew(
    tiny_avatar: Avatar, tmp_path: Path
) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    params = made_up_params(tiny_avatar, 1)
    foreign = Pose(params, fresh=True, sample=sample_at(time.monotonic(), space="flame2023"))
    with pytest.raises(HeadsplatError, match=r"take.csv: takes ARKit's weights only"):
        outlets.add(Moment(time.monotonic(), tiny_avatar, foreign, picture()))
    assert outlets.names == {}
    outlets.toggle("record")
    outlets.add(by_hand(tiny_avatar, params, time.monotonic()))
    assert outlets.close()[0].startswith(f"{tmp_path / 'take_2.csv'}: 2 frames of what drove")


def test_a_missing_virtual_camera_is_a_sentence_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(HeadsplatError, match=r"`pip install pyvirtualcam`"):
        outlets_for(tmp_path, "take.csv").toggle("virtual camera")
