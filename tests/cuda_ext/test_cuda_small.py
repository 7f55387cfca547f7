"""CUDA operations except the rasterizer, on a device and in the emulator, against the reference in double."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from avatar.ops.backend import native_for
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_mesh import intrinsics, random_mesh
from tests.avatar.ops.test_small import LEARNED, ROUNDING, image_pair, random, rigged
from tests.support.emulated import load_emulated

SLIVERS = 2e-4  # slivers among random triangles amplify rounding in their frames


def there(device: torch.device, *values: Tensor) -> list[Tensor]:
    """The tensors on the device, in single precision."""
    return [(value.float() if value.is_floating_point() else value).to(device).contiguous() for value in values]


def native(device: torch.device) -> object:
    return native_for(torch.zeros(1, device=device))


def assert_close(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for value, true_value in zip(found, expected, strict=True):
        assert value.shape == true_value.shape
        assert largest(value.cpu(), true_value) < tolerance


def assert_same_bits(device: torch.device, run: Callable[[], tuple[Tensor, ...]]) -> None:
    """Run twice on a device; in the emulator with blocks and threads in forward, then in reverse order."""
    first = run()
    if device.type == "cpu":
        load_emulated().set_reversed(True)
    for one, other in zip(first, run(), strict=True):
        assert torch.equal(one, other)


# --- bind ---


def bind_and_gradients(values: list[Tensor], learned: tuple[int, ...] = LEARNED) -> tuple[Tensor, ...]:
    values = list(values)
    for k in learned:
        values[k] = values[k].clone().requires_grad_()
    bind = reference.bind if values[0].dtype == torch.float64 else ops.bind
    means, quats = flat_bind(*values, function=bind)
    grads = (random(*means.shape, seed=9) - 0.5).to(means), (random(*quats.shape, seed=10) - 0.5).to(quats)
    total = (means * grads[0]).sum() + (quats * grads[1]).sum()
    return means.detach(), quats.detach(), *torch.autograd.grad(total, [values[k] for k in learned])


@pytest.mark.parametrize("count", [1, 127, 700])
def test_bind_and_its_gradients_match_reference(device: torch.device, count: int) -> None:
    values = rigged(count)
    assert_close(bind_and_gradients(there(device, *values)), bind_and_gradients(list(values)), SLIVERS)


def test_bind_without_vertex_gradient_has_the_same_other_gradients(device: torch.device) -> None:
    values, learned = there(device, *rigged(200)), (3, 4, 6, 7)
    whole = bind_and_gradients(values)
    some = bind_and_gradients(values, learned)
    assert all(torch.equal(one, other) for one, other in zip(some[2:], whole[3:], strict=True))


def test_bind_gradients_are_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    values = there(device, *rigged(700))
    assert_same_bits(device, lambda: bind_and_gradients(values))


def test_bind_of_a_batch_equals_its_images_one_by_one(device: torch.device) -> None:
    values = there(device, *rigged(150, batch=3))
    together = flat_bind(*values)
    shared = (1, 2, 5)
    for b in range(3):
        alone = flat_bind(*(value if k in shared else value[b : b + 1] for k, value in enumerate(values)))
        assert all(torch.equal(one[0], other[b]) for one, other in zip(alone, together, strict=True))


def test_a_gradient_that_is_not_finite_affects_only_its_triangles_vertices(device: torch.device) -> None:
    values = there(device, *rigged(30))
    vertices = values[0].requires_grad_()
    means, _ = flat_bind(*values)
    grad_means = torch.ones_like(means)
    grad_means[0, 4] = float("nan")
    (grad,) = torch.autograd.grad(means, vertices, grad_means)
    affected = torch.zeros(vertices.shape[:2], dtype=torch.bool, device=device)
    affected[0, values[1][4]] = True
    assert torch.equal(~grad.isfinite().all(-1), affected)


def test_a_degenerate_triangle_and_a_zero_quaternion_have_finite_gradients(device: torch.device) -> None:
    values = there(device, *rigged(4))
    values[1] = torch.zeros_like(values[1])
    values[4] = torch.zeros_like(values[4])
    assert all(value.isfinite().all() for value in bind_and_gradients(values)[2:])


# --- blend ---


def blended(device: torch.device, base: Tensor | None, basis: Tensor, weights: Tensor) -> Tensor:
    out = torch.empty(len(weights), *basis.shape[1:], device=device)
    native(device).blend(base, basis, weights, out)  # type: ignore[attr-defined]
    return out


def weights_gradient(device: torch.device, grad: Tensor, basis: Tensor, batch: int) -> Tensor:
    out = torch.empty(batch, len(basis), device=device)
    native(device).blend_backward_weights(grad, basis, out)  # type: ignore[attr-defined]
    return out


BLENDS = [(1, 1, 1, 1), (1, 5, 77, 10), (2, 33, 300, 10), (9, 20, 41, 4), (5, 3, 1000, 3)]  # B, K, N, C
FORMATS = [torch.float32, torch.float16]


@pytest.mark.parametrize(("batch", "bases", "count", "channels"), BLENDS)
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_blend_and_its_weight_gradient_match_a_product(
    device: torch.device, batch: int, bases: int, count: int, channels: int, dtype: torch.dtype
) -> None:
    base, weights = random(count, channels), random(batch, bases, seed=2) - 0.5
    basis = (random(bases, count, channels, seed=1) - 0.5).to(dtype)
    grad = random(batch, count, channels, seed=3) - 0.5
    singles = there(device, base, weights, grad)
    basis_there = basis.to(device)
    expected = base + torch.einsum("bk,knc->bnc", weights.float().double(), basis.double())
    assert_close((blended(device, singles[0], basis_there, singles[1]),), (expected,), ROUNDING)
    assert_close((blended(device, None, basis_there, singles[1]),), (expected - base,), ROUNDING)
    product = torch.einsum("bnc,knc->bk", grad, basis.double())
    # The sum has thousands of products of both signs.
    found = weights_gradient(device, singles[2], basis_there, batch).cpu()
    assert (found - product).abs().max() < 2e-6 * (count * channels) ** 0.5 + 1e-6


@pytest.mark.parametrize("offset", [1, 2])
def test_blend_of_unaligned_arrays_matches(device: torch.device, offset: int) -> None:
    whole = random(2 * 40 + offset).float().to(device)
    basis, (weights,) = whole[offset:].reshape(2, 10, 4), there(device, random(3, 2, seed=1))
    expected = torch.einsum("bk,knc->bnc", weights.double(), basis.double())
    assert_close((blended(device, None, basis, weights),), (expected.cpu(),), ROUNDING)


def test_every_finite_half_is_converted_exactly(device: torch.device) -> None:
    values = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.float16)
    basis = values[values.isfinite()].reshape(1, -1, 2).to(device)
    assert torch.equal(blended(device, None, basis, torch.ones(1, 1, device=device))[0], basis[0].float())


def test_blend_and_its_weight_gradient_are_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    basis, weights, grad = there(device, random(7, 2100, 4), random(3, 7, seed=1), random(3, 2100, 4, seed=2))
    assert_same_bits(device, lambda: (blended(device, None, basis, weights), weights_gradient(device, grad, basis, 3)))


# --- image losses ---


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 9), (17, 33), (40, 70)])
def test_ssim_and_its_gradient_match_reference(device: torch.device, height: int, width: int) -> None:
    first, second = image_pair(height, width)

    def run(ssim: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        value = ssim(a.requires_grad_(), b)
        return value.detach(), torch.autograd.grad(value @ torch.tensor([1.0, 2.0]).to(value), a)[0]

    found = run(ops.ssim, *there(device, first, second))
    assert_close(found, run(reference.ssim, first, second), ROUNDING)


def photometric_in_double(inputs: tuple[Tensor, ...], ssim_weight: float, rows: tuple[int, int]) -> tuple[Tensor, ...]:
    """Loss, mean square error and the gradients of the loss's sum."""
    rgb, alpha, *rest = inputs
    rgb, alpha = rgb.clone().requires_grad_(), alpha.clone().requires_grad_()
    loss, mse = reference.photometric(rgb, alpha, *rest, ssim_weight, 0.3, rows)
    return loss.detach(), mse.detach(), *torch.autograd.grad(loss.sum(), (rgb, alpha))


