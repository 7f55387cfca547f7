"""`ops.blend`, `ops.deform`, `ops.photometric` and the Adam steps: native against reference, gradients, properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.types import DeformedGaussians
from tests.avatar.ops.flat import flat_deform
from tests.avatar.ops.splat_scenes import largest
from tests.avatar.ops.test_small import ROUNDING, random

BETAS = (0.9, 0.99, 1e-8)
needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))


def gradients(call: Callable[..., Tensor], inputs: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    """Value of `call` and its vector-Jacobian products by all inputs for a fixed random tensor."""
    leaves = [value.to(dtype).requires_grad_() for value in inputs]
    out = call(*leaves)
    anchor_weight = random(*out.shape, seed=9).to(dtype) - 0.5
    return [out.detach(), *torch.autograd.grad((out * anchor_weight).sum(), leaves)]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 700, 11), (20, 37, 11)])
@pytest.mark.parametrize("batch", [1, 3])
def test_native_blend_and_its_gradients_match_reference(level: str, shape: tuple[int, int, int], batch: int) -> None:
    inputs = (random(*shape[1:]), random(*shape, seed=1) - 0.5, random(batch, shape[0], seed=2) - 0.5)
    found = gradients(ops.blend, inputs, torch.float32)
    expected = gradients(reference.blend, inputs, torch.float64)
    for mine, truth in zip(found, expected, strict=True):
        assert largest(mine, truth) < 4 * ROUNDING * max(1.0, float(truth.abs().max()))


def test_blend_reads_half_precision_bases_exactly(level: str) -> None:
    basis = (random(3, 45, 11) - 0.5).half()
    basis[0, 0] = torch.tensor([0.0, -0.0, 6e-8, -6e-8, 6.1e-5, 65504.0, -65504.0, 1.0, 0.1, -1e-4, 3e-6])
    weights = random(2, 3, seed=1).float()
    assert torch.equal(ops.blend(None, basis, weights), ops.blend(None, basis.float(), weights))


def test_blend_refuses_gradients_of_half_precision_bases() -> None:
    with pytest.raises(ValueError, match="basis: float16 does not support gradients; train in float32"):
        ops.blend(None, torch.zeros(2, 3, 4, dtype=torch.float16, requires_grad=True), torch.zeros(1, 2))


def local_gaussians(count: int, moved: int, batch: int) -> tuple[Tensor, ...]:
    shapes = ((count, 3), (count, 4), (count, 3), (count,), (count, 3), (batch, moved, ops.DEFORM_CHANNELS))
    return tuple(4 * random(*shape, seed=seed) - 2 for seed, shape in enumerate(shapes))


@pytest.mark.parametrize(("count", "moved", "batch"), [(1, 1, 1), (37, 0, 1), (37, 21, 2), (2100, 2100, 3)])
def test_native_deform_and_its_gradients_match_reference(level: str, count: int, moved: int, batch: int) -> None:
    inputs, units = local_gaussians(count, moved, batch), random(ops.DEFORM_CHANNELS, seed=7)

    def run(deform: Callable[..., DeformedGaussians], dtype: torch.dtype) -> list[Tensor]:
        leaves = [value.to(dtype).requires_grad_() for value in inputs]
        outputs = flat_deform(*leaves, units.to(dtype), function=deform)
        pulls = [random(*value.shape, seed=20 + k).to(dtype) - 0.5 for k, value in enumerate(outputs)]
        total = sum((value * anchor_weight).sum() for value, anchor_weight in zip(outputs, pulls, strict=True))
        assert isinstance(total, Tensor)
        return [*(value.detach() for value in outputs), *torch.autograd.grad(total, leaves)]

    found, expected = run(ops.deform, torch.float32), run(reference.deform, torch.float64)
    for mine, truth in zip(found, expected, strict=True):
        bound = 10 * ROUNDING * max(1.0, float(truth.abs().max()) if truth.numel() else 1.0)
        assert mine.shape == truth.shape
        assert not truth.numel() or largest(mine, truth) < bound


def test_reference_deform_gradients_match_finite_differences() -> None:
    leaves = tuple(value.requires_grad_() for value in local_gaussians(3, 2, 2))
    units = random(ops.DEFORM_CHANNELS, seed=7)
    assert torch.autograd.gradcheck(
        lambda *values: flat_deform(*values, units, function=reference.deform), leaves, fast_mode=True
    )


def test_deform_refuses_more_offsets_than_gaussians() -> None:
    inputs = [value.float() for value in local_gaussians(3, 2, 1)]
    inputs[5] = torch.zeros(1, 4, ops.DEFORM_CHANNELS)
    with pytest.raises(
        ValueError, match=r"extra: expected \[B,M,11\] with M up to N=3 \(from offsets\), got \[1, 4, 11\]"
    ):
        flat_deform(*inputs, torch.ones(ops.DEFORM_CHANNELS))


def images(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """rgb, alpha, truth, matte, background with an empty border, as around a head."""
    alpha = random(batch, height, width, seed=1)
    matte = (255 * random(batch, height, width, seed=2)).to(torch.uint8)
    edge_y, edge_x = height // 4, width // 3
    for image in (alpha, matte):
        image[:, :edge_y] = 0
        image[:, :, :edge_x] = 0
    rgb = random(batch, height, width, 3) * alpha[..., None]
    truth = (255 * random(batch, height, width, 3, seed=3)).to(torch.uint8)
    return rgb, alpha, truth, matte, random(batch, 3, seed=4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9), (17, 33), (40, 64), (64, 50)])
@pytest.mark.parametrize(
    ("ssim_weight", "rows"),
    [(0.0, (1, 0)), (0.2, (1, 0)), (0.2, (2, 0)), (0.2, (2, 1)), (0.2, (3, 2)), (0.2, (4, 0)), (0.2, (11, 10))],
)
def test_native_photometric_and_its_gradients_match_reference(
    level: str, height: int, width: int, ssim_weight: float, rows: tuple[int, int]
) -> None:
    rgb, alpha, truth, matte, background = images(2, height, width)
    scale = torch.tensor([1.0, 2.5])

    def run(photometric: Callable[..., tuple[Tensor, Tensor]], dtype: torch.dtype) -> list[Tensor]:
        leaves = [rgb.to(dtype).requires_grad_(), alpha.to(dtype).requires_grad_()]
        loss, mse = photometric(*leaves, truth, matte, background.to(dtype), ssim_weight, 0.1, rows)
        return [loss.detach(), mse, *torch.autograd.grad((loss * scale.to(dtype)).sum(), leaves)]

    found, expected = run(ops.photometric, torch.float32), run(reference.photometric, torch.float64)
    for mine, exact in zip(found, expected, strict=True):
        # Variances of a smooth background cancel in float32, which shows in the gradient of the SSIM.
        assert largest(mine, exact) < 10 * ROUNDING * rows[0]


def loss_and_gradients(
    photometric: Callable[..., tuple[Tensor, Tensor]], height: int, rows: tuple[int, int], dtype: torch.dtype
) -> list[Tensor]:
    rgb, alpha, truth, matte, background = images(1, height, 23)
    leaves = [rgb.to(dtype).requires_grad_(), alpha.to(dtype).requires_grad_()]
    loss, mse = photometric(*leaves, truth, matte, background.to(dtype), 0.2, 0.1, rows)
    return [loss.detach(), mse, *torch.autograd.grad(loss.sum(), leaves)]


@pytest.mark.parametrize("height", [1, 2, 5, 20, 31])
@pytest.mark.parametrize("stride", [2, 3, 4, 11])
def test_photometric_of_every_few_rows_is_unbiased(height: int, stride: int) -> None:
    for photometric, dtype, bound in ((reference.photometric, torch.float64, 1e-13), (ops.photometric, None, ROUNDING)):
        dtype = dtype or torch.float32
        whole = loss_and_gradients(photometric, height, (1, 0), dtype)
        each = [loss_and_gradients(photometric, height, (stride, first), dtype) for first in range(stride)]
        for expected, *parts in zip(whole, *each, strict=True):
            assert largest(sum(parts) / stride, expected) < 10 * bound
        assert any(not torch.equal(part[2], whole[2]) for part in each) or height == 1


def test_ssim_of_images_that_differ_in_one_pixel_matches_reference(level: str) -> None:
    first = random(1, 40, 50, 3).float()
    second = first.clone()
    second[0, 11, 31, 1] += 0.3
    leaf, true_leaf = first.clone().requires_grad_(), first.double().requires_grad_()
    value, truth = ops.ssim(leaf, second), reference.ssim(true_leaf, second.double())
    assert largest(value.detach(), truth.detach()) < ROUNDING
    (grad,), (true_grad,) = torch.autograd.grad(value.sum(), leaf), torch.autograd.grad(truth.sum(), true_leaf)
    assert largest(grad, true_grad) < ROUNDING
    assert torch.equal(grad[:, 30:], torch.zeros_like(grad[:, 30:]))


@pytest.mark.parametrize("rows", [(1, 0), (2, 1), (3, 0)])
def test_photometric_of_equal_images_is_zero_without_gradient(rows: tuple[int, int]) -> None:
    background = random(1, 3)
    leaves = [torch.zeros(1, 20, 24, 3, requires_grad=True), torch.zeros(1, 20, 24, requires_grad=True)]
    empty = torch.zeros(1, 20, 24, 3, dtype=torch.uint8)
    loss, mse = ops.photometric(*leaves, empty, empty[..., 0], background.float(), 0.2, 0.02, rows)
    assert float(loss.detach()) == 0 and float(mse) == 0
    assert all(float(grad.abs().max()) == 0 for grad in torch.autograd.grad(loss.sum(), leaves))


@pytest.mark.parametrize("rows", [(0, 0), (12, 0), (2, 2), (2, -1)])
def test_photometric_refuses_rows_that_do_not_exist(rows: tuple[int, int]) -> None:
    rgb, alpha, truth, matte, background = images(1, 4, 4)
    words = f"ssim_rows: expected a stride of 1..11 and a first row below it, got {rows}"
    with pytest.raises(ValueError, match=re.escape(words)):
        ops.photometric(rgb.float(), alpha.float(), truth, matte, background.float(), 0.2, 0.1, rows)


def test_photometric_refuses_images_that_are_not_bytes() -> None:
    rgb, alpha, truth, matte, background = images(1, 4, 4)
    with pytest.raises(ValueError, match=r"truth: expected uint8, got torch.float32"):
        ops.photometric(rgb.float(), alpha.float(), truth.float(), matte, background.float(), 0.2, 0.1)


def moments(shape: tuple[int, ...]) -> list[Tensor]:
    return [random(*shape).float(), random(*shape, seed=1).float() - 0.5, random(*shape, seed=2).float()]


@pytest.mark.parametrize("shape", [(1,), (50, 3), (3001, 1, 5), (9000,)])
def test_native_adam_does_not_change_untouched_rows(level: str, shape: tuple[int, ...]) -> None:
    state, grad = moments(shape), random(*shape, seed=3).float() - 0.5
    touched = random(shape[0], seed=4) > 0.5
    grad[~touched] = torch.nan
    before, truth = [value.clone() for value in state], [value.double() for value in state]
    ops.adam_step(state[0], grad, state[1], state[2], 0.1, *BETAS, 3, touched)
    reference.adam_step(truth[0], grad.double(), truth[1], truth[2], 0.1, *BETAS, 3, touched)
    for found, old, expected in zip(state, before, truth, strict=True):
        assert torch.equal(found[~touched], old[~touched])
        assert not touched.any() or largest(found[touched], expected[touched]) < ROUNDING


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 40, 11), (2, 777, 11)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_native_outer_adam_matches_reference(level: str, shape: tuple[int, int, int], batch: int, sparse: bool) -> None:
    state = moments(shape)
    weights, grad = random(batch, shape[0], seed=3).float() - 0.5, random(batch, *shape[1:], seed=4).float() - 0.5
    touched = random(shape[1], seed=5) > 0.4 if sparse else None
    anchor_weight = 0.1 * random(shape[1], seed=6).float() if sparse else None
    truth = [value.double() for value in state]
    if touched is not None:
        grad[:, ~touched] = 0
    grad_weights = ops.adam_outer_step(
        state[0], weights, grad, state[1], state[2], 0.1, *BETAS, 2, touched, anchor_weight
    )
    expected_anchor = None if anchor_weight is None else anchor_weight.double()
    expected_grad = reference.adam_outer_step(
        truth[0], weights.double(), grad.double(), truth[1], truth[2], 0.1, *BETAS, 2, touched, expected_anchor
    )
    assert largest(grad_weights, expected_grad) < 4 * ROUNDING * max(1.0, float(expected_grad.abs().max()))
    for found, expected in zip(state, truth, strict=True):
        assert largest(found, expected) < ROUNDING


def test_outer_adam_rounds_bf16_moments_to_nearest(level: str) -> None:
    state = moments((2, 37, 11))
    state[1:] = [value.bfloat16() for value in state[1:]]
    twin = [value.clone() for value in state]
    weights, grad = random(1, 2, seed=3).float() - 0.5, random(1, 37, 11, seed=4).float() - 0.5
    ops.adam_outer_step(state[0], weights, grad, state[1], state[2], 0.1, *BETAS, 2)
    reference.adam_outer_step(twin[0], weights, grad, twin[1], twin[2], 0.1, *BETAS, 2)
    assert largest(state[0], twin[0]) < ROUNDING
    for found, expected in zip(state[1:], twin[1:], strict=True):
        assert largest(found.float(), expected.float()) < 2**-8  # one step of bfloat16, where float32 rounds otherwise
        assert (found != expected).float().mean() < 0.01


def test_outer_adam_equals_adam_on_the_gradient_of_blend() -> None:
    state = moments((3, 20, 11))
    twin = [value.clone() for value in state]
    basis, weights = state[0].clone().requires_grad_(), random(2, 3, seed=3).float()
    anchor_weight = random(2, 20, 11, seed=4).float()
    (grad,) = torch.autograd.grad((ops.blend(None, basis, weights) * anchor_weight).sum(), basis)
    ops.adam_step(twin[0], grad, twin[1], twin[2], 0.1, *BETAS, 1)
    ops.adam_outer_step(state[0], weights, anchor_weight, state[1], state[2], 0.1, *BETAS, 1)
    for found, expected in zip(state, twin, strict=True):
        assert largest(found, expected) < ROUNDING


def test_adam_refuses_flags_of_another_size() -> None:
    state = moments((4, 3))
    with pytest.raises(ValueError, match=r"touched: expected \[4\], got \[3\]"):
        ops.adam_step(state[0], state[0], state[1], state[2], 0.1, *BETAS, 1, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"touched: expected bool, got torch.float32"):
        ops.adam_step(state[0], state[0], state[1], state[2], 0.1, *BETAS, 1, torch.ones(4))


@needs_native
def test_training_operations_are_bit_identical_at_any_thread_count() -> None:
    rgb, alpha, truth, matte, background = images(2, 70, 90)
    local, units = [value.float() for value in local_gaussians(3000, 2500, 2)], torch.ones(ops.DEFORM_CHANNELS)

    def run() -> list[Tensor]:
        leaves = [rgb.float().requires_grad_(), alpha.float().requires_grad_()]
        loss, mse = ops.photometric(*leaves, truth, matte, background.float(), 0.2, 0.1, (2, 1))
        basis, state = random(3, 2500, 11).float(), moments((3, 2500, 11))
        weights = random(2, 3, seed=1).float().requires_grad_()
        extra = ops.blend(None, basis, weights)
        (by_weight,) = torch.autograd.grad(extra.sum(), weights)
        ops.adam_outer_step(state[0], weights.detach(), extra.detach(), state[1], state[2], 0.1, *BETAS, 2)
        grads = torch.autograd.grad(loss.sum(), leaves)
        return [loss, mse, *grads, extra, by_weight, *state, *flat_deform(*local, units)]

    before = cuda_ext.threads()
    try:
        results = []
        for count in (1, 2, 3):
            cuda_ext.set_threads(count)
            results.append(run())
    finally:
        cuda_ext.set_threads(before)
    for other in results[1:]:
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(results[0], other, strict=True))


def groups_of(dtype: torch.dtype) -> list[ops.AdamStep]:
    """Steps of parameters of all kinds: long, short, of one number; some with untouched rows."""
    found = []
    for seed, shape in enumerate([(700, 3), (9000,), (3, 4, 5), (1,), (6, 7), (0, 3)]):
        param, grad, m, v = (random(*shape, seed=4 * seed + k).to(dtype) for k in range(4))
        touched = torch.arange(len(param)) % 3 > 0 if seed % 2 == 0 else None
        found.append(ops.AdamStep(param, grad - 0.5, m, v, 0.1 / (1 + seed), 10.0 ** -(4 + seed), touched))
    return found


def test_steps_of_several_parameters_have_the_bits_of_single_ones(level: str) -> None:
    found, single, truth = (groups_of(dtype) for dtype in (torch.float32, torch.float32, torch.float64))
    ops.adam_steps(found, *BETAS[:2], 3)
    for one in single:
        ops.adam_step(one.param, one.grad, one.m, one.v, one.lr, *BETAS[:2], one.eps, 3, one.touched)
    ops.adam_steps(truth, *BETAS[:2], 3)
    for mine, same, exact in zip(found, single, truth, strict=True):
        for name in ("param", "m", "v"):
            assert torch.equal(getattr(mine, name), getattr(same, name))
            torch.testing.assert_close(getattr(mine, name).double(), getattr(exact, name), rtol=1e-5, atol=1e-6)


def test_steps_of_several_parameters_refuse_what_does_not_fit() -> None:
    steps = groups_of(torch.float32)
    with pytest.raises(ValueError, match=r"grad: expected \[700,3\], got \[699,3\]"):
        ops.adam_steps([replace(steps[0], grad=steps[0].grad[1:])], *BETAS[:2], 1)
    with pytest.raises(ValueError, match=r"touched: expected \[700\], got \[699\]"):
        ops.adam_steps([replace(steps[0], touched=torch.ones(699, dtype=torch.bool))], *BETAS[:2], 1)
    with pytest.raises(ValueError, match="step: expected 1 or more, got 0"):
        ops.adam_steps(steps, *BETAS[:2], 0)


def anchored(dtype: torch.dtype) -> tuple[list[Tensor], list[ops.Anchor]]:
    """Gradients and anchors of parameters with one number a row or several, with targets or towards zero."""
    grads, anchors = [], []
    for seed, shape in enumerate([(9000, 3), (4097,), (5, 2, 3), (1, 1)]):
        grad, param, target = (random(*shape, seed=3 * seed + k).to(dtype) for k in range(3))
        weights = random(len(param), seed=90 + seed).to(dtype) * (torch.arange(len(param)) % 3 > 0)
        grads.append(grad)
        anchors.append(ops.Anchor(param, target if seed % 2 == 0 else None, weights))
    return grads, anchors


def test_native_anchors_match_the_reference(level: str) -> None:
    (found, anchors), (truth, exact) = anchored(torch.float32), anchored(torch.float64)
    before = [grad.clone() for grad in found]
    ops.add_anchors(found, anchors)
    ops.add_anchors(truth, exact)
    for mine, expected, first, anchor in zip(found, truth, before, anchors, strict=True):
        torch.testing.assert_close(mine.double(), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(mine[anchor.weights == 0], first[anchor.weights == 0])
    first = found[0].clone()
    ops.add_anchors(found[:1], [replace(anchors[0], target=anchors[0].param)])
    assert torch.equal(found[0], first)


def test_a_row_without_an_anchor_keeps_its_gradient_beside_broken_values() -> None:
    grads, anchors = anchored(torch.float32)
    anchors[0].param[3] = torch.nan  # every third row has the weight 0
    ops.add_anchors(grads, anchors)
    assert grads[0].isfinite().all()


def test_anchors_refuse_what_does_not_fit() -> None:
    grads, anchors = anchored(torch.float32)
    with pytest.raises(ValueError, match=r"grad: expected \[9000,3\], got \[8999,3\]"):
        ops.add_anchors([grads[0][1:]], anchors[:1])
    with pytest.raises(ValueError, match=r"weights: expected \[9000\], got \[8999\]"):
        ops.add_anchors(grads[:1], [replace(anchors[0], weights=anchors[0].weights[1:])])
    with pytest.raises(ValueError, match="target: expected"):
        ops.add_anchors(grads[:1], [replace(anchors[0], target=torch.zeros(9000))])
