"""Live retargeting: the performer's neutral maps to the avatar's, lids close together, gains scale groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.driving.driver import Driver
from avatar.driving.live.calibrated_driver import CalibratedDriver, Neutral, resting_face
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.types import JAW, LEFT_EYE, HeadParams
from capture.live import LiveOptions


def sample(avatar: Avatar, **weights: float) -> Sample:
    """A sample of a driver whose resting face has every expression at 0.15 and who looks slightly to a side."""
    names = avatar.head.expression_names
    values = np.array([weights.get(name, 0.0 if name.startswith("eyeLook") else 0.15) for name in names], np.float32)
    joint_rot = np.zeros((5, 3), np.float32)
    joint_rot[0, 1] = 0.1
    return Sample(0.0, names, "arkit52", values, joint_rot, np.array([0.02, 0.0, -0.7], np.float32), 1.0)


def calibrated(avatar: Avatar) -> CalibratedDriver:
    """A driver calibrated on the resting face."""
    rest = sample(avatar)
    driver = replace(Driver.of(avatar, rest.names, rest.space), avatar_neutral=resting_face(avatar))
    return CalibratedDriver.of(driver, Neutral.of([rest] * 5), closed=0.55)


def retargeted(driver: CalibratedDriver, frame: Sample, gains: dict[str, float] | None = None) -> HeadParams:
    weights, joint_rot, translation = (
        torch.from_numpy(part)[None] for part in (frame.weights, frame.joint_rot, frame.translation)
    )
    return driver(weights, joint_rot, translation, gains)


def shown(avatar: Avatar, frame: Sample, gains: dict[str, float] | None = None) -> HeadParams:
    """The avatar's parameters for `frame` after calibration on the resting face."""
    return retargeted(calibrated(avatar), frame, gains)


def blinks(avatar: Avatar, frame: Sample) -> dict[str, float]:
    """The avatar's blink weights."""
    names, found = avatar.head.expression_names, shown(avatar, frame).expression[0]
    return {side: float(found[names.index(f"eyeBlink{side}")]) for side in ("Left", "Right")}


def turned(avatar: Avatar, yaw: float, **weights: float) -> Sample:
    """A sample with the head turned by `yaw` radians to its left, away from the camera in front of it."""
    frame = sample(avatar, **weights)
    frame.joint_rot[0], frame.translation[:] = (0.0, yaw, 0.0), (0.0, 0.0, -0.7)
    return frame


def test_the_drivers_resting_face_is_the_avatars(tiny_avatar: Avatar) -> None:
    found = shown(tiny_avatar, sample(tiny_avatar)).expression[0]
    assert float((found - resting_face(tiny_avatar)).square().mean().sqrt()) < 0.02


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_blink_closes_fully_although_lid_weights_at_rest_are_not_0(tiny_avatar: Avatar, side: str) -> None:
    found = shown(tiny_avatar, sample(tiny_avatar, **{f"eyeBlink{side}": 0.95})).expression[0]
    names = tiny_avatar.head.expression_names
    assert float(found[names.index(f"eyeBlink{side}")]) > 0.9
    assert (
        float(found[names.index(f"eyeWide{side}")]) <= float(tiny_avatar.neutral[names.index(f"eyeWide{side}")]) + 0.02
    )


def test_lids_that_differ_by_less_than_a_wink_close_together(tiny_avatar: Avatar) -> None:
    found = blinks(tiny_avatar, sample(tiny_avatar, eyeBlinkLeft=0.55, eyeBlinkRight=0.45))
    assert found["Left"] == pytest.approx(found["Right"], abs=0.02)
    assert found["Left"] > 0.8


def test_a_wink_is_kept(tiny_avatar: Avatar) -> None:
    found = blinks(tiny_avatar, sample(tiny_avatar, eyeBlinkLeft=0.9))
    assert found["Left"] > 0.9
    assert found["Right"] == pytest.approx(blinks(tiny_avatar, sample(tiny_avatar))["Right"], abs=0.02)


@pytest.mark.parametrize(("yaw", "far"), [(0.8, "Left"), (-0.8, "Right")])
def test_the_far_eye_of_a_turned_head_follows_the_near_one(tiny_avatar: Avatar, yaw: float, far: str) -> None:
    near = {"Left": "Right", "Right": "Left"}[far]
    ignored = blinks(tiny_avatar, turned(tiny_avatar, yaw, **{f"eyeBlink{far}": 0.95}))
    assert ignored[far] < 0.4
    followed = blinks(tiny_avatar, turned(tiny_avatar, yaw, **{f"eyeBlink{near}": 0.95}))
    assert followed[far] > 0.9


def test_a_head_without_a_position_counts_as_in_front_of_the_camera(tiny_avatar: Avatar) -> None:
    frame = turned(tiny_avatar, 0.8, eyeBlinkLeft=0.95)
    frame.translation[:] = 0
    assert blinks(tiny_avatar, frame)["Left"] < 0.4


def test_a_gain_scales_its_group_only(tiny_avatar: Avatar) -> None:
    driver, names = calibrated(tiny_avatar), tiny_avatar.head.expression_names
    unclamped = replace(driver.driver, options=replace(driver.driver.options, soft_clamp=False))
    frame = sample(tiny_avatar, browInnerUp=0.3, jawOpen=0.2)
    plain, more = (
        retargeted(replace(driver, driver=unclamped), frame, {"brows": factor}).expression[0] for factor in (1, 2)
    )
    brow, jaw = names.index("browInnerUp"), names.index("jawOpen")
    assert more[brow] > plain[brow] + 0.1
    assert more[jaw] == plain[jaw]


@pytest.mark.parametrize(("group", "joint"), [("eyes", LEFT_EYE), ("jaw", JAW)])
def test_a_gain_scales_the_groups_joints(tiny_avatar: Avatar, group: str, joint: int) -> None:
    frame = sample(tiny_avatar)
    frame.joint_rot[joint, 0] = 0.1
    assert float(shown(tiny_avatar, frame).joint_rot[0, joint].norm()) > 0.05
    assert float(shown(tiny_avatar, frame, {group: 0.0}).joint_rot[0, joint].norm()) < 1e-5


def test_a_head_gain_of_0_keeps_the_head_still(tiny_avatar: Avatar) -> None:
    frame = sample(tiny_avatar)
    frame.joint_rot[0, 1] = 0.4
    still, rest = (shown(tiny_avatar, each, {"head": 0.0}) for each in (frame, sample(tiny_avatar)))
    assert torch.allclose(still.joint_rot, rest.joint_rot, atol=1e-5)


@pytest.mark.parametrize(
    ("gains", "message"),
    [
        ({"nose": 2.0}, "gain: there is no group 'nose'; the groups are brows, eyes, mouth, jaw, head"),
        ({"brows": -1.0}, "gain of brows: expected a factor of 0 or more, got -1.0"),
        ({"jaw": float("nan")}, "gain of jaw: expected a factor of 0 or more, got nan"),
    ],
)
def test_an_invalid_gain_is_rejected(gains: dict[str, float], message: str) -> None:
    with pytest.raises(HeadsplatError) as failure:
        LiveOptions(gains=gains)
    assert str(failure.value) == message
