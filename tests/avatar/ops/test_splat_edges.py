"""`ops.splat` on degenerate inputs: always finite and correct."""

from __future__ import annotations

import math

import pytest
import torch

import cuda_ext
from avatar import ops, reference
from avatar.types import Camera
from tests.avatar.ops.splat_scenes import IMAGES, camera, largest, scene, splat_and_gradients

FIELDS = ("means", "quats", "scales", "opacities", "colors")


def assert_finite(out: ops.SplatOutput, gradients: tuple[torch.Tensor, ...]) -> None:
    for name in IMAGES:
        assert getattr(out, name).isfinite().all(), name
    for name, gradient in zip(FIELDS, gradients, strict=True):
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("splat", [ops.splat, reference.splat], ids=["ops", "reference"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", range(5), ids=FIELDS)
def test_a_number_that_is_not_finite_culls_only_its_gaussian(splat, field: int, bad: float) -> None:  # type: ignore[no-untyped-def]
    inputs, view = scene(1, 30), camera()
    kept = torch.arange(30) != 11
    broken = [value.clone() for value in inputs]
    broken[field].view(30, -1)[11, -1] = bad
    out, gradients = splat_and_gradients(splat, tuple(broken), view)
    clean, clean_gradients = splat_and_gradients(splat, tuple(value[:, kept] for value in inputs), view)
    torch.testing.assert_close(out.rgb, clean.rgb, rtol=0, atol=0)
    for gradient, clean_gradient in zip(gradients, clean_gradients, strict=True):
        assert (gradient[:, 11] == 0).all()
        torch.testing.assert_close(gradient[:, kept], clean_gradient)


def test_a_quaternion_of_zero_culls_its_gaussian() -> None:
    means, quats, *rest = scene(1, 30)
    quats[:, 4] = 0
    out, gradients = splat_and_gradients(ops.splat, (means, quats, *rest), camera())
    assert_finite(out, gradients)
    assert all((gradient[:, 4] == 0).all() for gradient in gradients)


@pytest.mark.parametrize("scale", [1e-40, 1e-12, 1e3, 1e12, 1e30])
def test_huge_and_denormal_scales_stay_finite(scale: float) -> None:
    means, quats, scales, *rest = scene(1, 30)
    scales[:, ::2] = scale
    assert_finite(*splat_and_gradients(ops.splat, (means, quats, scales, *rest), camera()))


@pytest.mark.parametrize("dilation", [0.0, 0.3])
def test_flat_and_needle_gaussians_stay_finite(dilation: float) -> None:
    means, quats, scales, *rest = scene(1, 30)
    scales[:, ::2, 1:] = 0
    assert_finite(*splat_and_gradients(ops.splat, (means, quats, scales, *rest), camera(), dilation=dilation))


@pytest.mark.parametrize("position", [(1e30, 0.0, -1.0), (0.0, 1e38, -1.0), (3e38, 3e38, -3e38), (1e-40, 0.0, -1e-40)])
def test_extreme_positions_stay_finite(position: tuple[float, float, float]) -> None:
    means, *rest = scene(1, 30)
    means[:, 3] = torch.tensor(position)
    assert_finite(*splat_and_gradients(ops.splat, (means, *rest), camera()))


def test_no_gaussians_give_an_empty_image() -> None:
    out, gradients = splat_and_gradients(ops.splat, scene(2, 0), camera(2), with_weights=True)
    assert (out.rgb == 0).all() and (out.alpha == 0).all() and (out.depth == 0).all()
    assert out.weights is not None and out.weights.shape == (2, 0)
    assert [tuple(gradient.shape) for gradient in gradients] == [(2, 0, 3), (2, 0, 4), (2, 0, 3), (2, 0), (2, 0, 3)]


@pytest.mark.parametrize("shift", [(5.0, 0.0, 0.0), (0.0, -5.0, 0.0), (0.0, 0.0, 3.0)], ids=["side", "below", "behind"])
def test_gaussians_off_screen_give_an_empty_image(shift: tuple[float, float, float]) -> None:
    means, *rest = scene(1, 30)
    out, gradients = splat_and_gradients(ops.splat, (means + torch.tensor(shift), *rest), camera(), with_weights=True)
    assert (out.rgb == 0).all() and (out.alpha == 0).all()
    assert all((gradient == 0).all() for gradient in gradients)


def test_a_center_on_the_near_plane_is_culled_and_just_beyond_is_rendered() -> None:
    means, quats, scales, opacities, colors = scene(1, 1)
    means[:] = torch.tensor([0.0, 0.0, -0.5])
    on = ops.splat(means, quats, scales, opacities, colors, camera(), near=0.5)
    beyond = ops.splat(means, quats, scales, opacities, colors, camera(), near=0.4999)
    assert (on.alpha == 0).all() and (beyond.alpha > 0).any()


def test_full_opacity_is_clamped_and_occludes_gaussians_behind() -> None:
    means = torch.tensor([[[0.0, 0.0, -1.0], [0.0, 0.0, -2.0]]])
    quats = torch.tensor([[[1.0, 0.0, 0.0, 0.0]] * 2])
    scales = torch.full((1, 2, 3), 0.3)
    colors = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    inputs = (means, quats, scales, torch.ones(1, 2), colors)
    out, gradients = splat_and_gradients(ops.splat, inputs, camera())
    assert_finite(out, gradients)
    assert 0.99 < float(out.alpha.detach().max()) <= 1.0
    assert float(out.rgb[0, 18, 24, 1].detach()) < 0.01


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (16, 16), (64, 3)])
def test_odd_image_sizes_match_reference(width: int, height: int) -> None:
    view = camera(1, width, height, focal=0.9 * max(width, height))
    found, gradients = splat_and_gradients(ops.splat, scene(1, 40), view)
    doubles = tuple(value.double() for value in scene(1, 40))
    expected, true_gradients = splat_and_gradients(reference.splat, doubles, view)
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < 1e-5
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < 2e-4


