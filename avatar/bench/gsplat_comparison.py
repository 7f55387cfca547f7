"""Timing of gsplat's rasterizer on the same tensors, after a check that both give the same image."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from avatar import ops
from avatar.bench.report import Part, Report
from avatar.bench.scene import Scene
from avatar.bench.stages import gaussians, parameters
from avatar.errors import HeadsplatError
from avatar.rendering.backends import backend_of
from avatar.types import Gaussians

MIN_PSNR = 50.0  # dB
Add = Callable[[Part, str, Callable[[], object], int], None]


def psnr(found: Tensor, expected: Tensor) -> float:
    """PSNR in dB of images in 0..1."""
    error = float((found - expected).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def compare_with_gsplat(scene: Scene, report: Report, add: Add) -> None:
    """Time both rasterizers, forward alone and with backward; adds a note where gsplat is missing or differs."""
    gsplat = backend_of("gsplat")
    try:
        gsplat.check()
    except HeadsplatError as error:
        note = f"Not compared with gsplat: {error}."
        if note not in report.notes:
            report.notes.append(note)
        return
    with torch.no_grad():
        inputs = gaussians(scene, ops.blend(None, scene.basis, scene.weights), parameters(scene))
    leaves = [value.contiguous().requires_grad_() for value in inputs]

    def ours() -> Tensor:
        means, quats, scales, opacities, colors = leaves
        return ops.splat(means, quats, scales, opacities, colors, scene.camera, with_depth=False).rgb

    def theirs() -> Tensor:
        means, quats, scales, opacities, sh = leaves
        return gsplat.rasterize(Gaussians(means, quats, scales, opacities, sh), scene.camera, with_depth=False).rgb

    decibels = psnr(theirs().detach(), ours().detach())
    if not decibels > MIN_PSNR:
        report.failed = True
        report.notes.append(f"{scene.count} Gaussians: gsplat's image differs, PSNR {decibels:.1f} dB; not timed.")
        return
    gradient = torch.ones_like(ours())
    for name, splat in (("headsplat", ours), ("gsplat", theirs)):

        def forward(splat: Callable[[], Tensor] = splat) -> None:
            with torch.no_grad():
                splat()

        def both_ways(splat: Callable[[], Tensor] = splat) -> None:
            torch.autograd.grad(splat(), leaves, gradient)

        add("peer", f"{name} forward", forward, scene.batch)
        add("peer", f"{name} forward and backward", both_ways, scene.batch)
