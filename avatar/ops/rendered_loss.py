"""From local Gaussians to the photometric loss of their images: one operation for a step of training.

The kernels are those of `deform`, `bind`, `layer`, `add_reflections`, `splat` and `photometric`, called one after the
other; between them autograd would take as long as a third of their time. The results have the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatar.reference import SplatSettings
from avatar.types import Binding, Bones, Camera, LayerMesh, LocalGaussians, VertexStretch, check_shape

from .backend import native_for
from .checks import check_bytes, check_floats, check_ssim_rows
from .frames import Frame, SplatImages, has_workspaces, render
from .layer import CpuLayer
from .splat import call_of


@dataclass(frozen=True)
class LayerScene:
    """A mesh layer in B poses, without its colors."""

    mesh: LayerMesh
    vertices_cam: Tensor  # [B,V,3] meters, camera axes
    shade: Tensor  # [B,V] factor of the color
    fades: Tensor  # [B,N] how far its stencil fades each Gaussian
    blur: float  # meters
    places: Tensor | None = None  # [B,2,3] x, y, radius of the two reflections, pixels of the image; None: it has none


@dataclass(frozen=True)
class LossScene:
    """What B images show as far as no step of training changes it."""

    vertices: Tensor  # [B,V,3] meters, skull frame
    binding: Binding
    stretch: VertexStretch | None
    units: Tensor  # [C] of the channels of blended offsets
    filter_scale: float  # meters, standard deviation of the low-pass filter
    dilation: float  # pixels^2
    camera: Camera  # [B]
    layer: LayerScene | None


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


def rendered_loss(
    local: LocalGaussians,
    extra: Tensor,
    bones: Bones,
    scene: LossScene,
    target: LossTarget,
    texels: Tensor | None = None,
    textures: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`photometric` of the images that `deform`, `bind`, `layer`, `add_reflections` and `splat` make one after another.

    Differentiable in `local`, `extra`, `bones`, `texels` and `textures`; the gradients have the bits of these
    operations.

    Args:
        local: N Gaussians.
        extra: [B,M,C] blended offsets of the first M.
        bones: B poses of skull and torso.
        scene: what the images show.
        target: what they are compared with.
        texels: [T,3] colors of the layer, if the scene has one.
        textures: [2,S,S] of its reflections, if it has some.

    Returns:
        loss [B]; mean squared difference [B], no gradient.

    Raises:
        ValueError: a wrong shape or dtype, or tensors that only the single operations take.
    """
    _check(local, extra, bones, scene, target, texels, textures)
    colors = () if texels is None else (texels,) if textures is None else (texels, textures)
    return _RenderedLoss.apply(scene, target, *vars(local).values(), extra, bones.quats, bones.translations, *colors)


#: Differentiable arguments of `_RenderedLoss` before those of the layer: five of the Gaussians, offsets, two of bones.
_LOCAL = 5


class _RenderedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scene: LossScene, target: LossTarget, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        native = native_for(inputs[0])
        posed = _Posed(native, scene, inputs)
        layer = None if scene.layer is None else _Layer(native, scene, inputs[_LOCAL + 3 :])
        images = _images(scene, posed)
        frame = render(_call(scene), posed.world, images, None if layer is None else layer.arrays)
        loss, mse = (posed.scales.new_empty(len(images.rgb)) for _ in range(2))
        ctx.grads = torch.empty_like(images.rgb), torch.empty_like(images.alpha)
        weights = target.ssim_weight, target.mask_weight, *target.ssim_rows
        native.photometric(
            images.rgb, images.alpha, target.truth, target.matte, target.background, *weights, loss, mse, *ctx.grads
        )
        ctx.scene, ctx.inputs, ctx.posed, ctx.layer, ctx.frame, ctx.images = scene, inputs, posed, layer, frame, images
        ctx.mark_non_differentiable(mse)
        return loss, mse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        native = native_for(ctx.images.rgb)
        of_rgb, of_alpha = ctx.grads
        if not bool((grads[0] == 1).all()):
            of_rgb *= grads[0][:, None, None, None]
            of_alpha *= grads[0][:, None, None]
        of_colors = ctx.posed.backward_splat(ctx.frame, ctx.images, (of_rgb, of_alpha, None), ctx.layer)
        found = ctx.posed.backward(native, ctx.scene, ctx.inputs)
        of_layer = () if ctx.layer is None else ctx.layer.backward(native, of_colors)
        return None, None, *found, *of_layer


