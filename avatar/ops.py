"""The only door to the native kernels: argument checks, autograd, and the plain-PyTorch way where no kernel fits.

float32 tensors on the CPU go to `cuda_ext`; anything else goes to `avatar.reference`, which is dense and meant for
small inputs. Letters in shapes: B batch, N Gaussians, V vertices, F faces, H, W pixels, K bases, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import cuda_ext

from . import reference
from .records import Camera, check_shape
from .reference import SplatOutput

__all__ = ["SplatOutput", "adam_step", "bind", "blend", "mesh", "splat", "splat_features", "ssim"]


def _check_floats(like: Tensor, **tensors: Tensor) -> None:
    """Raise ValueError unless all have the float dtype and the device of `like`."""
    if not like.dtype.is_floating_point:
        raise ValueError(f"expected floating-point tensors, got {like.dtype}")
    for name, tensor in tensors.items():
        if tensor.dtype != like.dtype:
            raise ValueError(f"{name}: expected {like.dtype} like the first argument, got {tensor.dtype}")
        if tensor.device != like.device:
            raise ValueError(f"{name}: expected device {like.device} like the first argument, got {tensor.device}")


def _check_integers(name: str, tensor: Tensor) -> None:
    if tensor.dtype != torch.int64:
        raise ValueError(f"{name}: expected int64, got {tensor.dtype}")


def _is_native(tensor: Tensor) -> bool:
    """Whether the compiled kernels take tensors like this one."""
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu" and cuda_ext.available("cpu")


@dataclass(frozen=True)
class Prepared:
    """Splats projected, sorted and tiled by the native kernels, for `splat_features`."""

    handle: Any
    batch: int
    count: int
    width: int
    height: int


@dataclass(frozen=True)
class _SplatCall:
    """What `splat` hands to autograd besides tensors that have gradients."""

    intrinsics: Tensor
    world_to_cam: Tensor
    width: int
    height: int
    near: float
    dilation: float
    flags: int  # 1 antialias, 2 cutoff
    with_weights: bool


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _SplatCall, keep: list[Any], *inputs: Tensor) -> tuple[Tensor | None, ...]:
        native = cuda_ext.native()
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        batch, count = inputs[3].shape
        ctx.handle = native.prepare(
            *inputs, call.intrinsics, call.world_to_cam, call.width, call.height, call.near, call.dilation, call.flags
        )
        rgb = torch.empty(batch, call.height, call.width, 3)
        alpha = torch.empty(batch, call.height, call.width)
        depth = torch.empty_like(alpha)
        weights = torch.empty(batch, count) if call.with_weights else None
        native.rasterize(ctx.handle, rgb, alpha, depth, weights)
        keep.append(ctx.handle)
        ctx.save_for_backward(*inputs, rgb, alpha, depth)
        ctx.set_materialize_grads(False)
        if weights is not None:
            ctx.mark_non_differentiable(weights)
        return rgb, alpha, depth, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, rgb, alpha, depth = ctx.saved_tensors
        out = tuple(torch.empty_like(tensor) for tensor in inputs)
        given = (None if grad is None else grad.contiguous() for grad in grads[:3])
        cuda_ext.native().splat_backward(ctx.handle, tuple(inputs), (rgb, alpha, depth), *given, out)
        return None, None, *out


def _native_splat(call: _SplatCall, *inputs: Tensor) -> SplatOutput:
    keep: list[Any] = []
    rgb, alpha, depth, weights = _Splat.apply(call, keep, *inputs)
    batch, count = inputs[3].shape
    return SplatOutput(rgb, alpha, depth, weights, Prepared(keep[0], batch, count, call.width, call.height))


def splat(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    camera: Camera,
    *,
    near: float = 0.01,
    dilation: float = 0.3,
    antialias: bool = False,
    with_weights: bool = False,
    cutoff: bool = True,
) -> SplatOutput:
    """Render Gaussians by projecting them (EWA) and blending front to back at the pixel centres.

    Differentiable in `means`, `quats`, `scales`, `opacities` and `colors`. A Gaussian with any number that is not
    finite, no direction in its quaternion, or its centre not beyond `near` is culled and gets zero gradients.

    Args:
        means: [B,N,3] metres, world.
        quats: [B,N,4] wxyz, normalised here.
        scales: [B,N,3] metres, standard deviations.
        opacities: [B,N] 0..1.
        colors: [B,N,3].
        camera: B pinhole cameras.
        near: metres along the camera axis; what is not beyond is culled.
        dilation: pixels^2 added to the projected covariance's diagonal.
        antialias: scale opacity so that dilation does not brighten small splats (Mip-Splatting, Yu et al. 2024).
        with_weights: also sum each Gaussian's blend weight over the pixels.
        cutoff: False keeps alphas under 1/255 and pixels that are nearly opaque, for finite differences; slow.

    Raises:
        ValueError: an argument's shape, dtype or device does not fit; the text names it.
    """
    check_shape("means", means, ("B", "N", 3))
    batch, count = means.shape[:2]
    check_shape("quats", quats, (batch, count, 4))
    check_shape("scales", scales, (batch, count, 3))
    check_shape("opacities", opacities, (batch, count))
    check_shape("colors", colors, (batch, count, 3))
    check_shape("camera.K", camera.K, (batch, 3, 3))
    check_shape("camera.world_to_cam", camera.world_to_cam, (batch, 4, 4))
    _check_floats(means, quats=quats, scales=scales, opacities=opacities, colors=colors)
    if _is_native(means):
        call = _SplatCall(
            camera.K.to(means).contiguous(), camera.world_to_cam.to(means).contiguous(), camera.width, camera.height,
            near, dilation, int(antialias) + 2 * int(cutoff), with_weights,
        )  # fmt: skip
        return _native_splat(call, means, quats, scales, opacities, colors)
    return reference.splat(
        means, quats, scales, opacities, colors, camera,
        near=near, dilation=dilation, antialias=antialias, with_weights=with_weights, cutoff=cutoff,
    )  # fmt: skip


def splat_features(prepared: object, colors: Tensor) -> Tensor:
    """Blend other per-Gaussian 3-vectors with the projection, order and tiles of an earlier `splat`; no gradient.

    Args:
        prepared: `SplatOutput.prepared`.
        colors: [B,N,3], numbers that are not finite count as zero.

    Returns:
        [B,H,W,3] over zero.
    """
    if isinstance(prepared, Prepared):
        check_shape("colors", colors, (prepared.batch, prepared.count, 3))
        rgb = torch.empty(prepared.batch, prepared.height, prepared.width, 3)
        cuda_ext.native().rasterize_colors(prepared.handle, colors.detach().float().contiguous(), rgb)
        return rgb
    if isinstance(prepared, reference.Projected):
        batch, count = prepared.depths.shape
        check_shape("colors", colors, (batch, count, 3))
        return reference.splat_features(prepared, colors)
    raise ValueError(f"prepared: expected SplatOutput.prepared, got {type(prepared).__name__}")


def mesh(
    vertices_cam: Tensor, faces: Tensor, K: Tensor, width: int, height: int, near: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Z-buffer a triangle mesh at the pixel centres, both sides of every face; no gradient.

    Args:
        vertices_cam: [B,V,3] metres, camera axes (x right, y down, z forward).
        faces: [F,3] int64.
        K: [B,3,3] pixels.
        width, height: pixels.
        near: metres; nearer surfaces are not seen.

    Returns:
        face_id [B,H,W] int32 (-1 where nothing), perspective-correct barycentrics [B,H,W,3], depth [B,H,W] metres (0
        where nothing). Of faces at the same depth the first wins.
    """
    check_shape("vertices_cam", vertices_cam, ("B", "V", 3))
    check_shape("faces", faces, ("F", 3))
    check_shape("K", K, (vertices_cam.shape[0], 3, 3))
    _check_integers("faces", faces)
    _check_indices("faces", faces, vertices_cam.shape[1])
    _check_floats(vertices_cam, K=K)
    if not _is_native(vertices_cam):
        return reference.mesh(vertices_cam.detach(), faces, K, width, height, near)
    shape = (vertices_cam.shape[0], height, width)
    face_id = torch.empty(shape, dtype=torch.int32)
    bary, depth = torch.empty(*shape, 3), torch.empty(shape)
    points = vertices_cam.detach().contiguous()
    cuda_ext.native().mesh(
        points, faces.contiguous(), K.detach().contiguous(), width, height, near, face_id, bary, depth
    )
    return face_id, bary, depth


