"""Rotations, quaternions (wxyz), triangle frames and SH constants; everything batched and differentiable."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

#: Value of the constant spherical-harmonics basis function: colour = 0.5 + SH_C0 * sh[..., 0, :].
SH_C0 = 0.28209479177387814


@lru_cache(maxsize=8)
def _quat_of_matrix(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[10,16]: what each entry of a rotation matrix, and one, adds to 4 q q^T of its quaternion q (wxyz).

    Few large operations instead of many small ones: a live frame converts a handful of rotations, one at a time.
    """
    table = torch.zeros(10, 4, 4)
    signs = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    for row, diagonal in enumerate(signs):
        table[9, row, row] = 1
        for axis, sign in enumerate(diagonal):
            table[4 * axis, row, row] = sign
    for first, second, plus, minus in ((0, 1, (2, 1), (1, 2)), (0, 2, (0, 2), (2, 0)), (0, 3, (1, 0), (0, 1))):
        for row, column in ((first, second), (second, first)):
            table[3 * plus[0] + plus[1], row, column], table[3 * minus[0] + minus[1], row, column] = 1, -1
    for first, second, x, y in ((1, 2, 0, 1), (1, 3, 0, 2), (2, 3, 1, 2)):
        for row, column in ((first, second), (second, first)):
            table[3 * x + y, row, column] = table[3 * y + x, row, column] = 1
    return table.reshape(10, 16).to(device, dtype)


def skew(vectors: Tensor) -> Tensor:
    """Matrices [...,3,3] with skew(a) @ b = a x b for vectors a [...,3]."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vectors.shape[:-1], 3, 3)


def axis_angle_to_matrix(rotvec: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] of axis-angle vectors [...,3] in radians (Rodrigues), smooth at zero."""
    squared = (rotvec * rotvec).sum(-1)[..., None, None]
    small = squared < 1e-8
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)
    cross = skew(rotvec)
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + sine * cross + cosine * (cross @ cross)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Axis-angle vectors [...,3] in radians, angle in [0, pi], of rotation matrices [...,3,3]."""
    quat = matrix_to_quat(matrix)
    quat = torch.where(quat[..., :1] < 0, -quat, quat)
    norm = quat[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(norm, quat[..., :1])
    factor = torch.where(norm < 1e-8, torch.full_like(norm, 2.0), angle / norm.clamp_min(1e-12))
    return quat[..., 1:] * factor


def quat_to_matrix(quat: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] of unit quaternions [...,4] wxyz."""
    w, x, y, z = quat.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*quat.shape[:-1], 3, 3)


def matrix_to_quat(matrix: Tensor) -> Tensor:
    """Unit quaternions [...,4] wxyz of rotation matrices [...,3,3], by the largest of the four components."""
    table = _quat_of_matrix(matrix.dtype, matrix.device)
    products = matrix.reshape(*matrix.shape[:-2], 9) @ table[:9] + table[9]
    products = products.reshape(*matrix.shape[:-2], 4, 4)
    best = products.diagonal(dim1=-2, dim2=-1).argmax(-1)
    chosen = torch.take_along_dim(products, best[..., None, None], -2).squeeze(-2)
    return torch.nn.functional.normalize(chosen, dim=-1)


def quat_multiply(left: Tensor, right: Tensor) -> Tensor:
    """Hamilton product [...,4] wxyz: the rotation that applies `right` first, then `left`."""
    lw, lx, ly, lz = left.unbind(-1)
    rw, rx, ry, rz = right.unbind(-1)
    return torch.stack(
        [
            lw * rw - lx * rx - ly * ry - lz * rz,
            lw * rx + lx * rw + ly * rz - lz * ry,
            lw * ry - lx * rz + ly * rw + lz * rx,
            lw * rz + lx * ry - ly * rx + lz * rw,
        ],
        -1,
    )


def mean_rotation(matrices: Tensor) -> Tensor:
    """Chordal mean [3,3] of rotation matrices [n,3,3]: the rotation nearest their average."""
    left, _, right = torch.linalg.svd(matrices.double().mean(0))
    sign = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    sign[2] = torch.det(left @ right).sign()
    return (left * sign @ right).to(matrices.dtype)


def triangle_frames(corners: Tensor) -> Tensor:
    """Orthonormal frames [...,3,3] of triangles [...,3 corners,3]: columns first edge, normal x edge, normal."""
    first = corners[..., 1, :] - corners[..., 0, :]
    second = corners[..., 2, :] - corners[..., 0, :]
    normal = torch.nn.functional.normalize(torch.linalg.cross(first, second), dim=-1, eps=1e-12)
    edge = torch.nn.functional.normalize(first, dim=-1, eps=1e-12)
    return torch.stack([edge, torch.linalg.cross(normal, edge), normal], -1)
