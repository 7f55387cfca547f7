"""From local Gaussians to the photometric loss of their images and its gradients: one native call for a training step.

The kernels are those of `deform`, `vertex_stretch`, `bind`, `widen`, `texel_colors`, `layer`, `add_reflections`,
`splat` and `photometric`; called one by one with autograd they take half as long again. The results have the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.reference import SplatSettings, StretchMesh
from avatar.types import Binding, Bones, Camera, LayerMesh, LocalGaussians, check_shape

from .backend import native_for
from .checks import check_bytes, check_flags, check_floats, check_ssim_rows
from .frames import has_workspaces


@dataclass(frozen=True)
class LayerScene:
    """A mesh layer in B poses, without what a step of training changes."""

    mesh: LayerMesh
    start: Tensor  # [T,3] colors of its texels, as the three following ones of `texel_colors`
    part: Tensor  # [T] int
    vertices_cam: Tensor  # [B,V,3] meters, camera axes
    shade: Tensor  # [B,V] factor of the color
    blur: float  # meters
    places: Tensor | None = None  # [B,2,3] x, y, radius of the two reflections, pixels of the image; None: it has none

    @staticmethod
    def of(scenes: Sequence[LayerScene]) -> LayerScene | None:
        """The poses of `scenes` of one layer as one batch; None if there are none."""
        if not scenes:
            return None
        places = [scene.places for scene in scenes if scene.places is not None]
        return replace(
            scenes[0],
            vertices_cam=torch.cat([scene.vertices_cam for scene in scenes]),
            shade=torch.cat([scene.shade for scene in scenes]),
            places=torch.cat(places) if places else None,
        )


@dataclass(frozen=True)
class LossScene:
    """What B images show as far as no step of training changes it."""

    vertices: Tensor  # [B,V,3] meters, skull frame
    binding: Binding
    stretch: StretchMesh | None
    units: Tensor  # [C] of the channels of blended offsets
    filter_scale: float  # meters, standard deviation of the low-pass filter
    dilation: float  # pixels^2
    camera: Camera  # [B]
    layer: LayerScene | None

    @staticmethod
    def of(scenes: Sequence[LossScene]) -> LossScene:
        """The images of `scenes` of one avatar as one batch."""
        first = scenes[0]
        if len(scenes) == 1:
            return first
        K, world_to_cam = (
            torch.cat([getattr(scene.camera, name) for scene in scenes]) for name in ("K", "world_to_cam")
        )
        return replace(
            first,
            vertices=torch.cat([scene.vertices for scene in scenes]),
            camera=replace(first.camera, K=K, world_to_cam=world_to_cam),
            layer=LayerScene.of([scene.layer for scene in scenes if scene.layer is not None]),
        )


@dataclass(frozen=True)
class LayerLook:
    """What a step of training changes of a mesh layer; or the gradients of that."""

    factors: Tensor  # [P,3] of the colors of its parts
    delta: Tensor  # [T,3] added to the colors
    textures: Tensor | None  # [2,S,S] of its reflections; None: it has none
    outer: Tensor | None = None  # [M] bool, Gaussians, the last ones, that its stencil does not fade if they are ...
    outer_distance: float = 0.0  # ... further in front of the mesh than this, meters; both without gradient


@dataclass(frozen=True)
class LossTarget:
    """The images to compare with, as the arguments of `photometric`."""

    truth: Tensor  # [B,H,W,3] uint8
    matte: Tensor  # [B,H,W] uint8
    background: Tensor  # [B,3] 0..1
    ssim_weight: float
    mask_weight: float
    ssim_rows: tuple[int, int] = (1, 0)


def fuses_rendered_loss(like: Tensor) -> bool:
    """Whether `rendered_loss` takes tensors with the dtype and device of `like`: those of native kernels on the CPU."""
    native = native_for(like)
    return native is not None and not has_workspaces(native)


@dataclass(frozen=True)
class LossGradients:
    """Of the arguments of `rendered_loss` with these names."""

    local: LocalGaussians
    extra: Tensor
    bones: Bones
    look: LayerLook | None


@torch.no_grad()
def rendered_loss(
    local: LocalGaussians,
    extra: Tensor,
    bones: Bones,
    scene: LossScene,
    target: LossTarget,
    weight: Tensor,
    look: LayerLook | None = None,
) -> tuple[Tensor, Tensor, LossGradients]:
    """`photometric` of the images that `deform`, `bind`, `widen`, `layer` and `splat` make, and its gradients.

    Args:
        local: N Gaussians.
        extra: [B,M,C] blended offsets of the first M.
        bones: B poses of skull and torso.
        scene: what the images show.
        target: what they are compared with.
        weight: [B] of the images in the sum of losses whose gradients are computed.
        look: of the layer, if the scene has one.

    Returns:
        loss [B]; mean squared difference [B]; the gradients of the weighted sum of losses, with the bits of autograd
        through these operations.

    Raises:
        ValueError: a wrong shape or dtype, or tensors that only the single operations take.
    """
    _check(local, extra, bones, scene, target, weight, look)
    inputs = tuple(tensor.detach().contiguous() for tensor in (*vars(local).values(), extra, *vars(bones).values()))
    grads = tuple(map(torch.empty_like, inputs))
    loss, mse = (extra.new_empty(len(extra)) for _ in range(2))
    binding, stretch, camera, layer = scene.binding, scene.stretch, scene.camera, scene.layer
    fixed, changing, of_look = None, None, None
    if layer is not None and look is not None:
        mesh = layer.mesh
        fixed = (
            layer.vertices_cam, layer.shade, layer.start, layer.part, mesh.faces, mesh.texel_ids, mesh.fades, mesh.skin,
            layer.blur, layer.places,
        )  # fmt: skip
        of_parts = (None if value is None else value.detach() for value in (look.factors, look.delta, look.textures))
        changing = (*of_parts, look.outer, look.outer_distance)
        textures = None if look.textures is None else torch.empty_like(look.textures)
        of_look = LayerLook(torch.empty_like(look.factors), torch.empty_like(look.delta), textures)
    native_for(extra).rendered_loss(
        inputs[:5], inputs[5], scene.units,
        (scene.vertices, binding.triangles, binding.bary, binding.skin, *inputs[6:]),
        None if stretch is None else stretch.tensors(), scene.filter_scale,
        (camera.K, camera.world_to_cam, camera.width, camera.height, SplatSettings().near, scene.dilation),
        (*vars(target).values(), weight),
        fixed, changing, loss, mse, grads[:5], *grads[5:],
        None if of_look is None else (of_look.factors, of_look.delta, of_look.textures),
    )  # fmt: skip
    return loss, mse, LossGradients(LocalGaussians(*grads[:5]), grads[5], Bones(*grads[6:]), of_look)


def _check(
    local: LocalGaussians,
    extra: Tensor,
    bones: Bones,
    scene: LossScene,
    target: LossTarget,
    weight: Tensor,
    look: LayerLook | None,
) -> None:
    """Raise ValueError for arguments that do not fit each other; the kernels check their indices."""
    if not fuses_rendered_loss(local.offsets):
        raise ValueError("rendered_loss: only float32 on the CPU with native kernels; call the operations one by one")
    check_shape("extra", extra, ("B", "M", len(scene.units)))
    batch, count = len(extra), len(local)
    width, height = scene.camera.width, scene.camera.height
    check_shape("bones.quats", bones.quats, (batch, 2, 4))
    check_shape("bones.translations", bones.translations, (batch, 2, 3))
    check_shape("vertices", scene.vertices, (batch, "V", 3))
    check_shape("triangles", scene.binding.triangles, (count, 3))
    check_shape("camera.K", scene.camera.K, (batch, 3, 3))
    check_shape("truth", target.truth, (batch, height, width, 3))
    check_shape("matte", target.matte, (batch, height, width))
    check_shape("background", target.background, (batch, 3))
    check_shape("weight", weight, (batch,))
    check_bytes(extra, truth=target.truth, matte=target.matte)
    check_ssim_rows(target.ssim_rows)
    check_floats(extra, **vars(local), vertices=scene.vertices, background=target.background, weight=weight)
    layer = scene.layer
    if (layer is None) != (look is None):
        raise ValueError("rendered_loss: the look of a layer belongs to a scene with a layer")
    if layer is not None and look is not None:
        if (layer.places is None) != (look.textures is None) or look.outer is None:
            raise ValueError("rendered_loss: textures belong to a scene with reflections, `outer` to each look")
        check_shape("layer.vertices_cam", layer.vertices_cam, tuple(scene.vertices.shape))
        check_shape("layer.shade", layer.shade, tuple(scene.vertices.shape[:2]))
        check_flags("look.outer", look.outer, len(look.outer))
        check_shape("look.delta", look.delta, tuple(layer.start.shape))
        check_floats(extra, factors=look.factors, delta=look.delta, shade=layer.shade)
