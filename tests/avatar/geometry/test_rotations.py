import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.geometry import rotations as geo

angles = st.floats(-3.1, 3.1)


@given(angles, angles, angles)
@settings(max_examples=60, deadline=None)
def test_axis_angle_and_matrix_are_inverse_below_a_half_turn(x: float, y: float, z: float) -> None:
    vector = torch.tensor([x, y, z], dtype=torch.float64)
    vector = vector / max(1.0, float(vector.norm()) / 3.1)
    matrix = geo.axis_angle_to_matrix(vector)
    assert torch.allclose(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(geo.matrix_to_axis_angle(matrix), vector, atol=1e-6)


def test_axis_angle_gradient_is_finite_at_zero_and_checks_elsewhere() -> None:
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    geo.axis_angle_to_matrix(zero)[0, 1].backward()
    assert torch.allclose(zero.grad, torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64))
    vector = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(geo.axis_angle_to_matrix, vector)


@pytest.mark.parametrize("axis", range(3))
def test_matrix_to_quat_holds_at_half_turns(axis: int) -> None:
    vector = torch.zeros(3, dtype=torch.float64)
    vector[axis] = torch.pi
    matrix = geo.axis_angle_to_matrix(vector)
    assert torch.allclose(geo.quat_to_matrix(geo.matrix_to_quat(matrix)), matrix, atol=1e-12)


def test_quat_multiply_is_the_product_of_rotations() -> None:
    left, right = torch.nn.functional.normalize(torch.randn(2, 50, 4, dtype=torch.float64), dim=-1)
    product = geo.quat_to_matrix(geo.quat_multiply(left, right))
    assert torch.allclose(product, geo.quat_to_matrix(left) @ geo.quat_to_matrix(right), atol=1e-12)


def test_triangle_frames_are_rotations_that_follow_the_triangle() -> None:
    corners = torch.randn(20, 3, 3, dtype=torch.float64)
    turn = geo.axis_angle_to_matrix(torch.tensor([0.4, 1.0, -0.3], dtype=torch.float64))
    frames = geo.triangle_frames(corners)
    assert torch.allclose(torch.linalg.det(frames), torch.ones(20, dtype=torch.float64))
    assert torch.allclose(geo.triangle_frames(corners @ turn.T), turn @ frames, atol=1e-10)
