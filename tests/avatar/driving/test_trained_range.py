"""The avatar's reach: nothing changes inside it, nothing gets far beyond it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.driving.lid_closure import Lids
from avatar.driving.trained_range import TRAVEL_ROOM, TURN_ROOM, TrainedRange, margin_of, pivot_place, soft_clamp
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head import load_head
from avatar.types import ROOT, HeadParams

from .puppet import puppet

FEW = settings(max_examples=30, deadline=None, derandomize=True)
LOW, HIGH = torch.tensor([-0.2]), torch.tensor([0.5])
#: upper and lower lid of the left and the right eye
LIDS = ((386, 374), (159, 145))


@lru_cache(maxsize=1)
def reach() -> TrainedRange:
    return TrainedRange.of(puppet(load_head()))


def posed(**weights: float) -> HeadParams:
    """One frame of the puppet at its mean pose."""
    head, found = reach().head, reach()
    params = head.neutral_params()
    for name, weight in weights.items():
        params.expression[0, head.expression_index(name)] = weight
    params.joint_rot[0, ROOT] = matrix_to_axis_angle(found.mean_rotation)
    offset = found.mean_place - found.mean_rotation @ found.pivot
    place = head.root_translation(params.identity, found.mean_rotation[None], offset[None])
    return replace(params, translation=place)


def weight_of(params: HeadParams, name: str) -> float:
    return float(params.expression[0, reach().head.expression_index(name)])


def opening(params: HeadParams) -> list[float]:
    """How far each eye is open, of its own opening at rest."""
    head = reach().head
    rest, found = (
        head.landmarks(head.skull_vertices(shown))[0, :, 1]
        for shown in (replace(params, expression=0 * params.expression), params)
    )
    return [float((found[up] - found[down]) / (rest[up] - rest[down])) for up, down in LIDS]


@FEW
@given(st.floats(-3, 3), st.floats(0.01, 1))
def test_easing_is_the_identity_inside_bounded_outside_and_smooth(value: float, room: float) -> None:
    def at(offset: float) -> float:
        return float(soft_clamp(torch.tensor([value + offset], dtype=torch.float64), LOW, HIGH, torch.tensor([room])))

    assert -0.2 - room - 1e-6 <= at(0) <= 0.5 + room + 1e-6
    if -0.2 <= value <= 0.5:
        assert at(0) == pytest.approx(value, abs=1e-7)
    slope, before = (at(1e-4) - at(0)) / 1e-4, (at(0) - at(-1e-4)) / 1e-4
    assert -1e-6 <= slope <= 1 + 1e-6
    assert slope == pytest.approx(before, abs=1e-3 + 2e-4 / room**2)


def test_what_training_saw_comes_through_as_it_is() -> None:
    params = posed(jawOpen=0.3, mouthSmileLeft=0.2, browInnerUp=0.3)
    found = reach()(params)
    assert torch.allclose(found.expression, params.expression, atol=1e-6)
    assert torch.allclose(found.joint_rot, params.joint_rot, atol=1e-6)
    assert torch.allclose(found.translation, params.translation, atol=1e-6)


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "browInnerUp", "tongueOut", "cheekPuff"])
def test_an_expression_beyond_training_stays_within_its_room(name: str) -> None:
    found = weight_of(reach()(posed(**{name: 1.0})), name)
    assert 0.3 < found <= 0.3 + margin_of(name)


@pytest.mark.parametrize("side", ["Left", "Right"])
@pytest.mark.parametrize("others", [{}, {"eyeSquint": 0.3, "eyeLookDown": 0.8}])
def test_a_whole_blink_shuts_the_eye_and_the_lids_do_not_cross(side: str, others: dict[str, float]) -> None:
    weights = {f"{name}{side}": weight for name, weight in (others | {"eyeBlink": 1.0}).items()}
    found = opening(reach()(posed(**weights)))[side == "Right"]
    assert -0.1 < found < 0.1


def test_open_eyes_keep_their_lids() -> None:
    params = posed(eyeBlinkLeft=0.3, eyeSquintLeft=0.2)
    lids = reach().lids
    assert isinstance(lids, Lids)
    assert torch.allclose(lids(params.expression), params.expression)


def test_gaze_is_not_eased() -> None:
    assert weight_of(reach()(posed(eyeLookUpLeft=1.0)), "eyeLookUpLeft") == 1.0


def test_lips_shut_over_an_open_jaw_stay_shut() -> None:
    found = reach()(posed(jawOpen=1.0, mouthClose=0.8))
    assert weight_of(found, "mouthClose") == pytest.approx(0.8 * weight_of(found, "jawOpen"), abs=1e-6)


@FEW
@given(st.tuples(*[st.floats(-1.5, 1.5)] * 3), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_head_poses_stay_within_their_room(turn: tuple[float, ...], travel: tuple[float, ...]) -> None:
    own = reach()
    rotation = axis_angle_to_matrix(torch.tensor(turn)) @ own.mean_rotation
    params = posed()
    params.joint_rot[0, ROOT] = matrix_to_axis_angle(rotation)
    offset = own.mean_place + torch.tensor(travel) - rotation @ own.pivot
    place = own.head.root_translation(params.identity, rotation[None], offset[None])
    found = own(replace(params, translation=place))
    turned = axis_angle_to_matrix(found.joint_rot[:, ROOT])
    away = matrix_to_axis_angle(turned @ own.mean_rotation.T).abs()
    assert away.max() <= 0.4 + TURN_ROOM + 1e-4
    moved = pivot_place(own.head, found.identity, turned, found.translation, own.pivot) - own.mean_place
    assert moved.abs().max() <= 0.05 + TRAVEL_ROOM + 1e-4
