"""The layer: a textured mesh, for teeth, tongue and eyeballs, that is seen through Gaussians; colors of its texels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avatar import reference
from avatar.reference import TEXEL_NODES, LayerImages
from avatar.types import LayerMesh, check_shape

from .backend import checks_indices, native_for
from .checks import check_floats, check_indices, check_integers
from .frames import has_workspaces
from .packages import attempted

Arrays = tuple[Tensor, ...]  # vertices, shade, texels, faces, texel ids, fades, faces of the skin, K
Options = tuple[int, int, float, float]  # width, height, near, blur


class CpuLayer:
    """A layer in memory of the native module, whose images are a window."""

    def __init__(self, arrays: Arrays, options: Options) -> None:
        self._windows = torch.empty(len(arrays[0]), 4, dtype=torch.int32)
        self._prepared = native_for(arrays[0]).layer_prepare(arrays, options, self._windows)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest window of the batch."""
        width, height = self._windows[:, 2:].amax(0).tolist() if len(self._windows) else (0, 0)
        return width, height

    @property
    def origin(self) -> Tensor:
        return self._windows[:, :2].contiguous()

    def render(self, arrays: Arrays, images: Arrays) -> None:
        native_for(arrays[0]).layer_render(self._prepared, arrays, images)

    def backward(self, arrays: Arrays, grad_color: Tensor, grad_texels: Tensor) -> None:
        native_for(arrays[0]).layer_backward(self._prepared, arrays, grad_color, grad_texels)


class _CudaLayer:
    """A layer in scratch memory; the window is the whole image, so that nothing synchronizes with the device.

    nvdiffrast may find which face is in front (`packages.py`); all that follows is ours.
    """

    def __init__(self, arrays: Arrays, options: Options) -> None:
        vertices, _, texels = arrays[:3]
        self._options = options
        self.size = options[:2]
        self.origin = torch.zeros(len(vertices), 2, dtype=torch.int32, device=vertices.device)
        size = native_for(vertices).layer_scratch(len(vertices), len(texels), *self.size)
        self._scratch = torch.empty(size, dtype=torch.uint8, device=vertices.device)

    def render(self, arrays: Arrays, images: Arrays) -> None:
        vertices, *_, skin, K = arrays
        width, height, near, _ = self._options
        depths = attempted(
            "nvdiffrast",
            vertices,
            lambda package: package.layer_depths(vertices, arrays[3], skin, K, width, height, near),
        )
        native = native_for(vertices)
        if depths is None:
            native.layer_forward(arrays, self._options, images, self._scratch)
        else:
            native.layer_from_depths(arrays, self._options, images, depths, self._scratch)

    def backward(self, arrays: Arrays, grad_color: Tensor, grad_texels: Tensor) -> None:
        native_for(arrays[0]).layer_backward(arrays, self._options, grad_color, grad_texels, self._scratch)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, options: Options, images: list[Tensor], *inputs: Tensor) -> Tensor:
        arrays = tuple(value.detach().contiguous() for value in inputs)
        vertices = arrays[0]
        kind = _CudaLayer if has_workspaces(native_for(vertices)) else CpuLayer
        ctx.layer = kind(arrays, options)
        width, height = ctx.layer.size
        shape = (len(vertices), height, width)
        images += [vertices.new_empty(shape) for _ in range(3)]
        color = vertices.new_empty(*shape, 3)
        ctx.layer.render(arrays, (color, *images))
        images.append(ctx.layer.origin)
        ctx.save_for_backward(*arrays)
        return color

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        arrays = ctx.saved_tensors
        out = torch.empty_like(arrays[2])
        ctx.layer.backward(arrays, grad.contiguous(), out)
        return None, None, None, None, out, None, None, None, None, None


