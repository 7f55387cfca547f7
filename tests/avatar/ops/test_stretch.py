"""`ops.vertex_stretch` and `ops.bind` with stretch: native against reference, gradients, properties of the stretch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import axis_angle_to_matrix, triangle_frames
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_small import ROUNDING, random, rigged

VERTICES, COUNT = 40, 1100
LEARNED = (0, 3, 4, 6, 7, 8, 9)  # vertices, offsets, quats, rotations, translations, scales, tensors
STILL = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 2, 4)
#: Unit square of two triangles that share the diagonal 1-2.
SQUARE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
HALVES = torch.tensor([[0, 1, 2], [1, 3, 2]])


def cast(mesh: ops.StretchMesh, dtype: torch.dtype) -> ops.StretchMesh:
    return replace(mesh, inverse=mesh.inverse.to(dtype), weights=mesh.weights.to(dtype))


def soup() -> tuple[Tensor, ops.StretchMesh]:
    """Posed vertices [2,V,3] and a mesh of random triangles of which a quarter of the vertices does not stretch."""
    source = torch.Generator().manual_seed(14)
    faces = torch.stack([torch.randperm(VERTICES, generator=source)[:3] for _ in range(70)])
    template = 0.2 * random(VERTICES, 3, seed=15)
    stretches = torch.arange(VERTICES) % 4 != 0
    return template + 0.05 * (random(2, VERTICES, 3, seed=16) - 0.5), ops.stretch_mesh(template, faces, stretches)


def stretched(count: int = COUNT) -> list[Tensor]:
    """Arguments of `flat_bind` in double."""
    mesh = soup()[1]
    tensors = random(2, len(mesh.vertices), 6, seed=12) - 0.5
    return [*rigged(count), 0.01 * random(2, count, 3, seed=11), tensors, mesh.rows]


def tensors_and_gradient(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    vertices, mesh = soup()
    leaf = vertices.to(dtype).requires_grad_()
    tensors = ops.vertex_stretch(leaf, cast(mesh, dtype))
    (grad,) = torch.autograd.grad((tensors * random(*tensors.shape, seed=3).to(dtype)).sum(), leaf)
    return tensors.detach(), grad


def bound_and_gradients(
    values: list[Tensor], dtype: torch.dtype, bind: Callable[..., tuple[Tensor, ...]] = ops.bind
) -> tuple[Tensor, ...]:
    given = [value.to(dtype) if value.is_floating_point() else value for value in values]
    for k in LEARNED:
        given[k] = given[k].clone().requires_grad_()
    out = flat_bind(*given, function=bind)
    pulls = (random(*value.shape, seed=20 + k) - 0.5 for k, value in enumerate(out))
    total = torch.stack([(value * pull.to(value)).sum() for value, pull in zip(out, pulls, strict=True)]).sum()
    return *(value.detach() for value in out), *torch.autograd.grad(total, [given[k] for k in LEARNED])


def test_native_tensors_and_their_gradient_match_reference(level: str) -> None:
    for found, expected in zip(tensors_and_gradient(torch.float32), tensors_and_gradient(torch.float64), strict=True):
        assert largest(found, expected) < ROUNDING


def test_native_stretched_gaussians_and_all_gradients_match_reference(level: str) -> None:
    found, expected = bound_and_gradients(stretched(), torch.float32), bound_and_gradients(stretched(), torch.float64)
    for value, true_value in zip(found, expected, strict=True):
        # Slivers among the random triangles amplify rounding in their frames.
        assert largest(value, true_value) < 2e-4


def test_reference_tensors_match_finite_differences() -> None:
    vertices, mesh = soup()
    leaf = vertices[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda given: reference.vertex_stretch(given, mesh), (leaf,), fast_mode=True)


def test_reference_stretched_gaussians_match_finite_differences() -> None:
    values = stretched(6)

    def bound(*learned: Tensor) -> tuple[Tensor, ...]:
        given = list(values)
        for k, value in zip(LEARNED, learned, strict=True):
            given[k] = value
        return flat_bind(*given, function=reference.bind)

    assert torch.autograd.gradcheck(bound, tuple(values[k].clone().requires_grad_() for k in LEARNED), fast_mode=True)


def test_a_neutral_mesh_has_no_stretch_in_any_orientation() -> None:
    source = torch.Generator().manual_seed(2)
    template = 0.1 * torch.rand(30, 3, generator=source)
    faces = torch.stack([torch.randperm(30, generator=source)[:3] for _ in range(40)])
    mesh = ops.stretch_mesh(template, faces, torch.ones(30, dtype=torch.bool))
    turned = template @ axis_angle_to_matrix(torch.tensor([0.4, -1.9, 0.3])).T + torch.tensor([0.3, -0.2, 0.5])
    # Slivers among the random triangles amplify rounding.
    assert ops.vertex_stretch(torch.stack([template, turned]), mesh).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("factor", "stretch"), [(0.0, 3 / 7), (0.5, 1 - 3 / 7.25), (1.0, 1.0), (3.0, 3.0), (9.0, 51 / 11)]
)
def test_a_square_pulled_along_x_stretches_along_x_alone(factor: float, stretch: float) -> None:
    """f(x) = 1 + 4 (x - 1) / (x + 7) of the squared factor: exact at 1 and 3, bounded elsewhere."""
    mesh = ops.stretch_mesh(SQUARE, HALVES, torch.ones(4, dtype=torch.bool))
    pulled = SQUARE * torch.tensor([factor, 1.0, 1.0])
    tensors = ops.vertex_stretch(pulled[None], mesh)
    torch.testing.assert_close(tensors[0, :, 0], torch.full((4,), stretch - 1), atol=1e-5, rtol=1e-5)
    assert tensors[0, :, 1:5].abs().max() < 1e-5
    if factor == 0:
        return  # no plane is known
    assert tensors[0, :, 5].abs().max() < 1e-5
    axes = torch.tensor([[1.0, 0, 0, 0]]).expand(1, 2, 4)
    offsets, scales = torch.tensor([[[0.1, 0.2, 0.3]] * 2]), torch.tensor([[[0.01, 0.02, 0.03]] * 2])
    still = torch.zeros(1, 2, 3)
    binding = (
        pulled[None],
        HALVES[:1].repeat(2, 1),
        torch.full((2, 3), 1 / 3),
        offsets,
        axes,
        torch.zeros(2),
        STILL,
        still,
    )
    means, _, wide = flat_bind(*binding, scales, tensors, mesh.rows)
    assert means[0, 0].tolist() == pytest.approx([factor / 3 + 0.1 * stretch, 1 / 3 + 0.2, 0.3], abs=1e-5)
    assert wide[0, 0].tolist() == pytest.approx([0.01 * stretch, 0.02, 0.03], rel=1e-5)


def test_stretch_is_continuous_across_an_edge() -> None:
    """The same point of the shared edge and the same offset in the world, bound to the triangle on either side."""
    mesh = ops.stretch_mesh(SQUARE, HALVES, torch.ones(4, dtype=torch.bool))
    posed = SQUARE.clone()
    posed[3] += torch.tensor([2.0, 0.5, 0.0])  # only the second triangle stretches
    frames = triangle_frames(posed[HALVES][None])[0]
    offset = torch.tensor([0.1, -0.05, 0.0])
    binding = (
        posed[None], HALVES, torch.tensor([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]), (offset @ frames)[None],
        torch.tensor([[1.0, 0, 0, 0]]).expand(1, 2, 4), torch.zeros(2), STILL, torch.zeros(1, 2, 3),
    )  # fmt: skip
    tensors = ops.vertex_stretch(posed[None], mesh)
    means, _, _ = flat_bind(*binding, torch.ones(1, 2, 3), tensors, mesh.rows)
    torch.testing.assert_close(means[0, 0], means[0, 1], atol=1e-6, rtol=1e-6)
    assert (means[0, 0] - (posed[1] + posed[2]) / 2 - offset).norm() > 0.01


def test_no_pose_stretches_beyond_the_bounds() -> None:
    vertices, mesh = soup()
    for scale in (0.0, 1e-6, 1e-2, 1e2, 1e4):
        tensors = ops.vertex_stretch(vertices.float() * scale, cast(mesh, torch.float32))
        order = [0, 1, 2, 1, 3, 4, 2, 4, 5]
        values = torch.linalg.eigvalsh(tensors[..., order].unflatten(-1, (3, 3)).double())
        assert values.min() > -4 / 7 - 1e-4 and values.max() < 4 + 1e-3


def test_gaussians_on_still_triangles_keep_every_bit(level: str) -> None:
    values = [value.float() if value.is_floating_point() else value for value in stretched()]
    still = (values[10][values[1]] < 0).all(1)
    assert 5 < int(still.sum()) < COUNT
    means, quats = flat_bind(*values[:8])
    found = flat_bind(*values)
    assert torch.equal(found[0][:, still], means[:, still]) and torch.equal(found[2][:, still], values[8][:, still])
    assert torch.equal(found[1], quats)
    assert not torch.equal(found[0][:, ~still], means[:, ~still])


def test_degenerate_triangles_and_zero_quaternions_have_finite_results_and_gradients(level: str) -> None:
    values = [value.float() if value.is_floating_point() else value for value in stretched(50)]
    mesh = cast(soup()[1], torch.float32)
    values[4] = torch.zeros_like(values[4])
    flat = values[0].clone()
    flat[:, :, 2] = 0
    flat[:, :, 1] = flat[:, :, 0]  # all on a line
    for vertices in (torch.zeros_like(flat), flat):
        given = list(values)
        given[0] = vertices.requires_grad_()
        given[9] = ops.vertex_stretch(given[0], mesh)
        out = flat_bind(*given)
        (grad,) = torch.autograd.grad(torch.cat([value.flatten() for value in out]).sum(), given[0])
        assert all(value.isfinite().all() for value in (*out, grad))


def test_a_neutral_triangle_without_area_is_left_out() -> None:
    template = torch.cat([SQUARE, SQUARE[:1]])
    mesh = ops.stretch_mesh(template, torch.cat([HALVES, torch.tensor([[0, 4, 1]])]), torch.ones(5, dtype=torch.bool))
    assert len(mesh.faces) == 2
    assert mesh.rows.tolist() == [0, 1, 2, 3, -1]


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_stretch_is_bit_identical_at_any_thread_count() -> None:
    before = cuda_ext.threads()
    try:
        results = []
        for threads in (1, 2, 5):
            cuda_ext.set_threads(threads)
            results.append((*tensors_and_gradient(torch.float32), *bound_and_gradients(stretched(), torch.float32)))
    finally:
        cuda_ext.set_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_wrong_arguments_are_named() -> None:
    vertices, mesh = soup()
    values = stretched(5)
    with pytest.raises(ValueError, match=rf"vertices: expected \[B,{VERTICES},3\]"):
        ops.vertex_stretch(vertices[:, 1:], mesh)
    with pytest.raises(ValueError, match=r"inverse: expected torch\.float32 like the first argument"):
        ops.vertex_stretch(vertices.float(), mesh)
    for k, name in ((8, "scales"), (9, "tensors"), (10, "rows")):
        wrong = list(values)
        wrong[k] = wrong[k][..., 1:]
        with pytest.raises(ValueError, match=f"{name}: expected"):
            flat_bind(*wrong)


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
@pytest.mark.parametrize("value", [-1, VERTICES, 2**40])
def test_indices_that_changed_are_refused_or_left_out(value: int) -> None:
    vertices, mesh = soup()
    mesh = cast(mesh, torch.float32)
    for name in ("starts", "corners", "vertices"):  # memory that nobody else reads: bounds are checked, not reported
        changed = {name: getattr(mesh, name).clone()}
        changed[name][3] = value
        assert ops.vertex_stretch(vertices.float(), replace(mesh, **changed)).shape == (2, len(mesh.vertices), 6)
    faces = mesh.faces.clone()
    faces[3, 1] = value
    with pytest.raises(ValueError, match=rf"faces: expected indices in 0\.\.{VERTICES - 1}"):
        ops.vertex_stretch(vertices.float(), replace(mesh, faces=faces))
    values = [each.float() if each.is_floating_point() else each for each in stretched(50)]
    values[10] = values[10].clone()
    values[10][5] = value  # a row out of range counts as none
    assert all(out.isfinite().all() for out in flat_bind(*values))
