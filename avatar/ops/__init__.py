"""The only door to the native kernels: argument checks, autograd, and the plain-PyTorch way where no kernel fits.

float32 tensors go to `cuda_ext`; anything else goes to `avatar.reference`, which is dense and meant for small inputs.
Letters in shapes: B batch, N Gaussians, V vertices, F faces, H, W pixels, K bases, C channels.
"""

from avatar.reference import SplatOutput

from .bind import bind
from .blend import blend
from .buffers import SplatBuffers, splat_buffers, splat_into
from .images import ssim
from .mesh import mesh
from .optimize import adam_step
from .splat import splat, splat_features

__all__ = [
    "SplatBuffers",
    "SplatOutput",
    "adam_step",
    "bind",
    "blend",
    "mesh",
    "splat",
    "splat_buffers",
    "splat_features",
    "splat_into",
    "ssim",
]