class _Posed:
    """Gaussians in the world and, after `backward_splat`, their gradients."""

    def __init__(self, native: Any, scene: LossScene, inputs: tuple[Tensor, ...]) -> None:
        *local, extra, bone_quats, bone_translations = inputs[: _LOCAL + 3]
        batch, count = len(extra), len(local[0])
        new = extra.new_empty
        offsets, quats, self.local_scales = new(batch, count, 3), new(batch, count, 4), new(batch, count, 3)
        opacities, sh = new(batch, count), new(batch, count, 1, 3)
        native.deform(tuple(local), extra, scene.units, (offsets, quats, self.local_scales, opacities, sh))
        binding = scene.binding
        self._bound = (scene.vertices, binding.triangles, binding.bary, offsets, quats, binding.skin, bone_quats,
                       bone_translations)  # fmt: skip
        means, turned, self.scales = torch.empty_like(offsets), torch.empty_like(quats), self.local_scales
        self._stretch = None
        if scene.stretch is None:
            native.bind(self._bound, None, means, turned, None)
        else:
            self.scales = torch.empty_like(self.local_scales)
            self._stretch = self.local_scales, scene.stretch.tensors, scene.stretch.rows
            native.bind(self._bound, self._stretch, means, turned, self.scales)
        wide = self.scales
        if scene.filter_scale:
            wide = (self.scales * self.scales).add_(scene.filter_scale * scene.filter_scale).sqrt_()
        self.world = means, turned, wide, opacities, sh
        self._grads: tuple[Tensor, ...] = ()

    def backward_splat(self, frame: Frame, images: SplatImages, grads: Any, layer: _Layer | None) -> Tensor | None:
        """Gradients of the Gaussians in the world, kept, and of the color of the layer, returned."""
        self._grads = tuple(torch.empty_like(tensor) for tensor in self.world)
        # Zeros: the window of a layer may extend beyond the image.
        of_colors = None if layer is None else torch.zeros_like(layer.color)
        frame.backward(self.world, images, grads, self._grads, of_colors)
        return of_colors

    def backward(self, native: Any, scene: LossScene, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Gradients of the inputs before those of the layer."""
        of_means, of_quats, of_scales, of_opacities, of_sh = self._grads
        if scene.filter_scale:
            of_scales = of_scales.mul_(self.scales).div_(self.world[2])
        *local, extra, bone_quats, bone_translations = inputs[: _LOCAL + 3]
        offsets, quats = (torch.empty_like(tensor) for tensor in self._bound[3:5])
        of_bones = torch.empty_like(bone_quats), torch.empty_like(bone_translations)
        of_local_scales = of_scales
        if self._stretch is None:
            native.bind_backward(
                self._bound, None, (of_means, of_quats, None), (None, offsets, quats, *of_bones, None, None)
            )
        else:
            of_local_scales = torch.empty_like(of_scales)
            native.bind_backward(
                self._bound,
                self._stretch,
                (of_means, of_quats, of_scales),
                (None, offsets, quats, *of_bones, of_local_scales, None),
            )
        *of_local, of_extra = (torch.empty_like(tensor) for tensor in (*local, extra))
        grads = offsets, quats, of_local_scales, of_opacities, of_sh
        native.deform_backward(self.local_scales, self.world[3], grads, scene.units, tuple(of_local), of_extra)
        return *of_local, of_extra, *of_bones


class _Layer:
    """The images of a layer, with its reflections."""

    def __init__(self, native: Any, scene: LossScene, colors: tuple[Tensor, ...]) -> None:
        assert scene.layer is not None
        posed, camera = scene.layer, scene.camera
        mesh = posed.mesh
        self._inputs = (posed.vertices_cam, posed.shade, colors[0], mesh.faces, mesh.texel_ids, mesh.fades, mesh.skin,
                        camera.K)  # fmt: skip
        self._layer = CpuLayer(self._inputs, (camera.width, camera.height, SplatSettings().near, posed.blur))
        width, height = self._layer.size
        shape = len(posed.vertices_cam), height, width
        coverage, depth, stencil = (posed.shade.new_empty(shape) for _ in range(3))
        self.color = posed.shade.new_empty(*shape, 3)
        self._layer.render(self._inputs, (self.color, coverage, depth, stencil))
        origin = self._layer.origin
        self._textures = colors[1] if posed.places is not None else None
        if posed.places is not None:
            self._places = posed.places.clone()
            self._places[..., :2] -= origin[:, None]
            native.add_reflections(self.color, coverage, self._textures, self._places)
        self._coverage = coverage
        self.arrays = self.color, coverage, depth, stencil, origin, posed.fades

    def backward(self, native: Any, of_color: Tensor) -> tuple[Tensor, ...]:
        """Gradients of texels and textures."""
        of_texels = torch.empty_like(self._inputs[2])
        self._layer.backward(self._inputs, of_color, of_texels)
        if self._textures is None:
            return (of_texels,)
        of_textures = torch.zeros_like(self._textures)
        native.add_reflections_backward(of_color, self._coverage, self._places, of_textures)
        return of_texels, of_textures


def _images(scene: LossScene, posed: _Posed) -> SplatImages:
    camera = scene.camera
    batch, count = posed.world[3].shape
    return SplatImages.empty(batch, count, camera.width, camera.height, depth=False, weights=False, like=posed.world[0])


def _call(scene: LossScene) -> Any:
    camera = scene.camera
    return call_of(SplatSettings(dilation=scene.dilation), camera.K, camera.world_to_cam, camera)


def _check(
    local: LocalGaussians,
    extra: Tensor,
    bones: Bones,
    scene: LossScene,
    target: LossTarget,
    texels: Tensor | None,
    textures: Tensor | None,
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
    check_bytes(extra, truth=target.truth, matte=target.matte)
    check_ssim_rows(target.ssim_rows)
    check_floats(extra, **vars(local), vertices=scene.vertices, background=target.background)
    layer = scene.layer
    if (layer is None) != (texels is None) or (layer is None or layer.places is None) != (textures is None):
        raise ValueError("rendered_loss: texels and textures belong to a scene with a layer and reflections")
    if layer is not None and texels is not None:
        check_shape("layer.vertices_cam", layer.vertices_cam, tuple(scene.vertices.shape))
        check_shape("layer.shade", layer.shade, tuple(scene.vertices.shape[:2]))
        check_shape("layer.fades", layer.fades, (batch, count))
        check_shape("texels", texels, ("T", 3))
        check_floats(extra, texels=texels, shade=layer.shade, fades=layer.fades)
