"""The layer on CUDA, on a device and in the emulator: `layer`, and `splat` with one, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avatar import ops, reference
from avatar.ops import LayerImages, SplatLayer
from avatar.reference import whole_image
from avatar.types import Camera, LayerMesh
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, doubled, intrinsics, layer_scene, skin_scene
from tests.avatar.ops.splat_scenes import camera, largest, scene

Scene = tuple[Tensor, Tensor, Tensor, LayerMesh]
IMAGES = ("color", "coverage", "depth", "stencil")


def mesh_on(mesh: LayerMesh, device: torch.device) -> LayerMesh:
    return LayerMesh(*(value.to(device) for value in vars(mesh).values()))


def images_on(images: LayerImages, device: torch.device, dtype: torch.dtype) -> LayerImages:
    values = {name: getattr(images, name).detach().to(device, dtype) for name in IMAGES}
    return LayerImages(**values, origin=images.origin.to(device))


@pytest.mark.parametrize("blur", [0.0, 0.012])
@pytest.mark.parametrize("drawn", [layer_scene, skin_scene])
def test_layer_and_gradient_of_its_texels_match_the_reference(
    device: torch.device, drawn: Callable[[int], Scene], blur: float
) -> None:
    vertices, shade, texels, mesh = drawn(2)
    own, true = texels.to(device).clone().requires_grad_(), texels.double().requires_grad_()
    found = ops.layer(
        vertices.to(device), shade.to(device), own, mesh_on(mesh, device), intrinsics(2).to(device), WIDTH, HEIGHT,
        blur=blur,
    )  # fmt: skip
    expected = reference.layer(
        vertices.double(), shade.double(), true, doubled(mesh), intrinsics(2).double(), WIDTH, HEIGHT, blur=blur
    )
    for name in IMAGES:
        assert largest(getattr(found, name).cpu(), getattr(expected, name)) < 1e-5, name
    weights = torch.randn(expected.color.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((found.color * weights.to(device)).sum(), own)
    (true_gradient,) = torch.autograd.grad((expected.color * weights).sum(), true)
    assert largest(gradient.cpu(), true_gradient) < 1e-5


def test_a_layer_without_faces_or_behind_the_camera_covers_nothing(device: torch.device) -> None:
    vertices, shade, texels, mesh = (
        value.to(device) if isinstance(value, Tensor) else mesh_on(value, device) for value in layer_scene()
    )
    assert isinstance(mesh, LayerMesh) and isinstance(vertices, Tensor)
    empty = replace(mesh, faces=mesh.faces[:0], texel_ids=mesh.texel_ids[:0], fades=mesh.fades[:0])
    for points, triangles in ((vertices, empty), (-vertices, mesh)):
        found = ops.layer(points, shade, texels, triangles, intrinsics().to(device), WIDTH, HEIGHT, blur=0.01)
        assert not any(bool(getattr(found, name).any()) for name in IMAGES)


def test_splat_with_a_layer_matches_the_reference(device: torch.device) -> None:
    with_window = reference.layer(*layer_scene(2), intrinsics(2), WIDTH, HEIGHT)
    window = LayerImages(
        *(getattr(with_window, name)[:, 2:30, 5:33] for name in IMAGES), torch.tensor([[5, 2], [6, 3]]).int()
    )
    for images in (with_window, window):
        compare_splat(images, device)


def compare_splat(images: LayerImages, device: torch.device) -> None:
    fades = (torch.arange(120) % 3 / 2).reshape(2, 60)
    results = []
    for target, dtype, splat in (
        (device, torch.float32, ops.splat),
        (torch.device("cpu"), torch.float64, reference.splat),
    ):
        moved = images_on(images, target, dtype)
        moved.color.requires_grad_()
        leaves = [value.to(target, dtype).requires_grad_() for value in scene(2, 60)]
        pose = camera(2).world_to_cam.to(target)
        view = Camera(intrinsics(2).to(target), pose, WIDTH, HEIGHT)
        layer = SplatLayer(moved, fades.to(target, dtype))
        out = splat(*leaves, view, layer=layer, with_weights=True)
        source = torch.Generator().manual_seed(7)
        total = out.rgb.new_zeros(())
        for image in (out.rgb, out.alpha, out.depth):
            total = total + (image * torch.randn(image.shape, generator=source).to(image)).sum()
        gradients = torch.autograd.grad(total, (*leaves, moved.color))
        blended = ops.splat_features(out.prepared, leaves[4], moved.color)
        results.append(([out.rgb, out.alpha, out.depth, out.weights, blended], gradients))
    for found, expected, tolerance in zip(
        *(result[0] for result in results), (1e-5, 1e-5, 2e-3, 1e-5, 1e-5), strict=True
    ):
        assert largest(found.cpu(), expected) < tolerance
    for found, expected in zip(*(result[1] for result in results), strict=True):
        assert largest(found.cpu(), expected) < 1e-4


def test_without_gaussians_the_image_is_the_layer(device: torch.device) -> None:
    images = images_on(reference.layer(*layer_scene(), intrinsics(), WIDTH, HEIGHT), device, torch.float32)
    view = Camera(intrinsics().to(device), camera().world_to_cam.to(device), WIDTH, HEIGHT)
    layer = SplatLayer(images, torch.zeros(1, 0, device=device))
    out = ops.splat(*(value[:, :0].to(device) for value in scene()), view, layer=layer)
    whole = whole_image(images, WIDTH, HEIGHT)
    torch.testing.assert_close(out.rgb, whole.color)
    torch.testing.assert_close(out.alpha, whole.coverage)
