"""`ops.splat`: the native kernel compared with its PyTorch reference, and properties for any scene."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import cuda_ext
from avatar import ops, reference
from tests.avatar.ops.splat_scenes import IMAGES, camera, largest, scene, splat_and_gradients

needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
LEVELS = ("v4", "v3", "v2", "neon", "portable")
OPTIONS = ({}, {"antialias": True}, {"cutoff": False}, {"dilation": 0.05})

# A pixel whose alpha lies within rounding of the 1/255 cutoff may fall on either side of it; scenes here have none.
IMAGE_TOLERANCE = 1e-5  # exp2 is accurate to 3e-6
# The uncut mode defines depth from alpha 0.001 on, where one minus a float32 transmittance has lost three digits.
UNCUT_DEPTH_TOLERANCE = 5e-4
GRADIENT_TOLERANCE = 1e-4
UNCUT_GRADIENT_TOLERANCE = 2e-3


def use_level(name: str) -> None:
    try:
        cuda_ext.set_simd_level(name)
    except ValueError:
        pytest.skip(f"this processor has no {name}")


@pytest.mark.parametrize("antialias", [False, True])
def test_reference_gradients_match_finite_differences(antialias: bool) -> None:
    view = camera(2, 9, 7, focal=15.0)
    leaves = tuple(value.requires_grad_() for value in scene(2, 5, seed=3, dtype=torch.float64))

    def images(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = reference.splat(*values, view, antialias=antialias, cutoff=False)
        return out.rgb, out.alpha, out.depth

    assert torch.autograd.gradcheck(images, leaves, eps=1e-6, atol=1e-5, fast_mode=True)


@needs_native
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_native_matches_reference_at_every_simd_level(level: str, options: dict[str, object]) -> None:
    use_level(level)
    inputs, view = scene(2, 60), camera(2)
    found, gradients = splat_and_gradients(ops.splat, inputs, view, with_weights=True, **options)
    doubles = tuple(value.double() for value in inputs)
    expected, true_gradients = splat_and_gradients(reference.splat, doubles, view, with_weights=True, **options)
    uncut = options.get("cutoff") is False
    assert largest(found.rgb, expected.rgb) < IMAGE_TOLERANCE
    assert largest(found.alpha, expected.alpha) < IMAGE_TOLERANCE
    assert largest(found.depth, expected.depth) < (UNCUT_DEPTH_TOLERANCE if uncut else IMAGE_TOLERANCE)
    assert found.weights is not None and expected.weights is not None
    assert largest(found.weights, expected.weights) < IMAGE_TOLERANCE
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < (UNCUT_GRADIENT_TOLERANCE if uncut else GRADIENT_TOLERANCE)


@needs_native
def test_native_matches_reference_for_a_turned_camera_with_an_off_center_principal_point() -> None:
    view = camera(1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1))).Q
    turn = turn * turn.det().sign()
    pose = torch.eye(4)[None].clone()
    pose[0, :3, :3] = turn
    pose[0, :3, 3] = torch.tensor([0.02, -0.03, 0.9]) + turn @ torch.tensor([0.0, 0.0, 1.0])
    K = torch.tensor([[[70.0, 0.0, 15.0], [0.0, 55.0, 30.0], [0.0, 0.0, 1.0]]])
    view = replace(view, K=K, world_to_cam=pose)
    found, gradients = splat_and_gradients(ops.splat, scene(), view)
    expected, true_gradients = splat_and_gradients(reference.splat, tuple(v.double() for v in scene()), view)
    assert bool((expected.alpha > 0.5).any())
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < IMAGE_TOLERANCE
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < GRADIENT_TOLERANCE


@needs_native
@pytest.mark.parametrize("name", IMAGES)
def test_gradient_of_one_output_alone_matches_reference(name: str) -> None:
    view = camera()

    def gradients(splat, inputs):  # type: ignore[no-untyped-def]
        leaves = tuple(value.clone().requires_grad_() for value in inputs)
        return torch.autograd.grad(getattr(splat(*leaves, view), name).square().sum(), leaves, allow_unused=True)

    found = gradients(ops.splat, scene())
    expected = gradients(reference.splat, tuple(value.double() for value in scene()))
    for gradient, true_gradient in zip(found, expected, strict=True):
        true_gradient = torch.zeros_like(gradient) if true_gradient is None else true_gradient
        assert largest(gradient, true_gradient) < GRADIENT_TOLERANCE


@needs_native
def test_images_and_gradients_are_bit_identical_at_any_thread_count() -> None:
    inputs, view = scene(2, 3000), camera(2, 130, 90, focal=150.0)
    results = []
    for threads in (1, 2, 3, 7):
        cuda_ext.set_threads(threads)
        out, gradients = splat_and_gradients(ops.splat, inputs, view, with_weights=True)
        results.append((out.rgb, out.alpha, out.depth, out.weights, *gradients))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_order_of_gaussians_at_distinct_depths_does_not_matter() -> None:
    inputs, view = scene(1, 200), camera()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    shuffled = tuple(value[:, order] for value in inputs)
    first, second = ops.splat(*inputs, view), ops.splat(*shuffled, view)
    assert torch.equal(first.rgb, second.rgb)


def test_equal_depths_are_blended_in_the_order_of_their_index() -> None:
    means, quats, scales, opacities, colors = scene(1, 2)
    means = torch.tensor([[[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]])
    colors = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    opacities = torch.tensor([[0.9, 0.9]])
    rgb = ops.splat(means, quats, scales, opacities, colors, camera()).rgb
    middle = rgb[0, 18, 24]
    assert middle[0] > 2 * middle[1] > 0


def test_a_batch_equals_its_images_one_by_one() -> None:
    inputs, view = scene(3, 50), camera(3)
    together, gradients = splat_and_gradients(ops.splat, inputs, view)
    for k in range(3):
        one = ops.splat(*(value[k : k + 1] for value in inputs), camera(1))
        assert torch.equal(one.rgb[0], together.rgb[k])
        assert torch.equal(one.depth[0], together.depth[k])
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_crop_equals_a_moved_principal_point() -> None:
    inputs, view = scene(1, 80), camera(1, 49, 37)
    left, top, width, height = 11, 5, 30, 26
    K = view.K - torch.tensor([[0.0, 0.0, left], [0.0, 0.0, top], [0.0, 0.0, 0.0]])
    whole = ops.splat(*inputs, view).rgb
    part = ops.splat(*inputs, replace(view, K=K, width=width, height=height)).rgb
    window = whole[:, top : top + height, left : left + width]
    # Splat centers round differently; where that crosses the cutoff one pixel changes by at most 1/255.
    assert (part - window).abs().max() < 1 / 255
    assert (part - window).abs().mean() < 1e-5


def test_blend_weights_and_transmittance_sum_to_one_per_pixel() -> None:
    out = ops.splat(*scene(2, 80), camera(2), with_weights=True)
    assert out.weights is not None
    torch.testing.assert_close(out.weights.sum(-1), out.alpha.sum((1, 2)), rtol=1e-5, atol=1e-3)


def test_gaussians_without_opacity_change_nothing() -> None:
    inputs, view = scene(1, 60), camera()
    opacities = inputs[3].clone()
    opacities[:, ::3] = 0
    some = ops.splat(*inputs[:3], opacities, inputs[4], view).rgb
    kept = torch.arange(60) % 3 != 0
    fewer = ops.splat(*(value[:, kept] for value in inputs), view).rgb
    assert torch.equal(some, fewer)


def test_moving_world_and_camera_together_changes_nothing() -> None:
    means, *rest = scene(1, 60)
    view, shift = camera(), torch.tensor([0.25, -0.5, 0.125])
    pose = view.world_to_cam.clone()
    pose[:, :3, 3] = -(pose[:, :3, :3] @ shift)
    moved = ops.splat(means + shift, *rest, replace(view, world_to_cam=pose))
    torch.testing.assert_close(moved.rgb, ops.splat(means, *rest, view).rgb, atol=1 / 255, rtol=0)


def test_splat_features_with_the_same_colors_give_the_same_image() -> None:
    inputs, view = scene(2, 60), camera(2)
    out = ops.splat(*inputs, view)
    assert torch.equal(ops.splat_features(out.prepared, inputs[4]), out.rgb)


def test_splat_features_do_not_affect_the_backward_pass() -> None:
    inputs, view = scene(1, 60), camera(1)
    _, expected = splat_and_gradients(ops.splat, inputs, view)

    def splat_with_features(*args, **options):  # type: ignore[no-untyped-def]
        out = ops.splat(*args, **options)
        ops.splat_features(out.prepared, torch.rand(1, 60, 3))
        return out

    _, found = splat_and_gradients(splat_with_features, inputs, view)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_two_outputs_alive_at_once_keep_their_own_gradients() -> None:
    view = camera()
    first, second = scene(1, 40, seed=1), scene(1, 70, seed=2)
    _, alone = splat_and_gradients(ops.splat, first, view)
    leaves = tuple(value.clone().requires_grad_() for value in first)
    out = ops.splat(*leaves, view)
    splat_and_gradients(ops.splat, second, view)
    again, _ = splat_and_gradients(ops.splat, first, view)
    assert torch.equal(out.rgb, again.rgb)
    gradient = torch.autograd.grad(out.rgb.sum(), leaves)
    leaves = tuple(value.clone().requires_grad_() for value in first)
    fresh = torch.autograd.grad(ops.splat(*leaves, view).rgb.sum(), leaves)
    assert all(torch.equal(a, b) for a, b in zip(gradient, fresh, strict=True))
    assert all(value.isfinite().all() for value in alone)


@pytest.mark.parametrize(
    ("position", "shape", "text"),
    [
        (0, (1, 5, 2), "means: expected [B,N,3], got [1,5,2]"),
        (1, (1, 4, 4), "quats: expected [1,5,4], got [1,4,4]"),
        (2, (1, 5, 2), "scales: expected [1,5,3], got [1,5,2]"),
        (3, (1, 5, 1), "opacities: expected [1,5], got [1,5,1]"),
        (4, (2, 5, 3), "colors: expected [1,5,3], got [2,5,3]"),
    ],
)
def test_a_wrong_shape_is_named_with_what_was_expected_and_found(
    position: int, shape: tuple[int, ...], text: str
) -> None:
    inputs = list(scene(1, 5))
    inputs[position] = torch.zeros(shape)
    with pytest.raises(ValueError) as caught:
        ops.splat(*inputs, camera())
    assert str(caught.value) == text


def test_a_wrong_dtype_is_named_with_what_was_expected_and_found() -> None:
    means, quats, *rest = scene(1, 5)
    with pytest.raises(ValueError, match=r"quats: expected torch.float32 .* got torch.float64"):
        ops.splat(means, quats.double(), *rest, camera())
