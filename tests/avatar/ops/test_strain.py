"""`ops.principal_strains`: values, gradients, and what must be exactly zero."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from avatar import ops, reference
from avatar.geometry.rotations import axis_angle_to_matrix
from tests.avatar.ops.test_fuzz import fuzzed
from tests.avatar.ops.test_small import random
from tests.avatar.ops.test_stretch import HALVES, SQUARE, cast, soup

BARY = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def strains_of(vertices: Tensor) -> Tensor:
    """Strains [2,2] of a posed square, at a point of each half."""
    mesh = ops.stretch_mesh(SQUARE, HALVES, torch.ones(4, dtype=torch.bool))
    return ops.principal_strains(ops.vertex_stretch(vertices[None], mesh), mesh.rows, HALVES, BARY)[0]


@pytest.mark.parametrize("factors", [(0.8, 1.3), (1.3, 0.8), (0.7, 0.7), (0.6, 1.0)])
def test_strains_are_the_stretches_minus_one_in_order(factors: tuple[float, float]) -> None:
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.9, 0.3]))
    found = strains_of((SQUARE * torch.tensor([*factors, 1.0])) @ turn.T + 0.3)
    expected = sorted(4 * (x * x - 1) / (x * x + 7) for x in factors)
    # The safe square root brings both nearer to each other by up to 1e-3.
    torch.testing.assert_close(found, torch.tensor(expected).expand(2, 2), atol=1.1e-3, rtol=0)


def test_no_stretch_is_no_strain_to_the_bit_and_has_a_finite_gradient() -> None:
    mesh = soup()[1]
    tensors = torch.zeros(2, len(mesh.vertices), 6, requires_grad=True)
    bary = torch.full((len(mesh.faces), 3), 1 / 3)
    strains = ops.principal_strains(tensors, mesh.rows, mesh.faces, bary)
    assert torch.equal(strains, torch.zeros(2, len(mesh.faces), 2))
    (grad,) = torch.autograd.grad(strains[..., 1].sum(), tensors)
    assert grad.isfinite().all()


def test_equal_strains_have_finite_gradients() -> None:
    vertices = (SQUARE * torch.tensor([1.2, 1.2, 1.0])).requires_grad_()
    (grad,) = torch.autograd.grad(strains_of(vertices)[:, 0].sum(), vertices)
    assert grad.isfinite().all()
    assert grad.abs().max() > 0.1


def test_strain_is_the_same_on_both_sides_of_an_edge() -> None:
    mesh = ops.stretch_mesh(SQUARE, HALVES, torch.ones(4, dtype=torch.bool))
    posed = SQUARE.clone()
    posed[3] += torch.tensor([0.5, 0.1, 0.0])
    bary = torch.tensor([[0.0, 0.25, 0.75], [0.25, 0.0, 0.75]])
    one, other = ops.principal_strains(ops.vertex_stretch(posed[None], mesh), mesh.rows, HALVES, bary)[0]
    torch.testing.assert_close(one, other)
    assert one.abs().max() > 0.05


def test_float32_matches_double_and_finite_differences() -> None:
    vertices, mesh = soup()
    bary = torch.softmax(random(len(mesh.faces), 3, seed=5), 1)

    def strains(given: Tensor) -> Tensor:
        stretch = reference.vertex_stretch(given, cast(mesh, given.dtype))
        return reference.principal_strains(stretch, mesh.rows, mesh.faces, bary.to(given))

    single = ops.vertex_stretch(vertices.float(), cast(mesh, torch.float32))
    found = ops.principal_strains(single, mesh.rows, mesh.faces, bary.float())
    torch.testing.assert_close(found.double(), strains(vertices.double()), atol=2e-4, rtol=0)
    leaf = vertices[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(strains, (leaf,), fast_mode=True)


@fuzzed
@given(st.integers(0, 3), st.integers(0, 9), st.integers(0, 7), st.randoms(use_true_random=False))
def test_any_size_has_ordered_finite_strains(batch: int, stretching: int, points: int, source: object) -> None:
    seed = torch.Generator().manual_seed(source.randrange(2**31))  # type: ignore[attr-defined]
    rows = torch.where(torch.arange(12) < stretching, torch.arange(12), -1)
    tensors = torch.randn(batch, stretching, 6, generator=seed).requires_grad_()
    triangles = torch.randint(0, 12, (points, 3), generator=seed)
    strains = ops.principal_strains(tensors, rows, triangles, torch.rand(points, 3, generator=seed))
    assert strains.shape == (batch, points, 2)
    assert (strains[..., 0] <= strains[..., 1]).all()
    (grad,) = torch.autograd.grad(strains.sum(), tensors)
    assert grad.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "bary", "message"),
    [((1, 4, 5), (2, 3), "tensors"), ((1, 4, 6), (3, 3), "bary"), ((4, 6), (2, 3), "tensors")],
)
def test_a_wrong_shape_is_named(shape: tuple[int, ...], bary: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.principal_strains(torch.zeros(shape), torch.arange(4), HALVES, torch.zeros(bary))
