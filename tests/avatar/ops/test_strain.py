"""`ops.principal_strains`: values, gradients, and what must be exactly zero."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import axis_angle_to_matrix
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_fuzz import fuzzed
from tests.avatar.ops.test_small import ROUNDING, random
from tests.avatar.ops.test_stretch import HALVES, SQUARE, cast, soup

BARY = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def points(count: int) -> list[Tensor]:
    """Arguments of `principal_strains` in double, at `count` points on random triangles.

    All tensors extend along one tilted direction and compress across it: nearly equal strains would amplify rounding.
    """
    mesh = soup()[1]
    triangles = mesh.faces[torch.arange(count) % len(mesh.faces)]
    plane = torch.zeros(2, len(mesh.vertices), 3, 3, dtype=torch.float64)
    plane[..., 0, 0] = 0.1 + 0.4 * random(2, len(mesh.vertices), seed=12)
    plane[..., 1, 1] = -0.1 - 0.4 * random(2, len(mesh.vertices), seed=13)
    plane[..., 0, 1] = plane[..., 1, 0] = random(2, len(mesh.vertices), seed=14) - 0.5
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.9, 0.3], dtype=torch.float64))
    upper = torch.triu_indices(3, 3)
    tensors = (turn @ plane @ turn.T)[..., upper[0], upper[1]]
    return [tensors.contiguous(), mesh.rows, triangles, torch.softmax(random(count, 3, seed=5).double(), 1)]


def strains_and_gradient(values: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Strains of such arguments, and the gradient of the tensors, by the reference where they are in double."""
    leaf = values[0].clone().requires_grad_()
    strains = ops.principal_strains(leaf, *values[1:])
    pull = random(*strains.shape, seed=3).to(strains) - 0.5
    (grad,) = torch.autograd.grad((strains * pull).sum(), leaf)
    return strains.detach(), grad


def single(values: list[Tensor]) -> list[Tensor]:
    return [value.float() if value.is_floating_point() else value for value in values]


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


@pytest.mark.parametrize("count", [1, 127, 2500])
def test_native_strains_and_their_gradient_match_reference(count: int) -> None:
    for found, expected in zip(
        strains_and_gradient(single(points(count))), strains_and_gradient(points(count)), strict=True
    ):
        assert largest(found, expected) < ROUNDING


def test_native_strains_do_not_depend_on_the_number_of_threads() -> None:
    values, before, found = single(points(2500)), cuda_ext.threads(), []
    try:
        for threads in (1, 3):
            cuda_ext.set_threads(threads)
            found.append(strains_and_gradient(values))
    finally:
        cuda_ext.set_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [-1, 40])
def test_an_index_out_of_range_is_refused(value: int, dtype: torch.dtype) -> None:
    tensors, rows, triangles, bary = points(30)
    triangles = triangles.clone()
    triangles[7, 1] = value
    with pytest.raises(ValueError, match=r"triangles: expected indices in 0\.\.39"):
        ops.principal_strains(tensors.to(dtype), rows, triangles, bary.to(dtype))


def test_a_point_with_nan_leaves_the_others_as_they_are() -> None:
    values = single(points(30))
    expected = strains_and_gradient(values)[0]
    row = int(values[1][values[2][0]].max())
    values[0][0, row, 4] = float("nan")
    found = strains_and_gradient(values)[0]
    reached = (values[1][values[2]] == row).any(1)
    assert found[0, reached].isnan().all()
    assert torch.equal(found[0, ~reached], expected[0, ~reached])
    assert torch.equal(found[1], expected[1])


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
