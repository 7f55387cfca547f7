"""The measured operations: weights -> pixels, and one training step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar import ops
from avatar.bench.scene import Scene
from avatar.types import LOCAL_NAMES, VertexStretch, map_tensors

SSIM_WEIGHT = 0.2
MASK_WEIGHT = 0.02
BETAS = (0.9, 0.99)
EPS = 1e-15
RATE = 1e-6  # so small that the scene hardly changes


def gaussians(scene: Scene, extra: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The inputs means, quats, scales, opacities and colors of `ops.splat`.

    Args:
        scene: the scene.
        extra: [B,M,11] blendshape offsets.

    Returns:
        means [B,N,3], quats [B,N,4], scales [B,N,3], opacities [B,N], colors [B,N,D,3].
    """
    deformed = ops.deform(scene.local, extra, scene.units)
    stretch = None
    if scene.stretch is not None:
        stretch = VertexStretch(ops.vertex_stretch(scene.vertices, scene.stretch), scene.stretch.rows)
    means, quats, scales = ops.bind(scene.vertices, scene.binding, deformed, scene.bones, stretch)
    sh = deformed.sh
    if scene.sh_rest is not None:
        sh = ops.rotate_sh(torch.cat([sh, scene.sh_rest.expand(scene.batch, -1, -1, -1)], 2), quats)
    return means, quats, scales, deformed.opacities, sh


def render(scene: Scene) -> ops.SplatOutput:
    """Weights -> pixels, without gradients."""
    with torch.no_grad():
        extra = ops.blend(None, scene.basis, scene.weights)
        return ops.splat(*gaussians(scene, extra), scene.camera, with_depth=False)


class RenderPath:
    """Weights -> pixels as in a render loop: basis in half precision, preallocated buffers."""

    def __init__(self, scene: Scene) -> None:
        view = scene.camera
        self.scene = scene
        self.basis = scene.basis.half()
        device = scene.units.device
        self.buffers = ops.splat_buffers(
            scene.batch, scene.count, view.width, view.height, device=device, with_depth=False
        )

    @torch.no_grad()
    def __call__(self) -> None:
        extra = ops.blend(None, self.basis, self.scene.weights)
        ops.splat_into(self.buffers, *gaussians(self.scene, extra), self.scene.camera)


class TrainingStep:
    """blend, deform, bind, splat, loss, backward and Adam for all parameters, always on the same images."""

    def __init__(self, scene: Scene) -> None:
        local = map_tensors(lambda value: value.clone().requires_grad_(), scene.local)
        rest = None if scene.sh_rest is None else scene.sh_rest.clone().requires_grad_()
        self.scene = replace(scene, local=local, sh_rest=rest)
        self.leaves = dict(vars(local)) if rest is None else vars(local) | {"sh_rest": rest}
        self.weights = scene.weights
        self.basis = scene.basis.clone()
        self.moments = {name: (torch.zeros_like(leaf), torch.zeros_like(leaf)) for name, leaf in self.leaves.items()}
        stored = torch.bfloat16 if self.basis.device.type == "cpu" else self.basis.dtype
        self.basis_moments = torch.zeros_like(self.basis, dtype=stored), torch.zeros_like(self.basis, dtype=stored)
        out = render(scene)
        self.truth = (out.rgb.flip(2).clamp(0, 1) * 255).to(torch.uint8)
        self.matte = (out.alpha.flip(2) * 255).to(torch.uint8)
        self.background = torch.full((scene.batch, 3), 0.5, device=scene.units.device)

    def __call__(self) -> None:
        extra = ops.blend(None, self.basis, self.weights).requires_grad_()
        out = ops.splat(*gaussians(self.scene, extra), self.scene.camera, with_depth=False)
        loss, _ = ops.photometric(out.rgb, out.alpha, self.truth, self.matte, self.background, SSIM_WEIGHT, MASK_WEIGHT)
        variables = [*self.leaves.values(), extra]
        *gradients, outer = torch.autograd.grad(loss.sum(), variables)
        visible = gradients[LOCAL_NAMES.index("logit_opacities")] != 0
        for (name, leaf), gradient in zip(self.leaves.items(), gradients, strict=True):
            ops.adam_step(leaf, gradient, *self.moments[name], RATE, *BETAS, EPS, 1, visible)
        shaped = visible[: self.basis.shape[1]]  # the first Gaussians have blendshapes
        ops.adam_outer_step(self.basis, self.weights, outer, *self.basis_moments, RATE, *BETAS, EPS, 1, shaped)