def photometric_inputs(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    def levels(*shape: int, seed: int) -> Tensor:
        return (random(*shape, seed=seed) * 256).to(torch.uint8)

    return (
        random(batch, height, width, 3) * 0.9,
        random(batch, height, width, seed=1),
        levels(batch, height, width, 3, seed=2),
        levels(batch, height, width, seed=3),
        random(batch, 3, seed=4),
    )


def photometric(
    device: torch.device, inputs: tuple[Tensor, ...], ssim_weight: float, rows: tuple[int, int] = (1, 0)
) -> tuple[Tensor, ...]:
    values = there(device, *inputs)
    loss, mse = (torch.empty(len(values[0]), device=device) for _ in range(2))
    grads = torch.empty_like(values[0]), torch.empty_like(values[1])
    native(device).photometric(*values, ssim_weight, 0.3, *rows, loss, mse, *grads)  # type: ignore[attr-defined]
    return loss, mse, *grads


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (2, 19, 35), (9, 12, 10)])
@pytest.mark.parametrize(("ssim_weight", "rows"), [(0.0, (1, 0)), (0.2, (1, 0)), (0.2, (2, 1)), (0.2, (3, 0))])
def test_photometric_loss_and_its_gradients_match_reference(
    device: torch.device, batch: int, height: int, width: int, ssim_weight: float, rows: tuple[int, int]
) -> None:
    inputs = photometric_inputs(batch, height, width)
    rounded = tuple(value.float().double() if value.is_floating_point() else value for value in inputs)
    expected = photometric_in_double(rounded, ssim_weight, rows)
    assert_close(photometric(device, inputs, ssim_weight, rows), expected, ROUNDING)


