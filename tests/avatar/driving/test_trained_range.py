"""The trained range of an avatar: no change inside it, a limited margin beyond it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.driving.lid_closure import LidClosure
from avatar.driving.trained_range import TRAVEL_MARGIN, TURN_MARGIN, TrainedRange, margin_of, pivot_position, soft_clamp
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head import load_head
from avatar.model.parts.mesh_layer import MOUTH, MeshLayer
from avatar.types import JAW, ROOT, HeadParams

from .puppet import puppet

FEW = settings(max_examples=30, deadline=None, derandomize=True)
LOW, HIGH = torch.tensor([-0.2]), torch.tensor([0.5])
#: upper and lower lid of the left and the right eye
LIDS = ((386, 374), (159, 145))


@lru_cache(maxsize=1)
def trained_range() -> TrainedRange:
    return TrainedRange.of(puppet(load_head()))


def posed(**weights: float) -> HeadParams:
    """One frame of the puppet at its mean pose."""
    head, found = trained_range().head, trained_range()
    params = head.neutral_params()
    for name, weight in weights.items():
        params.expression[0, head.expression_index(name)] = weight
    params.joint_rot[0, ROOT] = matrix_to_axis_angle(found.mean_rotation)
    offset = found.mean_position - found.mean_rotation @ found.pivot
    translation = head.root_translation(params.identity, found.mean_rotation[None], offset[None])
    return replace(params, translation=translation)


def weight_of(params: HeadParams, name: str) -> float:
    return float(params.expression[0, trained_range().head.expression_index(name)])


def opening(params: HeadParams) -> list[float]:
    """The opening of each eye relative to its neutral opening."""
    head = trained_range().head
    rest, found = (
        head.landmarks(head.skull_vertices(shown))[0, :, 1]
        for shown in (replace(params, expression=0 * params.expression), params)
    )
    return [float((found[up] - found[down]) / (rest[up] - rest[down])) for up, down in LIDS]


@FEW
@given(st.floats(-3, 3), st.floats(0.01, 1))
def test_soft_clamp_is_the_identity_inside_bounded_outside_and_smooth(value: float, margin: float) -> None:
    def at(offset: float) -> float:
        return float(soft_clamp(torch.tensor([value + offset], dtype=torch.float64), LOW, HIGH, torch.tensor([margin])))

    assert -0.2 - margin - 1e-6 <= at(0) <= 0.5 + margin + 1e-6
    if -0.2 <= value <= 0.5:
        assert at(0) == pytest.approx(value, abs=1e-7)
    slope, before = (at(1e-4) - at(0)) / 1e-4, (at(0) - at(-1e-4)) / 1e-4
    assert -1e-6 <= slope <= 1 + 1e-6
    assert slope == pytest.approx(before, abs=1e-3 + 2e-4 / margin**2)


def test_params_inside_the_trained_range_do_not_change() -> None:
    params = posed(jawOpen=0.3, mouthSmileLeft=0.2, browInnerUp=0.3)
    found = trained_range()(params)
    assert torch.allclose(found.expression, params.expression, atol=1e-6)
    assert torch.allclose(found.joint_rot, params.joint_rot, atol=1e-6)
    assert torch.allclose(found.translation, params.translation, atol=1e-6)


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "browInnerUp", "tongueOut", "cheekPuff"])
def test_an_expression_beyond_training_stays_within_its_margin(name: str) -> None:
    found = weight_of(trained_range()(posed(**{name: 1.0})), name)
    assert 0.3 < found <= 0.3 + margin_of(name)


@pytest.mark.parametrize("side", ["Left", "Right"])
@pytest.mark.parametrize("others", [{}, {"eyeSquint": 0.3, "eyeLookDown": 0.8}])
def test_a_full_blink_closes_the_eye_and_the_lids_do_not_cross(side: str, others: dict[str, float]) -> None:
    weights = {f"{name}{side}": weight for name, weight in (others | {"eyeBlink": 1.0}).items()}
    found = opening(trained_range()(posed(**weights)))[side == "Right"]
    assert -0.1 < found < 0.1


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_a_full_blink_closes_an_eye_that_is_wide_at_rest(side: str) -> None:
    lids = trained_range().lid_closure
    assert isinstance(lids, LidClosure)
    openings = []
    for blink in (0.3, 0.5, 0.7, 0.9, 1.0):
        params = posed(**{f"eyeBlink{side}": blink, f"eyeWide{side}": 0.4})
        closed = replace(params, expression=lids(params.expression))
        openings.append(opening(closed)[side == "Right"])
        if blink <= 0.5:
            torch.testing.assert_close(closed.expression, params.expression)
    assert all(after < before for before, after in itertools.pairwise(openings))
    assert -0.1 < openings[-1] < 0.02


def test_open_eyes_keep_their_lids() -> None:
    params = posed(eyeBlinkLeft=0.3, eyeSquintLeft=0.2)
    lids = trained_range().lid_closure
    assert isinstance(lids, LidClosure)
    assert torch.allclose(lids(params.expression), params.expression)


def test_gaze_is_not_soft_clamped() -> None:
    assert weight_of(trained_range()(posed(eyeLookUpLeft=1.0)), "eyeLookUpLeft") == 1.0


def test_lips_closed_over_an_open_jaw_stay_closed() -> None:
    found = trained_range()(posed(jawOpen=1.0, mouthClose=0.8))
    assert weight_of(found, "mouthClose") == pytest.approx(0.8 * weight_of(found, "jawOpen"), abs=1e-6)


@FEW
@given(st.tuples(*[st.floats(-1.5, 1.5)] * 3), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_head_poses_stay_within_their_margin(turn: tuple[float, ...], travel: tuple[float, ...]) -> None:
    limits = trained_range()
    rotation = axis_angle_to_matrix(torch.tensor(turn)) @ limits.mean_rotation
    params = posed()
    params.joint_rot[0, ROOT] = matrix_to_axis_angle(rotation)
    offset = limits.mean_position + torch.tensor(travel) - rotation @ limits.pivot
    translation = limits.head.root_translation(params.identity, rotation[None], offset[None])
    found = limits(replace(params, translation=translation))
    turned = axis_angle_to_matrix(found.joint_rot[:, ROOT])
    away = matrix_to_axis_angle(turned @ limits.mean_rotation.T).abs()
    assert away.max() <= 0.4 + TURN_MARGIN + 1e-4
    moved = pivot_position(limits.head, found.identity, turned, found.translation, limits.pivot) - limits.mean_position
    assert moved.abs().max() <= 0.05 + TRAVEL_MARGIN + 1e-4


def test_a_mesh_layer_opens_the_mouth_as_far_as_it_is_driven_and_widens_the_margins_of_the_lips() -> None:
    avatar = puppet(load_head())
    avatar.add_part(MeshLayer(avatar.head))
    limited, wide = trained_range(), TrainedRange.of(avatar)
    params = posed(jawOpen=1.0, mouthFunnel=1.0, browInnerUp=1.0)
    params.joint_rot[0, JAW, 0] = 0.6
    before, after = limited(params), wide(params)
    assert weight_of(after, "jawOpen") == 1 and weight_of(before, "jawOpen") < 0.56
    assert weight_of(after, "mouthFunnel") > weight_of(before, "mouthFunnel") + 0.2
    assert weight_of(after, "browInnerUp") == weight_of(before, "browInnerUp") < 0.66
    assert before.joint_rot[0, JAW, 0] < 0.11 and after.joint_rot[0, JAW, 0] > 0.4


def test_a_layer_of_eyes_alone_changes_no_margin() -> None:
    avatar = puppet(load_head())
    regions = {name: mask for name, mask in avatar.head.regions.items() if name not in MOUTH}
    avatar.head = replace(avatar.head, regions=regions)
    avatar.add_part(MeshLayer(avatar.head))
    assert not TrainedRange.of(avatar).layer


def test_the_limit_of_each_expression_is_what_driving_reaches() -> None:
    found, table = trained_range(), trained_range().of_expressions()
    assert list(table) == list(found.head.expression_names)
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"):
        low, high, limit = table[name]
        column = found.head.expression_index(name)
        assert (low, high) == (
            pytest.approx(float(found.low[column]), abs=0.006),
            pytest.approx(float(found.high[column]), abs=0.006),
        )
        shown = weight_of(found(posed(**{name: 1.0})), name)
        assert max(low, 0) <= shown <= limit + 0.006
    assert table["eyeBlinkRight"][2] == 1.0
