"""The measured operations: weights -> pixels, and one training step."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops
from avatar.bench.scene import LOCAL, Scene

SSIM_WEIGHT = 0.2
MASK_WEIGHT = 0.02
BETAS = (0.9, 0.99)  # the learning rate is so small that the scene hardly changes
EPS = 1e-15
RATE = 1e-6


def gaussians(scene: Scene, extra: Tensor, leaves: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The inputs means, quats, scales, opacities and colors of `ops.splat`.

    Args:
        scene: the scene.
        extra: [B,M,11] blendshape offsets.
        leaves: the parameters by name.

    Returns:
        means [B,N,3], quats [B,N,4], scales [B,N,3], opacities [B,N], colors [B,N,D,3].
    """
    offsets, local_quats, scales, opacities, sh = _deform(leaves, extra, scene.units)
    binding = (
        scene.vertices,
        scene.triangles,
        scene.bary,
        offsets,
        local_quats,
        scene.skin,
        scene.rotations,
        scene.translations,
    )
    if scene.stretch is None:
        means, quats = ops.bind(*binding)
    else:
        tensors = ops.vertex_stretch(scene.vertices, scene.stretch)
        means, quats, scales = ops.bind_stretched(*binding, scales, tensors, scene.stretch.rows)
    if "sh_rest" in leaves:
        rest = leaves["sh_rest"].expand(scene.batch, -1, -1, -1)
        sh = ops.rotate_sh(torch.cat([sh, rest], 2), quats)
    return means, quats, scales, opacities, sh


def _deform(leaves: dict[str, Tensor], extra: Tensor, units: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    offsets, quats, log_scales, logit_opacities, colors = (leaves[name] for name in LOCAL)
    return ops.deform(offsets, quats, log_scales, logit_opacities, colors, extra, units)


def parameters(scene: Scene) -> dict[str, Tensor]:
    """The trained parameters of a scene except the basis."""
    learned = {name: getattr(scene, name) for name in LOCAL}
    return learned if scene.sh_rest is None else learned | {"sh_rest": scene.sh_rest}


def render(scene: Scene) -> ops.SplatOutput:
    """Weights -> pixels, without gradients."""
    with torch.no_grad():
        extra = ops.blend(None, scene.basis, scene.weights)
        return ops.splat(*gaussians(scene, extra, parameters(scene)), scene.camera, with_depth=False)


class RenderPath:
    """Weights -> pixels as in a render loop: basis in half precision, preallocated buffers."""

    def __init__(self, scene: Scene) -> None:
        view = scene.camera
        self.scene = scene
        self.basis = scene.basis.half()
        self.learned = parameters(scene)
        device = scene.offsets.device
        self.buffers = ops.splat_buffers(
            scene.batch, scene.count, view.width, view.height, device=device, with_depth=False
        )

    @torch.no_grad()
    def __call__(self) -> None:
        extra = ops.blend(None, self.basis, self.scene.weights)
        ops.splat_into(self.buffers, *gaussians(self.scene, extra, self.learned), self.scene.camera)


class TrainingStep:
    """blend, deform, bind, splat, loss, backward and Adam for all parameters, always on the same images."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.leaves = {name: value.clone().requires_grad_() for name, value in parameters(scene).items()}
        self.weights = scene.weights
        self.basis = scene.basis.clone()
        self.moments = {name: (torch.zeros_like(leaf), torch.zeros_like(leaf)) for name, leaf in self.leaves.items()}
        stored = torch.bfloat16 if self.basis.device.type == "cpu" else self.basis.dtype
        self.basis_moments = torch.zeros_like(self.basis, dtype=stored), torch.zeros_like(self.basis, dtype=stored)
        out = render(scene)
        self.truth = (out.rgb.flip(2).clamp(0, 1) * 255).to(torch.uint8)
        self.matte = (out.alpha.flip(2) * 255).to(torch.uint8)
        self.background = torch.full((scene.batch, 3), 0.5, device=scene.offsets.device)

    def __call__(self) -> None:
        extra = ops.blend(None, self.basis, self.weights).requires_grad_()
        out = ops.splat(*gaussians(self.scene, extra, self.leaves), self.scene.camera, with_depth=False)
        loss, _ = ops.photometric(out.rgb, out.alpha, self.truth, self.matte, self.background, SSIM_WEIGHT, MASK_WEIGHT)
        variables = [*self.leaves.values(), extra]
        *gradients, outer = torch.autograd.grad(loss.sum(), variables)
        visible = gradients[LOCAL.index("logit_opacities")] != 0
        for (name, leaf), gradient in zip(self.leaves.items(), gradients, strict=True):
            ops.adam_step(leaf, gradient, *self.moments[name], RATE, *BETAS, EPS, 1, visible)
        shaped = visible[: self.basis.shape[1]]  # the first Gaussians have blendshapes
        ops.adam_outer_step(self.basis, self.weights, outer, *self.basis_moments, RATE, *BETAS, EPS, 1, shaped)
