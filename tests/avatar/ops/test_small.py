"""`ops.ssim`, `ops.bind`, `ops.blend` and `ops.adam_step`: native against reference, gradients, properties."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry.rotations import quat_to_matrix, triangle_frames
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import largest

ROUNDING = 5e-6  # float32 against float64 through a few dozen operations


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def image_pair(height: int, width: int) -> tuple[Tensor, Tensor]:
    first = random(2, height, width, 3)
    return first, (first + 0.4 * (random(2, height, width, 3, seed=1) - 0.5)).clamp(0, 1)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (33, 129), (64, 50)])
def test_native_ssim_and_its_gradient_match_reference(level: str, height: int, width: int) -> None:
    first, second = image_pair(height, width)
    scale = torch.tensor([1.0, 2.0])

    def run(ssim: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        leaf = first.to(dtype).requires_grad_()
        value = ssim(leaf, second.to(dtype))
        return value.detach(), torch.autograd.grad((value * scale.to(dtype)).sum(), leaf)[0]

    found, expected = run(ops.ssim, torch.float32), run(reference.ssim, torch.float64)
    assert largest(found[0], expected[0]) < ROUNDING
    assert largest(found[1], expected[1]) < ROUNDING


def test_reference_ssim_gradient_matches_finite_differences() -> None:
    first, second = image_pair(8, 7)
    assert torch.autograd.gradcheck(lambda a: reference.ssim(a, second), (first.requires_grad_(),), fast_mode=True)


def test_ssim_of_an_image_with_itself_is_one() -> None:
    first, _ = image_pair(20, 30)
    torch.testing.assert_close(ops.ssim(first.float(), first.float()), torch.ones(2))


def test_ssim_names_the_argument_of_wrong_shape() -> None:
    with pytest.raises(ValueError, match=r"b: expected \[1,4,5,3\], got \[1,4,4,3\]"):
        ops.ssim(torch.zeros(1, 4, 5, 3), torch.zeros(1, 4, 4, 3))


def rigged(count: int = 1100, vertices: int = 40, batch: int = 2) -> tuple[Tensor, ...]:
    """Arguments of bind in double: random triangles, two bones less than half a turn apart."""
    source = torch.Generator().manual_seed(4)
    triangles = torch.stack([torch.randperm(vertices, generator=source)[:3] for _ in range(count)])
    bary = random(count, 3, seed=1)
    rotations = torch.nn.functional.normalize(random(batch, 2, 4, seed=2) - 0.5, dim=-1)
    return (
        random(batch, vertices, 3, seed=3) * 0.2,
        triangles,
        bary / bary.sum(1, keepdim=True),
        random(batch, count, 3, seed=5) * 0.1 - 0.05,
        random(batch, count, 4, seed=6) - 0.5,
        random(count, seed=7),
        rotations,
        random(batch, 2, 3, seed=8) - 0.5,
    )


LEARNED = (0, 3, 4, 6, 7)  # vertices, offsets, quats, rotations, translations


def bind_and_gradients(bind: Callable[..., tuple[Tensor, ...]], dtype: torch.dtype) -> tuple[Tensor, ...]:
    values = [value.to(dtype) if value.is_floating_point() else value for value in rigged()]
    for k in LEARNED:
        values[k] = values[k].clone().requires_grad_()
    means, quats = flat_bind(*values, function=bind)
    pull = (random(*means.shape, seed=9) - 0.5).to(dtype), (random(*quats.shape, seed=10) - 0.5).to(dtype)
    total = (means * pull[0]).sum() + (quats * pull[1]).sum()
    return means.detach(), quats.detach(), *torch.autograd.grad(total, [values[k] for k in LEARNED])


def test_native_bind_and_its_gradients_match_reference(level: str) -> None:
    found, expected = bind_and_gradients(ops.bind, torch.float32), bind_and_gradients(reference.bind, torch.float64)
    for value, true_value in zip(found, expected, strict=True):
        # Slivers among the random triangles amplify rounding in their frames.
        assert largest(value, true_value) < 2e-4


def test_reference_bind_gradients_match_finite_differences() -> None:
    values = list(rigged(count=6, vertices=9))

    def bound(*learned: Tensor) -> tuple[Tensor, ...]:
        given = list(values)
        for k, value in zip(LEARNED, learned, strict=True):
            given[k] = value
        return flat_bind(*given, function=reference.bind)

    assert torch.autograd.gradcheck(bound, tuple(values[k].clone().requires_grad_() for k in LEARNED))


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_bind_is_bit_identical_at_any_thread_count() -> None:
    before = cuda_ext.threads()
    try:
        results = []
        for threads in (1, 2, 5):
            cuda_ext.set_threads(threads)
            results.append(bind_and_gradients(ops.bind, torch.float32))
    finally:
        cuda_ext.set_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_bind_without_offsets_or_motion_gives_points_and_frames_of_the_triangles() -> None:
    values = [value.float() if value.is_floating_point() else value for value in rigged(count=20)]
    vertices, triangles, bary = values[:3]
    still = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, 2, 4)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, 20, 4)
    zeros = torch.zeros(2, 20, 3)
    means, quats = flat_bind(vertices, triangles, bary, zeros, identity, values[5], still, torch.zeros(2, 2, 3))
    corners = vertices[:, triangles]
    torch.testing.assert_close(means, torch.einsum("nk,bnkc->bnc", bary, corners))
    torch.testing.assert_close(quat_to_matrix(quats), triangle_frames(corners), atol=1e-4, rtol=1e-4)


def test_bind_moves_rigidly_with_a_bone_that_has_all_the_skin() -> None:
    values = [value.float() if value.is_floating_point() else value for value in rigged(count=30)]
    values[5] = torch.ones(30)
    rotations, translations = values[6], values[7]
    moved, turned = flat_bind(*values)
    values[6] = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, 2, 4)
    values[7] = torch.zeros(2, 2, 3)
    rest, frames = flat_bind(*values)
    rotation = quat_to_matrix(rotations[:, 1])
    torch.testing.assert_close(moved, rest @ rotation.transpose(1, 2) + translations[:, 1:], atol=1e-6, rtol=1e-5)
    expected = rotation[:, None] @ quat_to_matrix(frames)
    torch.testing.assert_close(quat_to_matrix(turned), expected, atol=1e-5, rtol=1e-5)


def test_bind_of_a_degenerate_triangle_and_a_zero_quaternion_has_finite_gradients() -> None:
    values = [value.float() if value.is_floating_point() else value for value in rigged(count=4)]
    values[1] = torch.zeros(4, 3, dtype=torch.int64)
    values[4] = torch.zeros(2, 4, 4)
    leaves = [values[k].clone().requires_grad_() for k in LEARNED]
    for k, leaf in zip(LEARNED, leaves, strict=True):
        values[k] = leaf
    means, _ = flat_bind(*values)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(means.sum(), leaves, allow_unused=True))


def test_bind_refuses_a_triangle_with_an_invalid_vertex() -> None:
    values = [value.float() if value.is_floating_point() else value for value in rigged(count=4)]
    values[1] = values[1] + 100
    with pytest.raises(ValueError, match=r"triangles: expected indices in 0\.\.39"):
        flat_bind(*values)


def test_blend_matches_reference_and_its_gradients_match_finite_differences() -> None:
    base, basis, weights = random(5, 4), random(3, 5, 4, seed=1), random(2, 3, seed=2)
    torch.testing.assert_close(ops.blend(base, basis, weights), reference.blend(base, basis, weights))
    assert torch.autograd.gradcheck(ops.blend, tuple(value.requires_grad_() for value in (base, basis, weights)))


def test_rows_times_a_matrix_is_their_product_and_its_gradients_match_finite_differences() -> None:
    rows, matrix = random(2, 5), random(5, 4, seed=1)
    torch.testing.assert_close(ops.batch_invariant_matmul(rows, matrix), rows @ matrix)
    assert torch.autograd.gradcheck(ops.batch_invariant_matmul, (rows.requires_grad_(), matrix.requires_grad_()))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_of_a_product_by_hand_is_that_of_autograd(batch: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(batch)
    rows, matrix, grad = (
        torch.randn(*shape, generator=generator, dtype=dtype) for shape in ((batch, 20), (20, 64), (batch, 64))
    )
    (expected,) = torch.autograd.grad(ops.batch_invariant_matmul(rows.requires_grad_(), matrix), rows, grad)
    found = ops.batch_invariant_matmul_backward(grad, matrix)
    torch.testing.assert_close(found, expected, rtol=0, atol=0 if dtype == torch.float32 else 1e-12)
    torch.testing.assert_close(found, grad @ matrix.T)
    with pytest.raises(ValueError, match="grad: expected"):
        ops.batch_invariant_matmul_backward(grad[:, 1:], matrix)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 31])
def test_rows_have_the_same_bits_in_any_batch(level: str, size: int) -> None:
    rows, matrix = random(64, 58).float(), random(20, 58, seed=1).float().T
    whole = ops.batch_invariant_matmul(rows, matrix)
    parts = [ops.batch_invariant_matmul(rows[first : first + size], matrix) for first in range(0, 64, size)]
    assert torch.equal(torch.cat(parts), whole)


def test_blend_with_zero_weights_is_the_base_exactly() -> None:
    base, basis = random(5, 4).float(), random(3, 5, 4, seed=1).float()
    assert torch.equal(ops.blend(base, basis, torch.zeros(1, 3))[0], base)


@pytest.mark.parametrize("shape", [(1,), (40001,), (3, 9000), (700, 3)])
@pytest.mark.parametrize("per_row", [False, True])
def test_native_adam_matches_reference_over_several_steps(level: str, shape: tuple[int, ...], per_row: bool) -> None:
    param = random(*shape).float()
    state = [param, torch.zeros(shape), torch.zeros(shape)]
    truth = [value.double() for value in state]
    rate = random(shape[0], seed=1).float() if per_row else 0.1
    true_rate = rate.double() if isinstance(rate, Tensor) else rate
    for step in (1, 2, 3):
        grad = random(*shape, seed=step).float() - 0.5
        ops.adam_step(state[0], grad, state[1], state[2], rate, 0.9, 0.99, 1e-8, step)
        reference.adam_step(truth[0], grad.double(), truth[1], truth[2], true_rate, 0.9, 0.99, 1e-8, step)
    for found, expected in zip(state, truth, strict=True):
        assert largest(found, expected) < ROUNDING


def test_adam_agrees_with_torch() -> None:
    param = random(50).float()
    theirs = param.clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.05, betas=(0.9, 0.99), eps=1e-8)
    m, v = torch.zeros(50), torch.zeros(50)
    for step in (1, 2, 3):
        grad = random(50, seed=step).float() - 0.5
        theirs.grad = grad.clone()
        optimizer.step()
        ops.adam_step(param, grad, m, v, 0.05, 0.9, 0.99, 1e-8, step)
    torch.testing.assert_close(param, theirs.detach())