def _check_indices(name: str, indices: Tensor, size: int) -> None:
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise ValueError(f"{name}: expected indices in 0..{size - 1}, got {int(indices.min())}..{int(indices.max())}")


class _Ssim(torch.autograd.Function):
    """The gradient is made with the value, while the blurred moments are at hand; backward scales it."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        mean = torch.empty(a.shape[0])
        grad = torch.empty(a.shape) if ctx.needs_input_grad[0] else None
        cuda_ext.native().ssim(a.detach().contiguous(), b.detach().contiguous(), mean, grad)
        ctx.grad = grad
        return mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.grad * grad[:, None, None, None], None


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity [B] of images [B,H,W,3] in 0..1 (Wang et al. 2004), differentiable in `a` only.

    11x11 Gaussian window of sigma 1.5, zero padding, all pixels and channels counted alike.
    """
    check_shape("a", a, ("B", "H", "W", 3))
    check_shape("b", b, tuple(a.shape))
    _check_floats(a, b=b)
    return _Ssim.apply(a, b) if _is_native(a) else reference.ssim(a, b.detach())


class _Bind(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = tuple(tensor.detach().contiguous() for tensor in inputs)
        means, quats = torch.empty_like(inputs[3]), torch.empty_like(inputs[4])
        cuda_ext.native().bind(inputs, means, quats)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return means, quats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        vertices, _, _, offsets, quats, _, rotations, translations = (
            torch.empty_like(tensor) if tensor.is_floating_point() else None for tensor in inputs
        )
        vertices = vertices if ctx.needs_input_grad[0] else None
        given = (None if grad is None else grad.contiguous() for grad in grads)
        cuda_ext.native().bind_backward(inputs, *given, vertices, offsets, quats, rotations, translations)
        return vertices, None, None, offsets, quats, None, rotations, translations


def bind(
    vertices: Tensor,
    triangles: Tensor,
    bary: Tensor,
    offsets: Tensor,
    quats: Tensor,
    skin: Tensor,
    rotations: Tensor,
    translations: Tensor,
) -> tuple[Tensor, Tensor]:
    """Carry Gaussians from their triangles into the world; two bones, linear blend skinning.

    Differentiable in `vertices`, `offsets`, `quats`, `rotations` and `translations`.

    Args:
        vertices: [B,V,3] metres, skull frame.
        triangles: [N,3] int64, the corners of each Gaussian's triangle.
        bary: [N,3], sums to 1.
        offsets: [B,N,3] metres along the axes of the triangle's frame (`geometry.triangle_frames`).
        quats: [B,N,4] wxyz relative to the triangle's frame, normalised here.
        skin: [N] 0..1, the second bone's share.
        rotations: [B,2,4] unit wxyz, skull then torso.
        translations: [B,2,3] metres; a bone moves x to R x + t.

    Returns:
        means [B,N,3] metres, world; quats [B,N,4] unit, world.
    """
    check_shape("vertices", vertices, ("B", "V", 3))
    check_shape("triangles", triangles, ("N", 3))
    batch, count = vertices.shape[0], triangles.shape[0]
    check_shape("bary", bary, (count, 3))
    check_shape("offsets", offsets, (batch, count, 3))
    check_shape("quats", quats, (batch, count, 4))
    check_shape("skin", skin, (count,))
    check_shape("rotations", rotations, (batch, 2, 4))
    check_shape("translations", translations, (batch, 2, 3))
    _check_integers("triangles", triangles)
    _check_indices("triangles", triangles, vertices.shape[1])
    _check_floats(
        vertices, bary=bary, offsets=offsets, quats=quats, skin=skin, rotations=rotations, translations=translations
    )
    run = _Bind.apply if _is_native(vertices) else reference.bind
    return run(vertices, triangles, bary, offsets, quats, skin, rotations, translations)


def blend(base: Tensor, basis: Tensor, weights: Tensor) -> Tensor:
    """Linear blendshapes: base [N,C] + weights [B,K] x basis [K,N,C] -> [B,N,C], differentiable in all."""
    check_shape("base", base, ("N", "C"))
    check_shape("basis", basis, ("K", *base.shape))
    check_shape("weights", weights, ("B", basis.shape[0]))
    _check_floats(base, basis=basis, weights=weights)
    return torch.addmm(base.reshape(-1), weights, basis.reshape(basis.shape[0], -1)).reshape(-1, *base.shape)


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
) -> None:
    """One step of Adam in place on `param`, `m` and `v`, all of one shape.

    Args:
        lr: one rate, or one for each row [R] of `param` [R,...].
        step: 1 for the first step.
    """
    for name, tensor in (("grad", grad), ("m", m), ("v", v)):
        check_shape(name, tensor, tuple(param.shape))
    _check_floats(param, grad=grad, m=m, v=v)
    if isinstance(lr, Tensor):
        check_shape("lr", lr, (param.shape[0],))
    if step < 1:
        raise ValueError(f"step: expected 1 or more, got {step}")
    native = _is_native(param) and all(tensor.is_contiguous() for tensor in (param, m, v))
    if not native or not param.numel():
        reference.adam_step(param, grad, m, v, lr, beta1, beta2, eps, step)
        return
    rates = lr.to(param).contiguous() if isinstance(lr, Tensor) else None
    cuda_ext.native().adam_step(
        param.detach(), grad.contiguous(), m, v, rates, 0.0 if isinstance(lr, Tensor) else lr, beta1, beta2, eps,
        1 - beta1**step, 1 - beta2**step,
    )  # fmt: skip