def layer(
    vertices_cam: Tensor,
    shade: Tensor,
    texels: Tensor,
    mesh_: LayerMesh,
    K: Tensor,
    width: int,
    height: int,
    *,
    blur: float = 0.0,
    near: float = 0.01,
) -> LayerImages:
    """Rasterize the textured faces of a layer with 2x2 samples per pixel, both sides of every face, for `splat`.

    Differentiable in `texels`. The color of a sample is linear in the texels of its sub-triangle, times `shade`
    interpolated over the face. The faces of the skin are not rendered: they only decide where the layer is seen. With
    t the smooth step of the distance to the nearest sample where it is not seen, between the two fades of the face,
    the stencil is 1 - (1 - t)^2: the opacity of several Gaussians then fades about evenly. Behind the skin the layer
    fades out between once and three times the second distance. Distances are in meters at the mean depth of the layer.

    Args:
        vertices_cam: [B,V,3] meters, camera axes (x right, y down, z forward).
        shade: [B,V] factor of the color at the vertices, for ambient occlusion.
        texels: [T,3] colors.
        mesh_: faces of the layer with their texels, and of the skin.
        K: [B,3,3] pixels.
        width: pixels.
        height: pixels.
        blur: meters, standard deviation of a blur of color and coverage; an edge is otherwise sharper than Gaussians.
        near: meters; nearer surfaces are culled.

    Returns:
        Images of a window that contains the layer; its size is 0 where no layer is in the images.

    Raises:
        ValueError: a wrong shape, dtype, device, index or distance; the text names the argument.
    """
    _check(vertices_cam, shade, texels, mesh_, K)
    if not blur >= 0:
        raise ValueError(f"blur: expected 0 or more, got {blur:g}")
    native = native_for(vertices_cam)
    if not checks_indices(native):
        check_indices("mesh.faces", mesh_.faces, vertices_cam.shape[1])
        check_indices("mesh.skin", mesh_.skin, vertices_cam.shape[1])
        check_indices("mesh.texel_ids", mesh_.texel_ids, len(texels))
    if native is None:
        return reference.layer(vertices_cam, shade.detach(), texels, mesh_, K, width, height, blur=blur, near=near)
    images: list[Tensor] = []
    options = (width, height, near, blur)
    color = _Layer.apply(
        options, images, vertices_cam, shade, texels, mesh_.faces, mesh_.texel_ids, mesh_.fades, mesh_.skin, K
    )
    return LayerImages(color, *images)


def _check(vertices_cam: Tensor, shade: Tensor, texels: Tensor, mesh_: LayerMesh, K: Tensor) -> None:
    check_shape("vertices_cam", vertices_cam, ("B", "V", 3))
    check_shape("shade", shade, tuple(vertices_cam.shape[:2]))
    check_shape("texels", texels, ("T", 3))
    check_shape("mesh.faces", mesh_.faces, ("F", 3))
    check_shape("mesh.texel_ids", mesh_.texel_ids, (len(mesh_.faces), len(TEXEL_NODES)))
    check_shape("mesh.fades", mesh_.fades, (len(mesh_.faces), 2))
    check_shape("mesh.skin", mesh_.skin, ("S", 3))
    check_shape("K", K, (vertices_cam.shape[0], 3, 3))
    for name, value in (("faces", mesh_.faces), ("texel_ids", mesh_.texel_ids), ("skin", mesh_.skin)):
        check_integers(f"mesh.{name}", value)
    check_floats(vertices_cam, shade=shade, texels=texels, K=K, **{"mesh.fades": mesh_.fades})


class _TexelColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, part: Tensor, factors: Tensor, own: Tensor) -> Tensor:
        start, part, factors, own = (value.detach().contiguous() for value in (start, part, factors, own))
        out = torch.empty_like(start)
        native_for(start).texel_colors(start, factors, part, own, out)
        ctx.save_for_backward(start, part, factors)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        start, part, factors = ctx.saved_tensors
        out = torch.empty_like(factors)
        native_for(start).texel_colors_backward(start, factors, part, grad.contiguous(), out)
        return None, None, out, grad


def texel_colors(start: Tensor, part: Tensor, factors: Tensor, own: Tensor) -> Tensor:
    """start * factors[part] + own: [T,3], differentiable in `factors` and `own`.

    Gradients do not depend on the number of threads. On a CUDA device this runs as PyTorch.

    Args:
        start: [T,3] colors of the head model.
        part: [T] int, row of `factors` for each texel.
        factors: [P,3].
        own: [T,3] added to the product.

    Raises:
        ValueError: a wrong shape, dtype, device or index; the text names the argument.
    """
    check_shape("start", start, ("T", 3))
    check_shape("part", part, (len(start),))
    check_shape("factors", factors, ("P", 3))
    check_shape("own", own, tuple(start.shape))
    check_floats(start, factors=factors, own=own)
    check_integers("part", part)
    native = native_for(start)
    if native is None or has_workspaces(native):
        check_indices("part", part, len(factors))
        return reference.texel_colors(start, part, factors, own)
    return _TexelColors.apply(start, part, factors, own)