def test_photometric_gradient_is_zero_where_image_and_target_are_equal(device: torch.device) -> None:
    truth = torch.full((1, 5, 6, 3), 255, dtype=torch.uint8)
    matte = torch.full((1, 5, 6), 255, dtype=torch.uint8)
    inputs = (torch.ones(1, 5, 6, 3), torch.ones(1, 5, 6), truth, matte, torch.zeros(1, 3))
    loss, mse, *grads = photometric(device, inputs, 0.0)
    assert loss.item() == mse.item() == 0
    assert not any(grad.any() for grad in grads)


def test_photometric_is_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    inputs = photometric_inputs(2, 50, 70)
    assert_same_bits(device, lambda: photometric(device, inputs, 0.2, (2, 1)))


# --- Adam ---

BETAS = (0.9, 0.99, 1e-8)


def adam_state(*shape: int) -> list[Tensor]:
    return [random(*shape, seed=20).float().double(), torch.zeros(shape).double(), torch.zeros(shape).double()]


def expected_step(state: list[Tensor], grad: Tensor, rate: float | Tensor, step: int, moves: Tensor) -> None:
    stepped = [value.clone() for value in state]
    reference.adam_step(stepped[0], grad, stepped[1], stepped[2], rate, *BETAS, step)
    for value, new in zip(state, stepped, strict=True):
        value.copy_(torch.where(moves, new, value))


@pytest.mark.parametrize("shape", [(1,), (4001,), (3, 900), (70, 3)])
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_adam_matches_reference_over_steps(
    device: torch.device, shape: tuple[int, ...], per_row: bool, masked: bool
) -> None:
    truth = adam_state(*shape)
    state = there(device, *truth)
    rates = random(shape[0], seed=1).float()
    touched = random(shape[0], seed=2) > 0.4
    moves = touched.reshape(-1, *[1] * (len(shape) - 1)) if masked else torch.ones(1, dtype=torch.bool)
    for step in (1, 2, 3):
        grad = (random(*shape, seed=step) - 0.5).float()
        expected_step(truth, grad.double(), rates.double() if per_row else 0.1, step, moves)
        native(device).adam_step(  # type: ignore[attr-defined]
            state[0], grad.to(device), state[1], state[2], rates.to(device) if per_row else None, 0.1,
            (*BETAS, 1 - 0.9**step, 1 - 0.99**step), touched.to(device) if masked else None, None,
        )  # fmt: skip
    assert_close(tuple(state), tuple(truth), ROUNDING)


