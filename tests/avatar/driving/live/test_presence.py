"""The avatar's pose while no face is tracked."""

from __future__ import annotations

import numpy as np
import torch

from avatar.driving.live.presence import Presence, PresenceOptions
from avatar.types import HeadParams

OPTIONS = PresenceOptions(hold=0.3, to_neutral=0.5, to_driver=0.25)


def params(value: float) -> HeadParams:
    joint_rot = torch.zeros(1, 5, 3)
    joint_rot[:, 0, 1] = value
    return HeadParams(torch.zeros(0), torch.full((1, 4), value), joint_rot, torch.full((1, 3), value))


def value_of(shown: HeadParams) -> float:
    return float(shown.expression[0, 0])


def driven(until: float = 1.0) -> Presence:
    presence = Presence(params(0.0), OPTIONS)
    for time in np.arange(0, until + 1e-9, 0.05):
        presence.update(params(0.8), float(time))
    return presence


def test_before_the_first_face_the_avatar_is_at_rest() -> None:
    assert value_of(Presence(params(0.0), OPTIONS).params_at(5.0)) == 0


def test_a_lost_face_keeps_the_last_pose() -> None:
    presence = driven()
    presence.mark_lost(1.05)
    assert value_of(presence.params_at(1.3)) == value_of(params(0.8))


def test_a_face_lost_for_long_returns_to_neutral() -> None:
    presence = driven()
    presence.mark_lost(1.05)
    presence.mark_lost(1.5)
    assert 0 < value_of(presence.params_at(1.6)) < 0.8
    assert value_of(presence.params_at(1.05 + 0.3 + 0.5)) == 0


def test_a_face_that_returns_is_followed_again_within_half_a_second() -> None:
    presence = driven()
    presence.mark_lost(1.05)
    for time in (3.0, 3.1, 3.2, 3.3):
        presence.update(params(0.6), time)
    assert value_of(presence.params_at(3.3)) == value_of(params(0.6))


def test_nothing_jumps_on_the_way_there_and_back() -> None:
    presence = driven()
    shown = []
    for time in np.arange(1.0, 3.0, 0.01):
        if 1.05 <= time < 1.7:
            presence.mark_lost(float(time))
        else:
            presence.update(params(0.8), float(time))
        frame = presence.params_at(float(time))
        shown.append([value_of(frame), float(frame.joint_rot[0, 0, 1]), float(frame.translation[0, 0])])
    assert np.abs(np.diff(np.array(shown), axis=0)).max() < 0.06