def test_a_large_image_with_partial_tiles_is_finite_and_matches_its_crop() -> None:
    inputs = scene(1, 400)
    view = camera(1, 1023, 1023, focal=1200.0)
    out, gradients = splat_and_gradients(ops.splat, inputs, view)
    assert_finite(out, gradients)
    K = view.K.clone()
    K[:, :2, 2] -= 1008.0
    corner = ops.splat(*inputs, Camera(K, view.world_to_cam, 15, 15))
    assert (out.rgb[:, 1008:, 1008:] - corner.rgb).abs().max() < 1 / 255


def test_buffers_grow_when_a_later_scene_needs_more_than_an_earlier_one() -> None:
    small, big = scene(1, 10), scene(1, 4000, seed=5)
    big[2].mul_(4)  # wide splats: many tiles each
    view = camera(1, 200, 180, focal=220.0)
    before = ops.splat(*small, view).rgb
    out, gradients = splat_and_gradients(ops.splat, big, view)
    assert_finite(out, gradients)
    assert torch.equal(ops.splat(*small, view).rgb, before)


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
def test_more_tile_intersections_than_the_limit_are_an_error_and_the_next_call_works() -> None:
    count = 10000
    means = torch.tensor([0.0, 0.0, -1.0]).expand(1, count, 3)
    quats = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, count, 4)
    wide = (means, quats, torch.full((1, count, 3), 50.0), torch.full((1, count), 0.5), torch.ones(1, count, 3))
    with pytest.raises(ValueError, match=r"more than 33554432 tile intersections .* use fewer or smaller Gaussians"):
        ops.splat(*wide, camera(1, 1024, 1024, focal=1000.0))
    assert (ops.splat(*scene(), camera()).alpha > 0).any()


def test_the_background_enters_the_alpha_gradient_once() -> None:
    inputs, view = scene(1, 40), camera()
    background = torch.tensor([0.2, 0.7, 0.4])

    def gradients(splat, values):  # type: ignore[no-untyped-def]
        leaves = tuple(value.clone().requires_grad_() for value in values)
        out = splat(*leaves, view)
        image = out.rgb + (1 - out.alpha)[..., None] * background.to(out.rgb)
        return torch.autograd.grad(image.square().sum(), leaves)

    for found, expected in zip(
        gradients(ops.splat, inputs),
        gradients(reference.splat, tuple(value.double() for value in inputs)),
        strict=True,
    ):
        assert largest(found, expected) < 1e-4


def test_without_depth_a_batch_gives_the_same_images_and_gradients() -> None:
    inputs = scene(1, 60)
    twice = [torch.cat([value, value.flip(1)]).requires_grad_() for value in inputs]
    view = camera(2, 40, 24)
    full, lean = ops.splat(*twice, view), ops.splat(*twice, view, with_depth=False)
    assert lean.depth is None
    assert torch.equal(full.rgb, lean.rgb) and torch.equal(full.alpha, lean.alpha)
    grads = [torch.autograd.grad(out.rgb.square().sum() + out.alpha.sum(), twice) for out in (full, lean)]
    assert all(torch.equal(first, second) for first, second in zip(*grads, strict=True))


@pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))
@pytest.mark.parametrize("dilation", [0.0, 1e-6])
def test_a_gaussian_far_smaller_than_a_pixel_has_finite_gradients_with_antialias(dilation: float) -> None:
    """A determinant below 5e-20 pixels^4 has no square in float32."""
    view, options = camera(1, 1, 5, focal=1e-3), {"antialias": True, "dilation": dilation, "cutoff": False}
    inputs = scene(1, 25, seed=1)
    out, gradients = splat_and_gradients(ops.splat, inputs, view, **options)
    assert_finite(out, gradients)
    if dilation:  # without it, float32 places centers too coarsely for Gaussians of 2e-5 pixels
        _, expected = splat_and_gradients(reference.splat, tuple(value.double() for value in inputs), view, **options)
        assert all(largest(one, other) < 1e-3 for one, other in zip(gradients, expected, strict=True))
