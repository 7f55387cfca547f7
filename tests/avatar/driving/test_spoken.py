"""A speaking face on avatars: closures survive retargeting, the soft clamp and the avatar's resting face."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.driving.driver import DriveOptions, Driver, drive
from avatar.driving.lip_closure import LipContact
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.model.avatar import Avatar
from avatar.motion.lip_gap import LipGap
from avatar.performance.speech.phones import BILABIALS
from avatar.performance.speech.speaking import SpeakOptions, speak
from avatar.types import HeadParams
from tests.support.scripted_speech import SENTENCE, at_middle, lip_gap, scripted

SPEECH = scripted(SENTENCE)
MOTION = speak(SPEECH, SpeakOptions(fps=30))
CLOSED = [at_middle(MOTION, phone) for phone in SPEECH.phones if phone.name in BILABIALS]


def gap_of(avatar: Avatar, params: HeadParams) -> np.ndarray:
    gap = LipGap.of(avatar.head)
    assert gap is not None
    return 1e3 * gap(params.expression).numpy()


@pytest.fixture(scope="module")
def grimace(tiny_avatar: Avatar) -> Avatar:
    """The avatar with a resting face of raised lips and an open jaw, and a narrow trained range."""
    rest = dict.fromkeys(("mouthFunnel", "mouthUpperUpLeft", "mouthLowerDownRight"), 0.25) | {"jawOpen": 0.15}
    names = tiny_avatar.head.expression_names
    avatar = copy.deepcopy(tiny_avatar)
    with torch.no_grad():
        avatar.neutral.copy_(torch.tensor([rest.get(name, 0.05) for name in names]))
        avatar.blendshapes.low.zero_()
        avatar.blendshapes.high.fill_(0.15)
    return avatar


@pytest.mark.parametrize("options", [DriveOptions(), DriveOptions(neutral="as-is"), DriveOptions(soft_clamp=False)])
def test_closures_survive_on_an_avatar(grimace: Avatar, options: DriveOptions) -> None:
    gap = gap_of(grimace, drive(grimace, MOTION, options).params)
    assert gap[CLOSED].max() < 0.1


def test_closures_would_open_without_the_correction(grimace: Avatar) -> None:
    gap = gap_of(grimace, drive(grimace, replace(MOTION, resting="find")).params)
    assert gap[CLOSED].max() > 0.3


def test_open_mouths_are_not_changed(tiny_avatar: Avatar) -> None:
    contact = LipContact.of(MOTION.names, load_head(), tiny_avatar.head)
    assert contact is not None
    expression = torch.rand(len(MOTION), len(tiny_avatar.head.expression_names))
    changed = contact(MOTION.weights, expression)
    apart = contact.gap(MOTION.weights) > 0.0046
    assert apart.any() and (changed[apart] == expression[apart]).all() and not (changed == expression).all()


def test_silence_is_the_resting_face_with_closed_lips(grimace: Avatar) -> None:
    silent = speak(scripted("SIL:1"), SpeakOptions(acting=0))
    gap = gap_of(grimace, drive(grimace, silent).params)
    assert np.abs(gap).max() < 0.3


def test_the_head_turns_about_the_mean_pose_of_the_avatar(tiny_avatar: Avatar) -> None:
    still = speak(SPEECH, SpeakOptions(fps=30, acting=0))
    params = drive(tiny_avatar, still).params
    assert (params.joint_rot[:, 0] - params.joint_rot[0, 0]).abs().max() < 1e-5
    assert drive(tiny_avatar, MOTION).params.joint_rot[:, 0].std(0).max() > 0.005


def test_resting_decides_how_the_frames_of_a_motion_are_driven(grimace: Avatar) -> None:
    assert MOTION.notes == () and MOTION.resting == "zero"
    found, zero = (drive(grimace, replace(MOTION, resting=resting)).params for resting in ("find", "zero"))
    assert not torch.allclose(found.expression, zero.expression, atol=1e-3)
    frames = MOTION.weights, MOTION.joint_rot, MOTION.translation
    for resting, expected in (("find", found), ("zero", zero)):
        driver = Driver.for_motion(grimace, replace(MOTION, resting=resting))
        assert torch.equal(driver(*frames).expression, expected.expression)
        assert torch.equal(driver(*frames).joint_rot, expected.joint_rot)
    calibrated = Driver.of(grimace, MOTION.names, MOTION.space).calibrated(*frames)
    assert torch.equal(calibrated(*frames).expression, found.expression)


def test_a_made_motion_without_a_face_is_refused_and_lost_frames_are_interpolated(grimace: Avatar) -> None:
    seen, weights = torch.ones(len(MOTION)), MOTION.weights.clone()
    seen[10], weights[10] = 0, 1
    full = weights.clone()
    full[10] = (full[9] + full[11]) / 2
    found, wanted = (
        drive(grimace, motion).params.expression
        for motion in (replace(MOTION, weights=weights, confidence=seen), replace(MOTION, weights=full))
    )
    assert torch.allclose(found, wanted, atol=1e-5)
    with pytest.raises(HeadsplatError, match="shows no face in any frame"):
        drive(grimace, replace(MOTION, confidence=0 * seen))


def test_a_head_without_the_motions_names_has_no_contact(tiny_avatar: Avatar) -> None:
    assert LipContact.of(("smile",), load_head(), tiny_avatar.head) is None


def test_the_motion_closes_the_embedded_head_itself() -> None:
    assert MOTION.names == ARKIT_52 and lip_gap(MOTION)[CLOSED].max() < 0
