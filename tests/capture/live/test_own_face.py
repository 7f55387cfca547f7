"""The avatar as its own tracker, live: when it drives, what it sends, and that a stranger never turns it on."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from avatar.data.capture_folder import Capture
from avatar.driving.live.samples import OwnFace
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import save_avatar
from capture.live.camera import FileFeed, Lens
from capture.live.face_source import FaceSource
from capture.live.identity import LandmarkFrame, LearnOptions
from capture.live.own_face import FADE, OwnFaceOptions, OwnFaceTracker, Switch
from capture.tracker.camera import FocalPrior
from tests.capture.video.fake_video import FakeVideo, fake_models

SIZE = 64
FOCAL = 1.9 * SIZE
LEARN = LearnOptions(seconds=0.3, min_frames=8, key_frames=5, focal=FOCAL)


def amounts(switch: Switch, correlations: list[float], start: float = 0.0, fps: float = 30.0) -> list[float]:
    return [switch(value, start + index / fps) for index, value in enumerate(correlations)]


def test_it_turns_on_after_a_second_of_likeness_and_fades_in() -> None:
    found = amounts(Switch(), [0.95] * 45)
    assert found[29] == 0 and 0 < found[32] < 1 and found[30 + int(30 * FADE) + 1] == 1


@pytest.mark.parametrize(("correlation", "seconds"), [(0.75, 0.5), (0.6, 0.4), (0.3, 0.3)])
def test_a_stranger_turns_it_off_within_half_a_second(correlation: float, seconds: float) -> None:
    switch = Switch()
    amounts(switch, [0.95] * 60)
    found = amounts(switch, [correlation] * round(30 * seconds), 2.0)
    assert found[0] == 1 and found[-1] == 0 and sorted(found, reverse=True) == found


@pytest.mark.parametrize("correlations", [[0.78] * 90, [0.5] * 90, ([0.95] * 20 + [0.7]) * 5])
def test_it_stays_off_without_a_second_of_likeness(correlations: list[float]) -> None:
    assert max(amounts(Switch(), correlations)) == 0


def test_a_face_of_another_shape_must_look_more_alike() -> None:
    def shares(correlation: float, shape: float, switch: Switch, start: float) -> list[float]:
        return [switch(correlation, start + index / 30, shape) for index in range(60)]

    assert max(shares(0.9, 1.27, Switch(), 0.0)) == 0 and shares(0.99, 1.37, Switch(), 0.0)[-1] == 1
    switch = Switch()
    assert shares(0.9, 0.9, switch, 0.0)[-1] == 1  # the same light, the person
    assert shares(0.9, 1.27, switch, 2.0)[-1] == 0


def test_between_the_thresholds_and_for_a_moment_below_it_stays_on() -> None:
    switch = Switch()
    amounts(switch, [0.95] * 60)
    assert min(amounts(switch, [0.79] * 20 + [0.7] * 6 + [0.79] * 20 + [0.3] + [0.79] * 20, 2.0)) == 1


def test_always_needs_no_likeness() -> None:
    assert amounts(Switch(always=True), [0.0] * 10)[-1] == 1


def run(tracker: OwnFaceTracker, tiny: Capture, count: int, start: float = 0.0) -> list[OwnFace | None]:
    """The first frames of `tiny` with their exact landmarks; each is shown three times, as its head moves very fast."""
    images, _ = tiny.images(np.arange(count), SIZE)
    found = []
    for index in range(3 * count):
        points, clock = tiny.track["landmarks"][index // 3].astype(np.float64), start + index / 30
        found.append(tracker(images[index // 3], LandmarkFrame(points, 1.0, clock, clock)))
        tracker.finish()
    return found


def made(avatar: Avatar, always: bool = True) -> OwnFaceTracker:
    return OwnFaceTracker(avatar, Lens(SIZE, SIZE), LEARN, always=always, wait=True)


def test_the_sent_face_is_that_of_the_person_in_the_avatars_weights(tiny: Capture, tiny_avatar: Avatar) -> None:
    found = run(made(tiny_avatar), tiny, 24)[2::3]
    assert found[2] is None and found[-1] is not None and found[-1].amount == 1
    truth, jaw = tiny.params(range(24)), tiny_avatar.head.expression_index("jawOpen")
    weights, turns = [], []
    for row, own in enumerate(found):
        if own is not None:
            weights.append(abs(float(own.weights[jaw] - truth.expression[row, jaw])))
            turns.append(float(np.abs(own.joint_rot[0] - truth.joint_rot[row, 0].numpy()).max()))
            assert own.translation[2] == pytest.approx(-0.6, abs=0.15)
    assert np.mean(weights) < 0.2 and np.degrees(np.mean(turns)) < 4


@pytest.mark.parametrize("start", [0.65, 1.5])
def test_the_focal_length_of_the_camera_is_found(
    tiny: Capture, tiny_avatar: Avatar, start: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    guess = FocalPrior(start * FOCAL, 0.35, "typical camera")
    monkeypatch.setattr("capture.live.identity.focal_prior", lambda *optics: guess)
    tracker = made(tiny_avatar)
    run(tracker, tiny, 24)
    assert tracker.focal is not None
    assert abs(np.log(tracker.focal / FOCAL)) < 0.75 * abs(np.log(start))  # the avatar is a rough one


def test_the_avatar_is_rendered_after_every_second_frame(
    tiny: Capture, tiny_avatar: Avatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = made(tiny_avatar)
    run(tracker, tiny, 6)
    rendered = []
    render = tracker._tracker._render
    monkeypatch.setattr(tracker._tracker, "_render", lambda *given: rendered.append(0) or render(*given))
    run(tracker, tiny, 4, start=0.6)
    assert len(rendered) == 6


def test_after_a_gap_and_for_another_person_it_starts_again(tiny: Capture, tiny_avatar: Avatar) -> None:
    tracker = made(tiny_avatar)
    run(tracker, tiny, 6)
    assert tracker.amount == 1
    again = run(tracker, tiny, 1, start=5.0)
    assert again[0] is None and again[1] is not None and again[1].amount < 0.5
    tracker.learn_again()
    assert tracker.amount == 0 and run(tracker, tiny, 1, start=6.0) == [None] * 3


def test_a_face_that_is_not_the_avatars_never_drives(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "tiny.avatar"
    save_avatar(path, tiny_avatar)
    source = FaceSource(
        FileFeed(FakeVideo(60), "all"),
        lossless=True,
        models=fake_models(),
        learn=LearnOptions(seconds=0.5, key_frames=5),
        own=OwnFaceOptions(path),
    )
    source.start()
    samples = []
    while not source.finished:
        if sample := source.latest():
            samples.append(sample)
        time.sleep(1e-3)
    assert source.stats()["own_face"] == 0
    source.stop()
    assert len(samples) > 30 and all(sample.own is None for sample in samples)
    assert "own face" in samples[-2].stamps


def test_a_file_that_is_no_avatar_fails_at_the_start(tmp_path: Path) -> None:
    source = FaceSource(FileFeed(FakeVideo(3), "all"), models=fake_models(), own=OwnFaceOptions(tmp_path / "none"))
    with pytest.raises(HeadsplatError, match="none: "):
        source.start()
    source.stop()
