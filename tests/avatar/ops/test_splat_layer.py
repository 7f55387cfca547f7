"""`ops.splat` with a layer: the native kernel compared with its PyTorch reference, and properties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cuda_ext
from avatar import ops, reference
from avatar.ops import SplatLayer
from avatar.reference import whole_image
from avatar.types import Camera
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, intrinsics, layer_scene
from tests.avatar.ops.splat_scenes import Inputs, camera, largest, scene

LEVELS = ("v4", "v3", "v2", "neon", "portable")
FIELDS = ("means", "quats", "scales", "opacities", "colors", "layer")
OUTPUTS = ("rgb", "alpha", "depth", "weights")


def view(batch: int = 1) -> Camera:
    return Camera(intrinsics(batch), camera(batch).world_to_cam, WIDTH, HEIGHT)


def layer_of(batch: int = 1, count: int = 60) -> SplatLayer:
    """Images of the layer of `layer_scene`; every third Gaussian is exempt from the stencil, another third in part."""
    images = ops.layer(*layer_scene(batch), intrinsics(batch), WIDTH, HEIGHT)
    fades = (torch.arange(batch * count) % 3 / 2).reshape(batch, count)
    return SplatLayer(images, fades)


def doubled(layer: SplatLayer) -> SplatLayer:
    images = layer.images
    values = {name: getattr(images, name).double() for name in ("color", "coverage", "depth", "stencil")}
    return SplatLayer(replace(images, **values), layer.fades.double())


def splat_and_gradients(
    splat: Callable[..., ops.SplatOutput], inputs: Inputs, layer: SplatLayer, **options: object
) -> tuple[ops.SplatOutput, tuple[Tensor, ...]]:
    leaves = tuple(value.detach().clone().requires_grad_() for value in inputs)
    color = layer.images.color.detach().clone().requires_grad_()
    layer = replace(layer, images=replace(layer.images, color=color))
    out = splat(*leaves, view(len(color)), layer=layer, with_weights=True, **options)
    source = torch.Generator().manual_seed(7)
    total = out.rgb.new_zeros(())
    for image in (out.rgb, out.alpha, out.depth):
        total = total + (image * torch.randn(image.shape, generator=source).to(image)).sum()
    return out, torch.autograd.grad(total, (*leaves, color))


@pytest.mark.parametrize("options", [{}, {"antialias": True}, {"cutoff": False}], ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_native_matches_reference_at_every_simd_level(level: str, options: dict[str, object]) -> None:
    if not cuda_ext.available("cpu"):
        pytest.skip(cuda_ext.reason("cpu"))
    try:
        cuda_ext.set_simd_level(level)
    except ValueError:
        pytest.skip(f"this processor has no {level}")
    inputs, layer = scene(2, 60), layer_of(2)
    found, gradients = splat_and_gradients(ops.splat, inputs, layer, **options)
    doubles = tuple(value.double() for value in inputs)
    expected, true_gradients = splat_and_gradients(reference.splat, doubles, doubled(layer), **options)  # type: ignore[arg-type]
    for name in OUTPUTS:
        # Depth is a quotient by alpha, which has lost digits where the layer has little coverage.
        tolerance = 2e-3 if name == "depth" else 1e-5
        assert largest(getattr(found, name), getattr(expected, name)) < tolerance, name
    for name, gradient, true_gradient in zip(FIELDS, gradients, true_gradients, strict=True):
        assert largest(gradient, true_gradient) < (2e-3 if "cutoff" in options else 1e-4), name


def test_reference_gradients_match_finite_differences() -> None:
    layer = doubled(layer_of(1, 5))
    color = layer.images.color
    leaves = tuple(value.requires_grad_() for value in (*scene(1, 5, seed=3, dtype=torch.float64), color.clone()))

    def images(*values: Tensor) -> tuple[Tensor, ...]:
        moved = replace(layer, images=replace(layer.images, color=values[5]))
        out = reference.splat(*values[:5], view(), cutoff=False, layer=moved)
        return out.rgb, out.alpha, out.depth

    assert torch.autograd.gradcheck(images, leaves, eps=1e-6, atol=1e-5, fast_mode=True)


def test_without_gaussians_the_image_is_the_layer() -> None:
    layer = layer_of(1, 0)
    out = ops.splat(*(value[:, :0] for value in scene()), view(), layer=layer)
    images = whole_image(layer.images, WIDTH, HEIGHT)
    torch.testing.assert_close(out.rgb, images.color)
    torch.testing.assert_close(out.alpha, images.coverage)
    covered = images.coverage > 0.01
    torch.testing.assert_close(out.depth[covered], images.depth[covered])


def test_an_empty_window_changes_no_bit() -> None:
    layer = layer_of()
    images = layer.images
    parts = {name: getattr(images, name)[:, :0] for name in ("color", "coverage", "depth", "stencil")}
    with_layer = ops.splat(*scene(1, 60), view(), layer=replace(layer, images=replace(images, **parts)))
    without = ops.splat(*scene(1, 60), view())
    for name in ("rgb", "alpha", "depth"):
        assert torch.equal(getattr(with_layer, name), getattr(without, name))


def test_a_layer_elsewhere_changes_no_bit_of_a_tile_that_it_does_not_reach() -> None:
    layer = layer_of()
    images = layer.images
    small = {name: getattr(images, name)[:, 4:12, 4:12] for name in ("color", "coverage", "depth", "stencil")}
    corner = replace(layer, images=replace(images, **small, origin=torch.tensor([[2, 3]], dtype=torch.int32)))
    with_layer, without = (ops.splat(*scene(1, 60), view(), layer=each) for each in (corner, None))
    assert torch.equal(with_layer.rgb[:, :, 16:], without.rgb[:, :, 16:])
    assert torch.equal(with_layer.rgb[:, 16:], without.rgb[:, 16:])
    assert not torch.equal(with_layer.rgb, without.rgb)


def test_gaussians_behind_the_layer_are_skipped_and_those_of_the_skin_fade_where_the_stencil_is_1() -> None:
    layer = layer_of(1, 3)
    quats, scales = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(1, 3, 1), torch.full((1, 3, 3), 0.05)
    depths = torch.tensor([0.5, 0.6, 1.2])  # a Gaussian of the skin, one of glasses, one behind the layer
    means = torch.stack([torch.zeros(3), torch.zeros(3), -depths], -1)[None]
    colors = torch.eye(3)[None]
    fades = torch.tensor([[1.0, 0.0, 1.0]])
    out = ops.splat(
        means, quats, scales, torch.full((1, 3), 0.9), colors, view(), layer=SplatLayer(layer.images, fades),
        with_weights=True,
    )  # fmt: skip
    images = whole_image(layer.images, WIDTH, HEIGHT)
    solid = (images.stencil == 1) & (images.coverage == 1)
    assert solid.sum() > 20
    # Red is the Gaussian of the skin, green the glasses, blue the Gaussian behind: only the glasses cover the layer.
    transmittance = (1 - out.rgb[..., 1]) / (1 - images.color[..., 1])
    for channel in (0, 2):
        expected = transmittance * images.color[..., channel]
        torch.testing.assert_close(out.rgb[..., channel][solid], expected[solid], atol=1e-5, rtol=0)
    assert 0.1 < transmittance[solid].min() < 0.3
    assert out.rgb[..., 0][~solid].max() > 0.3 and out.depth[solid].max() < 0.9


def test_features_are_blended_over_those_of_the_layer() -> None:
    inputs, layer = scene(1, 60), layer_of()
    out = ops.splat(*inputs, view(), layer=layer)
    again = ops.splat_features(out.prepared, inputs[4], layer.images.color)
    torch.testing.assert_close(again, out.rgb, atol=1e-6, rtol=0)
    alone = ops.splat_features(out.prepared, inputs[4])
    black = replace(layer, images=replace(layer.images, color=torch.zeros_like(layer.images.color)))
    torch.testing.assert_close(alone, ops.splat(*inputs, view(), layer=black).rgb, atol=1e-6, rtol=0)


def test_splat_into_equals_splat() -> None:
    inputs, layer, one = scene(1, 60), layer_of(), view()
    buffers = ops.splat_buffers(1, 60, WIDTH, HEIGHT)
    ops.splat_into(buffers, *inputs, one, layer=layer)
    out = ops.splat(*inputs, one, layer=layer)
    assert torch.equal(buffers.rgb, out.rgb) and torch.equal(buffers.alpha, out.alpha)


def test_a_layer_of_another_size_or_type_is_refused_by_name() -> None:
    inputs, layer = scene(1, 60), layer_of()
    with pytest.raises(ValueError, match=r"layer.fades: expected \[1,60\], got \[1,59\]"):
        ops.splat(*inputs, view(), layer=replace(layer, fades=layer.fades[:, :59]))
    with pytest.raises(ValueError, match=r"layer.images.stencil: expected \["):
        ops.splat(*inputs, view(), layer=replace(layer, images=replace(layer.images, stencil=layer.fades)))
    with pytest.raises(ValueError, match=r"layer\.images\.origin: expected torch\.int32"):
        far = replace(layer.images, origin=layer.images.origin.long())
        ops.splat(*inputs, view(), layer=replace(layer, images=far))
