"""Properties of the operations together and of every op, for any scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.geometry import rotations
from avatar.rendering.render import render
from avatar.types import Camera, Gaussians
from tests.avatar.ops.flat import flat_bind
from tests.avatar.ops.splat_scenes import IMAGES, camera, largest, scene, splat_and_gradients

needs_native = pytest.mark.skipif(not cuda_ext.available("cpu"), reason=cuda_ext.reason("cpu"))


def cameras_all_round(batch: int) -> Camera:
    """Cameras of different poses, focal lengths and principal points that look at the middle of the scene."""
    angles = torch.zeros(batch, 3)
    angles[:, 1] = torch.linspace(-0.7, 0.9, batch)
    angles[:, 0] = torch.linspace(0.2, -0.3, batch)
    frontal = camera(batch)
    turn = rotations.axis_angle_to_matrix(angles)
    middle = torch.tensor([0.0, 0.0, -1.0])
    pose = frontal.world_to_cam.clone()
    pose[:, :3, :3] = frontal.world_to_cam[:, :3, :3] @ turn
    pose[:, :3, 3] = torch.tensor([0.0, 0.0, 1.0]) - pose[:, :3, :3] @ middle
    K = frontal.K.clone()
    K[:, 0, 0] = torch.linspace(40, 80, batch)
    K[:, 1, 1] = torch.linspace(75, 50, batch)
    K[:, 0, 2] += torch.linspace(-6, 4, batch)
    return replace(frontal, K=K, world_to_cam=pose)


def one_image(view: Camera, index: int) -> Camera:
    return replace(view, K=view.K[index : index + 1], world_to_cam=view.world_to_cam[index : index + 1])


@needs_native
def test_a_batch_of_different_cameras_matches_reference() -> None:
    view = cameras_all_round(4)
    found, gradients = splat_and_gradients(ops.splat, scene(4, 50), view)
    doubles = tuple(value.double() for value in scene(4, 50))
    expected, true_gradients = splat_and_gradients(reference.splat, doubles, view)
    assert (expected.alpha.amax((1, 2)) > 0.5).all()
    for name in IMAGES:
        assert largest(getattr(found, name), getattr(expected, name)) < 1e-5
    for gradient, true_gradient in zip(gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < 1e-4


def test_a_batch_of_different_cameras_and_its_gradients_equal_the_images_one_by_one() -> None:
    view, inputs = cameras_all_round(3), scene(3, 50)

    def run(values: tuple[Tensor, ...], seen: Camera) -> tuple[Tensor, ...]:
        leaves = tuple(value.clone().requires_grad_() for value in values)
        out = ops.splat(*leaves, seen, with_weights=True)
        assert out.weights is not None
        total = out.rgb.square().sum() + out.alpha.sum() + out.depth.sum()
        return out.rgb, out.alpha, out.depth, out.weights, *torch.autograd.grad(total, leaves)

    together = run(inputs, view)
    for k in range(3):
        alone = run(tuple(value[k : k + 1] for value in inputs), one_image(view, k))
        assert all(torch.equal(one[0], all_[k]) for one, all_ in zip(alone, together, strict=True))


def test_one_gaussian_has_its_alpha_at_every_pixel() -> None:
    view = camera()
    means, quats = torch.tensor([[[0.0, 0.0, -1.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    out = ops.splat(means, quats, torch.full((1, 1, 3), 0.1), torch.full((1, 1), 0.8), torch.ones(1, 1, 3), view)
    rows, columns = torch.meshgrid(torch.arange(37) + 0.5 - 18.5, torch.arange(49) + 0.5 - 24.5, indexing="ij")
    expected = 0.8 * torch.exp(-0.5 * (rows**2 + columns**2) / (6.0**2 + 0.3))  # 60 px/m x 0.1 m, dilated
    expected = torch.where(expected >= 1 / 255, expected, 0.0)
    torch.testing.assert_close(out.alpha[0], expected, atol=1e-5, rtol=0)


def test_many_gaussians_of_one_depth_keep_the_order_of_their_index() -> None:
    means, *rest = scene(1, 60)
    means[..., 2] = torch.where(torch.arange(60) % 3 == 0, -1.0, -1.25)
    found = ops.splat(means, *rest, camera())
    expected = reference.splat(means.double(), *(value.double() for value in rest), camera())
    assert largest(found.rgb, expected.rgb) < 1e-5


def test_an_image_is_linear_in_the_background() -> None:
    means, quats, scales, opacities, colors = scene(1, 60)
    quats = torch.nn.functional.normalize(quats, dim=-1)
    gaussians = Gaussians(means, quats, scales, opacities, ((colors - 0.5) / rotations.SH_C0)[:, :, None])
    first, second = torch.tensor([0.9, 0.1, 0.4]), torch.tensor([0.2, 0.6, 0.0])
    blended = render(gaussians, camera(), 0.25 * first + 0.75 * second).rgb
    images = render(gaussians, camera(), first).rgb, render(gaussians, camera(), second).rgb
    torch.testing.assert_close(blended, 0.25 * images[0] + 0.75 * images[1], atol=1e-6, rtol=0)


def rigged_heads(count: int = 60) -> tuple[Tensor, ...]:
    """Arguments of bind: a few triangles of decent shape around one meter before the camera, one bone at rest."""
    source = torch.Generator().manual_seed(12)
    corners = torch.rand(1, 30, 3, generator=source) * 0.5 - torch.tensor([0.25, 0.25, 1.2])
    triangles = torch.stack([torch.randperm(30, generator=source)[:3] for _ in range(count)])
    bary = torch.full((count, 3), 1 / 3)
    offsets = 0.02 * (torch.rand(1, count, 3, generator=source) - 0.5)
    quats = torch.rand(1, count, 4, generator=source) - 0.5
    still = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 2, 4)
    return corners, triangles, bary, offsets, quats, torch.zeros(count), still, torch.zeros(1, 2, 3)


def test_rigid_motion_of_mesh_and_camera_together_changes_nothing() -> None:
    vertices, *binding = rigged_heads()
    looks = scene(1, 60)[2:]
    turn = rotations.axis_angle_to_matrix(torch.tensor([0.4, -0.9, 0.3]))
    shift = torch.tensor([0.3, -0.2, 0.5])
    still, moved = camera(), camera()
    pose = moved.world_to_cam.clone()
    pose[:, :3, :3] = still.world_to_cam[:, :3, :3] @ turn.T
    pose[:, :3, 3] = still.world_to_cam[:, :3, 3] - pose[:, :3, :3] @ shift
    before = ops.splat(*flat_bind(vertices, *binding), *looks, still)
    after = ops.splat(*flat_bind(vertices @ turn.T + shift, *binding), *looks, replace(moved, world_to_cam=pose))
    assert (before.alpha > 0.5).any()
    # Where rounding crosses the cutoff a pixel changes by at most half an 8-bit step for each splat there.
    assert (before.rgb - after.rgb).abs().max() < 2 / 255
    assert (before.rgb - after.rgb).abs().mean() < 1e-5


@needs_native
def test_ssim_adam_and_anchors_are_bit_identical_at_any_thread_count() -> None:
    source = torch.Generator().manual_seed(3)
    first, second = (torch.rand(2, 70, 50, 3, generator=source) for _ in range(2))
    start, grad = torch.rand(70_000, generator=source), torch.rand(70_000, generator=source)

    def run() -> tuple[Tensor, ...]:
        leaf = first.clone().requires_grad_()
        value = ops.ssim(leaf, second)
        state = [start.clone(), torch.zeros(70_000), torch.zeros(70_000)]
        ops.adam_step(state[0], grad, state[1], state[2], 0.1, 0.9, 0.99, 1e-8, 1)
        anchored = grad.clone()
        ops.add_anchors([anchored], [ops.Anchor(start, None, grad)])
        return value.detach(), *torch.autograd.grad(value.sum(), leaf), *state, anchored

    assert_same_bits_at_any_thread_count(run)


def assert_same_bits_at_any_thread_count(run: Callable[[], tuple[Tensor, ...]]) -> None:
    before, results = cuda_ext.threads(), []
    try:
        for threads in (1, 2, 3):
            cuda_ext.set_threads(threads)
            results.append(run())
    finally:
        cuda_ext.set_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@needs_native
def test_more_tile_intersections_than_32_bits_count_are_the_same_error() -> None:
    count = 530_000  # each overlaps 64 x 64 tiles: 2.17e9 tile intersections, more than an int32 can count
    means = torch.tensor([0.0, 0.0, -1.0]).expand(1, count, 3)
    quats = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, count, 4)
    wide = (means, quats, torch.full((1, count, 3), 50.0), torch.full((1, count), 0.5), torch.ones(1, count, 3))
    with pytest.raises(
        ValueError, match=r"splat: more than 33554432 tile intersections .* use fewer or smaller Gaussians"
    ):
        ops.splat(*wide, camera(1, 1024, 1024, focal=1000.0))


def poisoned_cameras() -> list[tuple[str, Camera]]:
    cases = []
    for bad in (float("nan"), float("inf"), 0.0):
        for name in ("K", "world_to_cam"):
            view = camera()
            value = getattr(view, name).clone()
            value[0, 0, 0] = bad
            cases.append((f"{name}-{bad}", replace(view, **{name: value})))
    return cases


@pytest.mark.parametrize("view", [view for _, view in poisoned_cameras()], ids=[name for name, _ in poisoned_cameras()])
def test_a_camera_that_is_not_finite_or_singular_gives_finite_images_and_gradients(view: Camera) -> None:
    out, gradients = splat_and_gradients(ops.splat, scene(1, 30), view)
    assert all(getattr(out, name).isfinite().all() for name in IMAGES)
    assert all(gradient.isfinite().all() for gradient in gradients)
