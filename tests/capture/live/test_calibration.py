"""A driver's neutral becomes the avatar's, blinks still close, and gains make more or less of a group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.drive import Driver
from avatar.errors import HeadsplatError
from avatar.model import Avatar
from avatar.records import HeadParams
from capture.live.calibration import CalibrationOptions, Calibrator, Neutral, Retarget, resting_face
from capture.live.sample import Sample


def sample(avatar: Avatar, **weights: float) -> Sample:
    """A driver whose resting face has every expression at 0.15, looking a little aside."""
    names = avatar.head.expression_names
    values = np.array([weights.get(name, 0.0 if name.startswith("eyeLook") else 0.15) for name in names], np.float32)
    joint_rot = np.zeros((5, 3), np.float32)
    joint_rot[0, 1] = 0.1
    return Sample(0.0, names, "arkit52", values, joint_rot, np.array([0.02, 0.0, -0.7], np.float32), 1.0)


def shown(avatar: Avatar, frame: Sample, options: CalibrationOptions | None = None) -> HeadParams:
    """The avatar's parameters for `frame` once calibrated on the resting driver."""
    driver = replace(Driver.of(avatar, frame.names, frame.space), own_rest=resting_face(avatar))
    retarget = Retarget.of(driver, Neutral.of([sample(avatar)] * 5), options or CalibrationOptions())
    return retarget(*(torch.from_numpy(part)[None] for part in (frame.weights, frame.joint_rot, frame.translation)))


def test_the_drivers_resting_face_is_the_avatars(tiny_avatar: Avatar) -> None:
    found = shown(tiny_avatar, sample(tiny_avatar)).expression[0]
    assert float((found - resting_face(tiny_avatar)).square().mean().sqrt()) < 0.02


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_blink_closes_fully_though_lids_and_wide_eyes_have_a_resting_place(tiny_avatar: Avatar, side: str) -> None:
    found = shown(tiny_avatar, sample(tiny_avatar, **{f"eyeBlink{side}": 0.65})).expression[0]
    names = tiny_avatar.head.expression_names
    assert float(found[names.index(f"eyeBlink{side}")]) > 0.9
    assert (
        float(found[names.index(f"eyeWide{side}")]) <= float(tiny_avatar.neutral[names.index(f"eyeWide{side}")]) + 0.02
    )


def test_gain_makes_more_of_a_group_and_leaves_the_rest(tiny_avatar: Avatar) -> None:
    frame = sample(tiny_avatar, browInnerUp=0.3, jawOpen=0.2)
    names = tiny_avatar.head.expression_names
    driver = replace(Driver.of(tiny_avatar, frame.names, frame.space), own_rest=resting_face(tiny_avatar))
    found = {}
    for factor in (1.0, 2.0):
        retarget = Retarget.of(driver, Neutral.of([sample(tiny_avatar)]), CalibrationOptions(gain={"brows": factor}))
        meant = replace(retarget, driver=replace(driver, options=replace(driver.options, ease=False)))
        parts = (frame.weights, frame.joint_rot, frame.translation)
        found[factor] = meant(*(torch.from_numpy(part)[None] for part in parts)).expression[0]
    brow, jaw = names.index("browInnerUp"), names.index("jawOpen")
    assert found[2.0][brow] > found[1.0][brow] + 0.1
    assert found[2.0][jaw] == found[1.0][jaw]


def test_a_gain_of_an_unknown_group_is_refused() -> None:
    with pytest.raises(HeadsplatError, match="no group 'nose'; the groups are brows, eyes, mouth, jaw, head"):
        CalibrationOptions(gain={"nose": 2.0})


def test_a_still_head_is_a_gain_of_nothing(tiny_avatar: Avatar) -> None:
    turned = sample(tiny_avatar)
    turned.joint_rot[0, 1] = 0.4
    options = CalibrationOptions(gain={"head": 0.0})
    assert torch.allclose(
        shown(tiny_avatar, turned, options).joint_rot,
        shown(tiny_avatar, sample(tiny_avatar), options).joint_rot,
        atol=1e-5,
    )


def test_the_neutral_is_final_after_its_seconds_and_can_be_taken_again(tiny_avatar: Avatar) -> None:
    calibrator = Calibrator(Driver.of(tiny_avatar, tiny_avatar.head.expression_names, "arkit52"), CalibrationOptions())
    for k in range(50):
        calibrator.see(sample(tiny_avatar), k / 30)
    first = calibrator.see(sample(tiny_avatar, jawOpen=0.9), 3.0)
    assert calibrator.progress == 1
    assert calibrator.see(sample(tiny_avatar, jawOpen=0.9), 3.1) is first
    calibrator.again()
    jaw = tiny_avatar.head.expression_names.index("jawOpen")
    assert float(calibrator.see(sample(tiny_avatar, jawOpen=0.9), 3.2).neutral.weights[jaw]) == pytest.approx(0.9)
