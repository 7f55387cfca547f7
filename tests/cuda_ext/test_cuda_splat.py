"""The CUDA rasterizer, on a device and in the emulator, against the reference and the CPU kernels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.types import Camera
from tests.avatar.ops.splat_scenes import IMAGES, Inputs, camera, largest, scene, splat_and_gradients
from tests.support.emulated import load_emulated

cpu_kernels = cuda_ext.native  # before the fixture replaces it by the emulator

OPTIONS = ({}, {"antialias": True}, {"cutoff": False}, {"dilation": 0.05})
FIELDS = ("means", "quats", "scales", "opacities", "colors")

# As for the CPU kernels (tests/avatar/ops/test_splat.py).
IMAGE_TOLERANCE = 1e-5
UNCUT_DEPTH_TOLERANCE = 5e-4
GRADIENT_TOLERANCE = 1e-4
UNCUT_GRADIENT_TOLERANCE = 2e-3


def there(inputs: tuple[Tensor, ...], device: torch.device) -> Inputs:
    return tuple(value.to(device) for value in inputs)  # type: ignore[return-value]


def assert_matches_reference(inputs: Inputs, view: Camera, device: torch.device, **options: object) -> None:
    found, gradients = splat_and_gradients(ops.splat, there(inputs, device), view, with_weights=True, **options)
    doubles = tuple(value.double() for value in inputs)
    expected, true_gradients = splat_and_gradients(reference.splat, doubles, view, with_weights=True, **options)
    uncut = options.get("cutoff") is False
    for name in (*IMAGES, "weights"):
        tolerance = UNCUT_DEPTH_TOLERANCE if uncut and name == "depth" else IMAGE_TOLERANCE
        assert largest(getattr(found, name).cpu(), getattr(expected, name)) < tolerance, name
    for name, gradient, true_gradient in zip(FIELDS, gradients, true_gradients, strict=True):
        tolerance = UNCUT_GRADIENT_TOLERANCE if uncut else GRADIENT_TOLERANCE
        assert largest(gradient.cpu(), true_gradient) < tolerance, name


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_images_weights_and_gradients_match_reference(device: torch.device, options: dict[str, object]) -> None:
    assert_matches_reference(scene(2, 60), camera(2), device, **options)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (16, 16), (48, 3)])
def test_odd_image_sizes_match_reference(device: torch.device, width: int, height: int) -> None:
    view = camera(1, width, height, focal=0.9 * max(width, height))
    assert_matches_reference(scene(1, 40), view, device)


def test_gaussians_over_more_tiles_than_a_warp_has_lanes_match_reference(device: torch.device) -> None:
    means, quats, scales, *rest = scene(1, 8)
    assert_matches_reference((means, quats, scales * 4, *rest), camera(1, 112, 96, focal=120.0), device)


def test_tiles_with_more_gaussians_than_a_batch_match_reference(device: torch.device) -> None:
    means, quats, scales, opacities, colors = scene(1, 400)
    assert_matches_reference(
        (means * torch.tensor([0.3, 0.3, 1.0]), quats, scales, opacities * 0.05, colors), camera(1, 16, 16), device
    )


def test_opaque_pixels_skip_further_gaussians(device: torch.device) -> None:
    means, quats, scales, opacities, colors = scene(1, 300)
    inputs = (means * torch.tensor([0.2, 0.2, 1.0]), quats, scales + 0.05, opacities * 0.0 + 0.9, colors)
    assert_matches_reference(inputs, camera(1, 20, 20), device)


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_images_and_weights_match_the_cpu_kernels(device: torch.device) -> None:
    inputs, view = scene(1, 150, seed=4), camera(1, 48, 40)
    found = ops.splat(*there(inputs, device), view, with_weights=True)
    native = cpu_kernels()
    expected = (torch.empty(1, 40, 48, 3), torch.empty(1, 40, 48), torch.empty(1, 40, 48), torch.empty(1, 150))
    prepared = native.prepare(*inputs, view.K, view.world_to_cam, 48, 40, 0.01, 0.3, 2)
    native.rasterize(prepared, None, *expected)
    for name, image in zip((*IMAGES, "weights"), expected, strict=True):
        assert largest(getattr(found, name).cpu(), image) < IMAGE_TOLERANCE, name


@pytest.mark.parametrize("name", IMAGES)
def test_gradient_of_one_output_alone_matches_reference(device: torch.device, name: str) -> None:
    def gradients(splat, inputs):  # type: ignore[no-untyped-def]
        leaves = tuple(value.clone().requires_grad_() for value in inputs)
        return torch.autograd.grad(getattr(splat(*leaves, camera()), name).square().sum(), leaves, allow_unused=True)

    found = gradients(ops.splat, there(scene(), device))
    expected = gradients(reference.splat, tuple(value.double() for value in scene()))
    for gradient, true_gradient in zip(found, expected, strict=True):
        true_gradient = torch.zeros_like(gradient) if true_gradient is None else true_gradient
        assert largest(gradient.cpu(), true_gradient.cpu()) < GRADIENT_TOLERANCE


@pytest.mark.skipif(not hasattr(reference, "SH_TERMS"), reason="the reference has no spherical harmonics")
@pytest.mark.parametrize("terms", [1, 4, 9, 16])
def test_spherical_harmonic_colors_match_reference(device: torch.device, terms: int) -> None:
    *shape, _ = scene(2, 40)
    sh = 0.4 * torch.randn(2, 40, terms, 3, generator=torch.Generator().manual_seed(terms))
    assert_matches_reference((*shape, sh), camera(2), device)  # type: ignore[arg-type]


def test_a_rotated_camera_for_every_image_matches_reference(device: torch.device) -> None:
    pose = torch.eye(4).repeat(2, 1, 1)
    for k in range(2):
        rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(k + 1))).Q
        pose[k, :3, :3] = rotation * rotation.det().sign()
        pose[k, :3, 3] = torch.tensor([0.02, -0.03, 0.9]) + pose[k, :3, :3] @ torch.tensor([0.0, 0.0, 1.0])
    K = torch.tensor([[70.0, 0.0, 15.0], [0.0, 55.0, 30.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    assert_matches_reference(scene(2), Camera(K, pose, 49, 37), device)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", range(5), ids=FIELDS)
def test_a_number_that_is_not_finite_culls_only_its_gaussian(device: torch.device, field: int, bad: float) -> None:
    inputs, view = there(scene(1, 30), device), camera()
    kept = torch.arange(30) != 11
    broken = tuple(value.clone() for value in inputs)
    broken[field].view(30, -1)[11, -1] = bad
    out, gradients = splat_and_gradients(ops.splat, broken, view)  # type: ignore[arg-type]
    clean, clean_gradients = splat_and_gradients(ops.splat, tuple(v[:, kept] for v in inputs), view)  # type: ignore[arg-type]
    assert torch.equal(out.rgb, clean.rgb)
    for gradient, clean_gradient in zip(gradients, clean_gradients, strict=True):
        assert (gradient[:, 11] == 0).all()
        assert torch.equal(gradient[:, kept], clean_gradient)


@pytest.mark.parametrize("scale", [1e-40, 1e-12, 1e3, 1e12, 1e30])
def test_huge_and_denormal_scales_stay_finite(device: torch.device, scale: float) -> None:
    means, quats, scales, *rest = there(scene(1, 20), device)
    scales[:, ::2] = scale
    out, gradients = splat_and_gradients(ops.splat, (means, quats, scales, *rest), camera())
    assert all(getattr(out, name).isfinite().all() for name in IMAGES)
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("position", [(1e30, 0.0, -1.0), (3e38, 3e38, -3e38), (1e-40, 0.0, -1e-40)])
def test_extreme_positions_stay_finite(device: torch.device, position: tuple[float, float, float]) -> None:
    means, *rest = there(scene(1, 20), device)
    means[:, 3] = torch.tensor(position)
    out, gradients = splat_and_gradients(ops.splat, (means, *rest), camera())
    assert all(getattr(out, name).isfinite().all() for name in IMAGES)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_no_gaussians_give_an_empty_image(device: torch.device) -> None:
    out, gradients = splat_and_gradients(ops.splat, there(scene(2, 0), device), camera(2), with_weights=True)
    assert all((getattr(out, name) == 0).all() for name in IMAGES)
    assert out.weights is not None and out.weights.shape == (2, 0)
    assert [tuple(gradient.shape) for gradient in gradients] == [(2, 0, 3), (2, 0, 4), (2, 0, 3), (2, 0), (2, 0, 3)]


@pytest.mark.parametrize("shift", [(5.0, 0.0, 0.0), (0.0, -5.0, 0.0), (0.0, 0.0, 3.0)], ids=["side", "below", "behind"])
def test_gaussians_that_are_all_culled_give_an_empty_image(
    device: torch.device, shift: tuple[float, float, float]
) -> None:
    means, *rest = scene(1, 30)
    inputs = there((means + torch.tensor(shift), *rest), device)
    out, gradients = splat_and_gradients(ops.splat, inputs, camera(), with_weights=True)
    assert all((getattr(out, name) == 0).all() for name in (*IMAGES, "weights"))
    assert all((gradient == 0).all() for gradient in gradients)


def test_equal_depths_are_blended_in_the_order_of_their_index(device: torch.device) -> None:
    _, quats, scales, _, _ = scene(1, 2)
    means = torch.tensor([[[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]])
    colors = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    inputs = there((means, quats, scales, torch.full((1, 2), 0.9), colors), device)
    center = ops.splat(*inputs, camera()).rgb[0, 18, 24]
    assert center[0] > 2 * center[1] > 0


def test_depths_that_differ_in_the_last_bit_are_in_order(device: torch.device) -> None:
    step = torch.tensor(1.0).nextafter(torch.tensor(2.0)) - 1
    depths = 1 + step * torch.randperm(64, generator=torch.Generator().manual_seed(3))
    means = torch.zeros(1, 64, 3)
    means[0, :, 2] = -depths
    colors = torch.zeros(1, 64, 3)
    colors[0, depths.argmin(), 0] = 1
    quats = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 64, 4)
    inputs = there((means, quats, torch.full((1, 64, 3), 0.05), torch.full((1, 64), 0.99), colors), device)
    assert ops.splat(*inputs, camera()).rgb[0, 18, 24, 0] > 0.9


def test_order_of_gaussians_at_distinct_depths_does_not_matter(device: torch.device) -> None:
    inputs, view = there(scene(1, 150), device), camera()
    order = torch.randperm(150, generator=torch.Generator().manual_seed(2))
    first, second = ops.splat(*inputs, view), ops.splat(*(value[:, order] for value in inputs), view)
    assert torch.equal(first.rgb, second.rgb)


def test_a_batch_equals_its_images_one_by_one_bit_for_bit(device: torch.device) -> None:
    inputs = there(scene(3, 50), device)
    together = ops.splat(*inputs, camera(3), with_weights=True)
    for k in range(3):
        one = ops.splat(*(value[k : k + 1] for value in inputs), camera(1), with_weights=True)
        for name in (*IMAGES, "weights"):
            assert torch.equal(getattr(one, name)[0], getattr(together, name)[k]), name


def test_two_runs_give_the_same_bits(device: torch.device) -> None:
    inputs, view = there(scene(2, 120), device), camera(2)
    results = []
    for _ in range(2):
        out, gradients = splat_and_gradients(ops.splat, inputs, view, with_weights=True)
        results.append((out.rgb, out.alpha, out.depth, out.weights, *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_order_in_which_blocks_and_threads_run_does_not_change_a_bit(device: torch.device) -> None:
    if device.type == "cuda":
        pytest.skip("only the emulator can choose the order of blocks and threads")
    inputs, view = scene(2, 120), camera(2)
    results = []
    for reverse in (False, True):
        load_emulated().set_reversed(reverse)
        try:
            out, gradients = splat_and_gradients(ops.splat, inputs, view, with_weights=True)
        finally:
            load_emulated().set_reversed(False)
        results.append((out.rgb, out.alpha, out.depth, out.weights, *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_blend_weights_and_transmittance_sum_to_one_per_pixel(device: torch.device) -> None:
    out = ops.splat(*there(scene(2, 80), device), camera(2), with_weights=True)
    assert out.weights is not None
    torch.testing.assert_close(out.weights.sum(-1), out.alpha.sum((1, 2)), rtol=1e-5, atol=1e-3)


def test_splat_features_blend_other_colors_and_do_not_affect_the_backward_pass(device: torch.device) -> None:
    inputs, view = there(scene(2, 60), device), camera(2)
    _, expected = splat_and_gradients(ops.splat, inputs, view)
    other = torch.rand(2, 60, 3, generator=torch.Generator().manual_seed(1)).to(device)

    def splat_with_features(*args, **options):  # type: ignore[no-untyped-def]
        out = ops.splat(*args, **options)
        assert torch.equal(ops.splat_features(out.prepared, args[4]), out.rgb)
        assert torch.equal(
            ops.splat_features(out.prepared, other), ops.splat(*(v.detach() for v in args[:4]), other, view).rgb
        )
        return out

    _, found = splat_and_gradients(splat_with_features, inputs, view)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_features_that_are_not_finite_count_as_zero(device: torch.device) -> None:
    inputs = there(scene(1, 30), device)
    prepared = ops.splat(*inputs, camera()).prepared
    broken, zero = inputs[4].clone(), inputs[4].clone()
    broken[0, 7], zero[0, 7] = torch.tensor([math.nan, math.inf, -math.inf]), 0.0
    assert torch.equal(ops.splat_features(prepared, broken), ops.splat_features(prepared, zero))


def test_without_depth_the_other_outputs_and_gradients_are_unchanged(device: torch.device) -> None:
    inputs, view = there(scene(1, 40), device), camera()

    def gradients(**options: bool) -> tuple[Tensor, ...]:
        leaves = tuple(value.clone().requires_grad_() for value in inputs)
        out = ops.splat(*leaves, view, **options)
        assert (out.depth is None) is (options.get("with_depth") is False)
        return out.rgb, *torch.autograd.grad(out.rgb.sum() + out.alpha.sum(), leaves)

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(with_depth=False), strict=True))
