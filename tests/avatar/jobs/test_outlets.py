"""The window's outlets: recording and virtual camera."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from avatar.driving.live.samples import AvatarPose, Sample
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.jobs.outlets import CameraOutlet, RecordingOutlet
from avatar.jobs.recording import Recording
from avatar.model.avatar import Avatar
from avatar.motion import read_motion
from avatar.types import HeadParams
from tests.avatar.jobs.test_recording import gray_image, levels_of, names_in, random_params, sample_at
from viewer.outputs.outlets import Outlets, RenderedFrame


def outlets_for(folder: Path, *names: str) -> Outlets:
    """The window's outlets during a recording."""
    recording = Recording([folder / name for name in names])
    outlets = Outlets({"record": lambda: RecordingOutlet(recording), "virtual camera": CameraOutlet})
    outlets.toggle("record")
    return outlets


def by_hand(avatar: Avatar, params: HeadParams, time: float) -> RenderedFrame:
    return RenderedFrame(time, avatar, AvatarPose(params, fresh=True), gray_image())


def test_the_button_records_motion_and_video_and_the_next_time_new_ones(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.csv", "take.mp4")
    params = random_params(tiny_avatar, 1)
    for name in ("take.csv, take.mp4", "take_2.csv, take_2.mp4"):
        assert outlets.names == {"record": name}
        outlets.write(by_hand(tiny_avatar, params, time.monotonic()))
        outlets.toggle("record")
        outlets.toggle("record")
    outlets.close()
    assert names_in(tmp_path) == ["take.csv", "take.mp4", "take_2.csv", "take_2.mp4"]


def test_a_pose_without_changes_is_recorded_as_constant(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz", "take.mp4")
    params, now = random_params(tiny_avatar, 2), time.monotonic()
    outlets.write(by_hand(tiny_avatar, params[0], now - 3.0))
    outlets.write(by_hand(tiny_avatar, params[1], now - 1.0))  # no change for two seconds, and none after that
    outlets.close()
    motion = read_motion(tmp_path / "take.motion.npz")
    np.testing.assert_allclose(motion.time[:3], [0, 2 - 1 / 30, 2], atol=1e-6)
    assert float(motion.time[-1]) == pytest.approx(3, abs=0.5)
    np.testing.assert_array_equal(motion.weights[1], motion.weights[0])
    np.testing.assert_array_equal(motion.weights[3], motion.weights[2])
    assert len(levels_of(tmp_path / "take.mp4")) / 30 == pytest.approx(float(motion.time[-1]), abs=2.1 / 30)


def live(
    avatar: Avatar, time: float, sample: Sample | None, phase: str = "driving", fresh: bool = True
) -> RenderedFrame:
    pose = AvatarPose(random_params(avatar, 1), phase, fresh and sample is not None, sample)
    return RenderedFrame(time, avatar, pose, gray_image())


def test_a_live_sources_samples_are_recorded(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    now = time.monotonic()
    first, second = (sample_at(now + number / 30, 0.2 * number) for number in range(2))
    outlets.write(live(tiny_avatar, now, first, fresh=False))  # from before the recording
    for sample, fresh in ((first, True), (first, False), (second, True)):
        outlets.write(live(tiny_avatar, now + 0.1, sample, fresh=fresh))
    outlets.close()
    motion = read_motion(tmp_path / "take.csv")
    np.testing.assert_allclose(motion.weights[:, motion.names.index("jawOpen")], [0, 0.2], atol=1e-6)


def test_a_motion_starts_with_the_live_sources_first_sample(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz", "take.mp4")
    now = time.monotonic()
    outlets.write(live(tiny_avatar, now - 2, None, "waiting"))
    for number in range(3):
        outlets.write(live(tiny_avatar, now + number / 30, sample_at(now + number / 30, 0.3)))
    outlets.toggle("record")
    motion = read_motion(tmp_path / "take.motion.npz")
    assert motion.names == ARKIT_52 and len(motion) == 3
    assert float(motion.weights[0].max()) == pytest.approx(0.3)
    assert len(levels_of(tmp_path / "take.mp4")) == 3


def test_samples_of_another_space_are_reported(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    outlets.write(live(tiny_avatar, now, sample_at(now)))
    outlets.write(live(tiny_avatar, now + 0.1, sample_at(now + 0.1, space="flame2023")))
    assert "motion, 1 frame, 0.0 s; 1 sample dropped: other expression space" in outlets.toggle("record")


def test_a_lost_face_is_lost_in_the_motion(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    first, back = sample_at(now, 0.3), sample_at(now + 1, 0.1)
    lost = first.as_lost(now + 0.1)
    for time_, sample, phase in ((0, first, "driving"), (0.5, lost, "lost"), (0.6, lost, "lost"), (1, back, "driving")):
        outlets.write(live(tiny_avatar, now + time_, sample, phase, fresh=phase == "driving"))
    outlets.close()
    motion = read_motion(tmp_path / "take.motion.npz")
    assert motion.confidence is not None and motion.confidence.tolist() == [1, 0, 1]
    np.testing.assert_allclose(motion.time, [0, 0.1, 1], atol=1e-6)


def test_a_discarded_identity_is_a_lost_face_in_the_motion(tiny_avatar: Avatar, tmp_path: Path) -> None:
    outlets = outlets_for(tmp_path, "take.motion.npz")
    now = time.monotonic()
    outlets.write(live(tiny_avatar, now, sample_at(now, 0.3)))
    for later in (0.1, 0.2):
        outlets.write(live(tiny_avatar, now + later, None, "waiting"))
    outlets.close()
    motion = read_motion(tmp_path / "take.motion.npz")
    assert motion.confidence is not None and motion.confidence.tolist() == [1, 0]


def test_a_motion_that_cannot_be_written_is_reported_immediately_and_the_next_one_can_start(
    tiny_avatar: Avatar, tmp_path: Path
) -> None:
    outlets = outlets_for(tmp_path, "take.csv")
    params = random_params(tiny_avatar, 1)
    with pytest.raises(HeadsplatError, match=r"take.csv: stores ARKit weights only"):
        outlets.write(live(tiny_avatar, time.monotonic(), sample_at(time.monotonic(), space="flame2023")))
    assert outlets.names == {}
    outlets.toggle("record")
    outlets.write(by_hand(tiny_avatar, params, time.monotonic()))
    assert outlets.close()[0].startswith(f"{tmp_path / 'take_2.csv'}: motion, 2 frames")


def test_a_missing_virtual_camera_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(HeadsplatError, match=r"`pip install pyvirtualcam`"):
        outlets_for(tmp_path, "take.csv").toggle("virtual camera")
