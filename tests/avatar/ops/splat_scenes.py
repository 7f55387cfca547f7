"""Small random scenes and comparisons for the tests of `splat`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avatar.ops import SplatOutput
from avatar.types import Camera

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
IMAGES = ("rgb", "alpha", "depth")


def scene(batch: int = 1, count: int = 40, seed: int = 0, dtype: torch.dtype = torch.float32) -> Inputs:
    """A cloud half a meter wide one meter before the camera: means, quats (not unit), scales, opacities, colors."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(batch, count, *shape, generator=source, dtype=torch.float64)

    means = (draw(3) - 0.5) * torch.tensor([0.5, 0.5, 0.3]) - torch.tensor([0.0, 0.0, 1.0])
    inputs = (means, draw(4) - 0.5, 0.004 + 0.05 * draw(3), 0.02 + 0.95 * draw(), draw(3))
    return tuple(value.to(dtype) for value in inputs)  # type: ignore[return-value]


def sh_scene(
    batch: int = 1, count: int = 40, terms: int = 16, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Inputs:
    """`scene` with spherical-harmonic coefficients for colors; about one channel in ten is clamped at black."""
    *geometry, colors = scene(batch, count, seed, dtype)
    source = torch.Generator().manual_seed(seed + 1)
    sh = 0.3 * torch.randn(batch, count, terms, 3, generator=source, dtype=torch.float64)
    sh[:, :, 0] = 3 * (colors - 0.4)
    return (*geometry, sh.to(dtype))  # type: ignore[return-value]


def camera(batch: int = 1, width: int = 49, height: int = 37, focal: float = 60.0) -> Camera:
    """The same frontal camera for every image."""
    one = Camera.facing(focal, width, height)
    return Camera(one.K.repeat(batch, 1, 1), one.world_to_cam.repeat(batch, 1, 1), width, height)


def splat_and_gradients(
    splat: Callable[..., SplatOutput], inputs: Inputs, view: Camera, **options: object
) -> tuple[SplatOutput, tuple[Tensor, ...]]:
    """The images and the gradients of a fixed random weighting of all of them."""
    leaves = tuple(value.detach().clone().requires_grad_() for value in inputs)
    out = splat(*leaves, view, **options)
    source = torch.Generator().manual_seed(7)
    total = out.rgb.new_zeros(())
    for name in IMAGES:
        image = getattr(out, name)
        total = total + (image * torch.randn(image.shape, generator=source).to(image)).sum()
    return out, torch.autograd.grad(total, leaves)


def largest(found: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest expected value."""
    expected, found = expected.detach(), found.detach()
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    return float((found.double() - expected.double()).abs().max()) / max(scale, 1e-12) if expected.numel() else 0.0
