"""Reference of real spherical harmonics to degree 3, with the signs of 3D Gaussian splatting (Kerbl et al. 2023).

Terms are ordered by band, in each band from order -l to l; Y_1 = c (-y, z, -x). Band l is a homogeneous polynomial of
degree l, so a term is defined for any vector and is a spherical harmonic on the unit sphere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatar.geometry.rotations import SH_C0, quat_to_matrix
from avatar.types import Camera

#: Number of terms of the degrees 0 to 3.
SH_TERMS = (1, 4, 9, 16)
#: Shorter vectors have no direction; all terms but the first are zero for them.
NORM_MIN = 1e-12
#: Directions for the least-squares fit of a rotated function's coefficients.
SAMPLES = 64


def sh_basis(directions: Tensor, terms: int) -> Tensor:
    """The first `terms` spherical harmonics [...,D] at `directions` [...,3]."""
    x, y, z = directions.unbind(-1)
    xx = x * x
    yy = y * y
    zz = z * z
    half = 0.5
    pi = math.pi
    values = [torch.full_like(x, SH_C0)]
    first = math.sqrt(3 / (4 * pi))
    values += [-first * y, first * z, -first * x]
    second = half * math.sqrt(15 / pi)
    values += [
        second * x * y,
        -second * y * z,
        0.25 * math.sqrt(5 / pi) * (2 * zz - xx - yy),
        -second * x * z,
        half * second * (xx - yy),
    ]
    outer = 0.25 * math.sqrt(35 / (2 * pi))
    middle = 0.25 * math.sqrt(21 / (2 * pi))
    inner = half * math.sqrt(105 / pi)
    values += [
        -outer * y * (3 * xx - yy),
        inner * x * y * z,
        -middle * y * (4 * zz - xx - yy),
        0.25 * math.sqrt(7 / pi) * z * (2 * zz - 3 * xx - 3 * yy),
        -middle * x * (4 * zz - xx - yy),
        half * inner * z * (xx - yy),
        -outer * x * (xx - 3 * yy),
    ]
    return torch.stack(values[:terms], -1)


def sh_colors(sh: Tensor, means: Tensor, camera: Camera) -> Tensor:
    """View-dependent colors [B,N,3] of Gaussians with coefficients `sh` [B,N,D,3]: max(0, 0.5 + Y sh)."""
    pose = camera.world_to_cam.to(means)
    centers = -(pose[:, :3, 3, None] * pose[:, :3, :3]).sum(1)
    offsets = means - centers[:, None]
    valid = (offsets * offsets).sum(-1, keepdim=True) > NORM_MIN * NORM_MIN
    directions = torch.where(valid, offsets, torch.ones_like(offsets))
    directions = torch.where(valid, torch.nn.functional.normalize(directions, dim=-1), torch.zeros_like(offsets))
    return torch.relu(0.5 + torch.einsum("bnd,bndc->bnc", sh_basis(directions, sh.shape[2]), sh))


def rotate_sh(sh: Tensor, quats: Tensor) -> Tensor:
    """Reference of `avatar.ops.rotate_sh`: a least-squares fit to the rotated function at many directions."""
    index = torch.arange(SAMPLES, dtype=sh.dtype, device=sh.device) + 0.5
    height = 1 - 2 * index / SAMPLES
    angle = index * (math.pi * (3 - math.sqrt(5)))  # golden angle: a Fibonacci lattice on the sphere
    radius = (1 - height * height).sqrt()
    directions = torch.stack([radius * angle.cos(), radius * angle.sin(), height], -1)
    terms = sh.shape[2]
    fit = torch.linalg.pinv(sh_basis(directions, terms))  # [D,S]
    rotation = quat_to_matrix(torch.nn.functional.normalize(quats, dim=-1))
    rotated = sh_basis(directions @ rotation, terms)  # at R^T d, [B,N,S,D]
    return fit @ (rotated @ sh)
