"""Every CUDA kernel once on small inputs, for compute-sanitizer: `python -m tests.bench.gpu_cases`."""

from __future__ import annotations

import torch

from avatar import ops
from avatar.bench.scene import Scene, head_scene
from avatar.bench.stages import TrainingStep, gaussians, render

COUNT, SIZE, BASES = 700, 49, 5  # ragged in every tile, block and warp


def small_scene(device: torch.device, sh_degree: int, batch: int = 2) -> Scene:
    """A head shell with more Gaussians than one block and a picture that ends inside a tile."""
    return head_scene(COUNT, SIZE, BASES, sh_degree).repeated(batch).to(device)


def run(device: torch.device) -> None:
    """Path and training step with plain and view-dependent colors, then what they do not touch."""
    for sh_degree in (0, 3):
        scene = small_scene(device, sh_degree)
        assert render(scene).rgb.isfinite().all()
        TrainingStep(scene)()
    scene = small_scene(device, 0)
    extra = ops.blend(None, scene.basis, scene.weights)
    leaves = [value.detach().requires_grad_() for value in gaussians(scene, extra)]
    out = ops.splat(*leaves, scene.camera, with_weights=True, antialias=True)
    ops.splat_features(out.prepared, torch.rand_like(leaves[0]))
    torch.autograd.grad(out.rgb.sum() + out.alpha.sum() + out.depth.sum(), leaves)
    first, second = torch.rand(2, 2, SIZE, SIZE, 3, device=device).unbind(0)
    ops.ssim(first.requires_grad_(), second).sum().backward()
    seen = scene.vertices + torch.tensor([0.0, 0.0, 1.0], device=device)
    ops.mesh(seen, scene.binding.triangles, scene.camera.K, SIZE, SIZE)


if __name__ == "__main__":
    run(torch.device("cuda"))
    torch.cuda.synchronize()