@pytest.mark.parametrize("fits", [1.0, 0.0])
def test_adam_takes_rates_from_memory_and_leaves_all_as_it_is_where_these_say_so(device: str, fits: float) -> None:
    state, twin = ([random(40, 3).float().to(device) for _ in range(3)] for _ in range(2))
    grad = random(40, 3, seed=1).float().to(device)
    before = [value.clone() for value in state]
    schedule = torch.tensor([*ops.schedule_of(0.5, 0.9, 0.99, 3)[:3], fits]).to(device)
    adam = native(device).adam_step  # type: ignore[attr-defined]
    adam(state[0], grad, state[1], state[2], None, 0.2, (*BETAS, 1.0, 1.0), None, schedule)
    adam(twin[0], grad, twin[1], twin[2], None, 0.1, (*BETAS, 1 - 0.9**3, 1 - 0.99**3), None, None)
    assert_close(tuple(state), tuple(twin if fits else before), ROUNDING if fits else 1e-30)


@pytest.mark.parametrize(("batch", "bases", "count", "channels"), BLENDS)
@pytest.mark.parametrize("whole", [False, True])
def test_outer_adam_matches_a_stored_gradient(
    device: torch.device, batch: int, bases: int, count: int, channels: int, whole: bool
) -> None:
    truth = adam_state(bases, count, channels)
    state = there(device, *truth)
    weights, grad = random(batch, bases, seed=1) - 0.5, random(batch, count, channels, seed=2) - 0.5
    weights, grad = weights.float().double(), grad.float().double()
    touched, anchor_weight = random(count, seed=3) > 0.3, (random(count, seed=4) * 0.1).float()
    for step in (1, 2):
        outer = torch.einsum("bk,bnc->knc", weights, grad)
        if not whole:
            outer = outer + anchor_weight.double()[:, None] * truth[0]
        expected_step(truth, outer, 0.05, step, torch.ones(1, dtype=torch.bool) if whole else touched[:, None])
        native(device).adam_outer_step(  # type: ignore[attr-defined]
            state[0], *there(device, weights, grad), state[1], state[2], 0.05,
            (*BETAS, 1 - 0.9**step, 1 - 0.99**step),
            None if whole else touched.to(device), None if whole else anchor_weight.to(device), None,
        )  # fmt: skip
    # Where the gradient nearly cancels, the relative accuracy of Adam's normalized step is low.
    assert_close(tuple(state), tuple(truth), 1e-4)


# --- mesh ---


@pytest.mark.parametrize(("width", "height"), [(1, 1), (41, 33), (5, 70)])
def test_mesh_matches_reference_also_across_the_near_plane(device: torch.device, width: int, height: int) -> None:
    vertices, faces = random_mesh()
    K = intrinsics(2, width=width, height=height)
    found = [value.cpu() for value in ops.mesh(*there(device, vertices, faces, K), width, height)]
    expected = reference.mesh(vertices.double(), faces, K.double(), width, height)
    same = found[0] == expected[0]
    # Faces that share an edge meet at the same depth there: rounding may pick either.
    assert same.float().mean() > 0.995
    torch.testing.assert_close(found[2].double(), expected[2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1][same].double(), expected[1][same], rtol=1e-5, atol=1e-6)


def test_of_faces_at_one_depth_the_first_is_visible(device: torch.device) -> None:
    near = torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 2.0, 1.0]])
    vertices = torch.cat([near + torch.tensor([0.0, 0.0, 1.0]), near])[None]
    faces = torch.tensor([[0, 1, 2], [3, 4, 5], [3, 4, 5]])
    face, _, _ = ops.mesh(*there(device, vertices, faces, intrinsics()), 41, 33)
    assert set(face[0, 10:20, 15:25].unique().tolist()) == {1}


def test_an_empty_mesh_renders_background(device: torch.device) -> None:
    vertices, faces = random_mesh()
    face, bary, depth = ops.mesh(*there(device, vertices, faces[:0], intrinsics(2)), 41, 33)
    assert (face == -1).all() and (bary == 0).all() and (depth == 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_vertex_that_is_not_finite_hides_only_its_faces(device: torch.device, bad: float) -> None:
    vertices, faces = random_mesh(batch=1)
    vertices[0, 7, 1] = bad
    kept = faces[(faces != 7).all(1)]
    _, _, depth = ops.mesh(*there(device, vertices, faces, intrinsics()), 41, 33)
    _, _, clean = ops.mesh(*there(device, vertices, kept, intrinsics()), 41, 33)
    assert torch.equal(depth, clean)


def test_mesh_is_bit_identical_in_any_order_of_threads(device: torch.device) -> None:
    vertices, faces, K = there(device, *random_mesh(), intrinsics(2))
    assert_same_bits(device, lambda: ops.mesh(vertices, faces, K, 41, 33))
