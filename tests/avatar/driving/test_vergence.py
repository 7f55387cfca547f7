"""Both eyes look at one point: hardly any difference of pitch, no divergence, and the mean direction stays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avatar.driving.vergence import PITCH_DIFFERENCE, Vergence
from avatar.head import load_head
from avatar.types import LEFT_EYE, RIGHT_EYE

HEAD = load_head()


def weights(**named: float) -> Tensor:
    expression = torch.zeros(1, len(HEAD.expression_names))
    for name, weight in named.items():
        expression[0, HEAD.expression_index(name)] = weight
    return expression


def turns(expression: Tensor, joint_rot: Tensor) -> tuple[Tensor, Tensor]:
    """Pitch and yaw [2] of the left and of the right eye, radians."""
    left, right = (
        joint_rot[0, joint, :2] + HEAD.joint_dirs[joint, :2] @ expression[0] for joint in (LEFT_EYE, RIGHT_EYE)
    )
    return left, right


def corrected(expression: Tensor, joint_rot: Tensor) -> tuple[Tensor, Tensor]:
    before = joint_rot.clone()
    found = Vergence.of(HEAD)(expression, joint_rot)
    torch.testing.assert_close(joint_rot, before)
    others = [joint for joint in range(5) if joint not in (LEFT_EYE, RIGHT_EYE)]
    torch.testing.assert_close(found[:, others], joint_rot[:, others])
    left, right = turns(expression, found)
    torch.testing.assert_close(left + right, sum(turns(expression, joint_rot)), atol=1e-6, rtol=0)
    return left, right


def test_one_eye_up_and_one_down_look_along_their_mean() -> None:
    left, right = corrected(weights(eyeLookUpLeft=0.6, eyeLookDownRight=0.4), torch.zeros(1, 5, 3))
    assert abs(float(left[0] - right[0])) == pytest.approx(PITCH_DIFFERENCE, abs=1e-6)


def test_diverging_eyes_become_parallel() -> None:
    left, right = corrected(weights(eyeLookOutLeft=0.5, eyeLookOutRight=0.3), torch.zeros(1, 5, 3))
    assert float(left[1]) == pytest.approx(float(right[1]), abs=1e-6) and float(left[1]) > 0


def test_joint_rotations_count_like_weights() -> None:
    joint_rot = 0.1 * torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    joint_rot[0, LEFT_EYE, 1], joint_rot[0, RIGHT_EYE, 1] = 0.2, -0.1
    left, right = corrected(weights(), joint_rot)
    assert float(left[1]) == pytest.approx(float(right[1]), abs=1e-6)
    assert abs(float(left[0] - right[0])) < PITCH_DIFFERENCE + 1e-6


@pytest.mark.parametrize("aside", [{}, {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}])
def test_converging_and_parallel_eyes_stay(aside: dict[str, float]) -> None:
    expression = weights(eyeLookDownLeft=0.3, eyeLookDownRight=0.3, **aside)
    joint_rot = torch.zeros(1, 5, 3)
    joint_rot[0, LEFT_EYE, 1], joint_rot[0, RIGHT_EYE, 1] = -math.radians(4), math.radians(4)
    torch.testing.assert_close(Vergence.of(HEAD)(expression, joint_rot), joint_rot, atol=1e-6, rtol=0)
