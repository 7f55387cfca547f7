"""Rotations in NumPy against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.geometry.numpy_rotations import mean_quat, quat_multiply, quat_to_rotvec, rotvec_to_quat

RNG = np.random.default_rng(7)
#: Any rotations, tiny ones, none, and half turns.
ROTVECS = np.concatenate(
    [RNG.normal(size=(200, 3)), RNG.normal(size=(50, 3)) * 1e-9, np.zeros((1, 3)), np.eye(3) * np.pi * (1 - 1e-9)]
)


def scipy_quat(rotation: Rotation) -> np.ndarray:
    return rotation.as_quat()[..., [3, 0, 1, 2]]


def test_quaternions_are_scipys_up_to_sign() -> None:
    found, expected = rotvec_to_quat(ROTVECS), scipy_quat(Rotation.from_rotvec(ROTVECS))
    assert np.abs((found * expected).sum(-1)) == pytest.approx(1, abs=1e-12)


def test_rotation_vectors_are_restored_with_an_angle_of_half_a_turn_at_most() -> None:
    expected = Rotation.from_rotvec(ROTVECS).as_rotvec()
    for sign in (1, -1):
        assert np.allclose(quat_to_rotvec(sign * rotvec_to_quat(ROTVECS)), expected, atol=1e-12)


def test_a_product_applies_the_right_rotation_first() -> None:
    left, right = ROTVECS[:100], ROTVECS[100:200]
    found = quat_to_rotvec(quat_multiply(rotvec_to_quat(left), rotvec_to_quat(right)))
    expected = Rotation.from_rotvec(left) * Rotation.from_rotvec(right)
    assert np.allclose(found, expected.as_rotvec(), atol=1e-12)


def test_the_mean_is_scipys() -> None:
    rotvecs = RNG.normal(size=(50, 3)) * 0.5
    found = mean_quat(rotvec_to_quat(rotvecs))
    assert abs(found @ scipy_quat(Rotation.from_rotvec(rotvecs).mean())) == pytest.approx(1, abs=1e-12)
