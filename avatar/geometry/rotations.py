"""Rotations, quaternions (wxyz), triangle frames and SH constants; everything batched and differentiable."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

#: Value of the constant spherical-harmonics basis function: color = 0.5 + SH_C0 * sh[..., 0, :].
SH_C0 = 0.28209479177387814


#: skew(a) flattened is a @ _SKEW
_SKEW = (
    (0, 0, 0, 0, 0, -1, 0, 1, 0),
    (0, 0, 1, 0, 0, 0, -1, 0, 0),
    (0, -1, 0, 1, 0, 0, 0, 0, 0),
)
#: 4 q q^T - the first row and column are w - flattened is (1, R) @ _QUAT, R flattened.
_QUAT = (
    (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1),
    (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1),
    (0, 0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, -1, 0, 0, 0),
    (0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0),
    (0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0),
    (1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1),
    (0, -1, 0, 0, -1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0),
    (0, 0, -1, 0, 0, 0, 0, 1, -1, 0, 0, 0, 0, 1, 0, 0),
    (0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0),
    (1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1),
)


_EYE = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_ONE = ((1,),)
_HALF = ((0.5,),)


@lru_cache(maxsize=32)
def _table(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Constant rows as a cached tensor: in a live frame, creating one costs as much as the operation that uses it."""
    with torch.inference_mode(False):
        return torch.tensor(rows, dtype=dtype, device=device)


def skew(vectors: Tensor) -> Tensor:
    """Matrices [...,3,3] with skew(a) @ b = a x b for vectors a [...,3]."""
    return (vectors @ _table(_SKEW, vectors.dtype, vectors.device)).unflatten(-1, (3, 3))


def axis_angle_to_matrix(rotvec: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] of axis-angle vectors [...,3] in radians (Rodrigues), smooth at zero."""
    squared = (rotvec * rotvec).sum(-1)[..., None, None]
    small = squared < 1e-8
    safe = squared.clamp_min(1e-8)
    angle = safe.sqrt()
    one = _table(_ONE, rotvec.dtype, rotvec.device)
    half = _table(_HALF, rotvec.dtype, rotvec.device)
    eye = _table(_EYE, rotvec.dtype, rotvec.device)
    sine = torch.where(small, torch.add(one, squared, alpha=-1 / 6), angle.sin() / angle)
    cosine = torch.where(small, torch.add(half, squared, alpha=-1 / 24), (one - angle.cos()) / safe)
    cross = skew(rotvec)
    return eye + sine * cross + cosine * (cross @ cross)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Axis-angle vectors [...,3] in radians, angle in [0, pi], of rotation matrices [...,3,3]."""
    quat = matrix_to_quat(matrix)
    quat = torch.where(quat[..., :1] < 0, -quat, quat)
    real = quat[..., :1]
    imaginary = quat[..., 1:]
    norm = torch.linalg.vector_norm(imaginary, dim=-1, keepdim=True)
    angle = 2 * torch.atan2(norm, real)
    return imaginary * (angle / norm.clamp_min(1e-12)).masked_fill(norm < 1e-8, 2.0)


def quat_to_matrix(quat: Tensor) -> Tensor:
    """Rotation matrices [...,3,3] of unit quaternions [...,4] wxyz."""
    w, x, y, z = quat.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(rows, -1).reshape(*quat.shape[:-1], 3, 3)


def matrix_to_quat(matrix: Tensor) -> Tensor:
    """Unit quaternions [...,4] wxyz of rotation matrices [...,3,3], by the largest of the four components."""
    table = _table(_QUAT, matrix.dtype, matrix.device)
    candidates = (matrix.flatten(-2) @ table[1:] + table[0]).unflatten(-1, (4, 4))
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None].expand(*matrix.shape[:-2], 1, 4)
    chosen = candidates.gather(-2, best).squeeze(-2)
    return chosen / torch.linalg.vector_norm(chosen, dim=-1, keepdim=True)


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
    """Chordal mean [3,3] of rotation matrices [n,3,3]: the rotation closest to their average."""
    left, _, right = torch.linalg.svd(matrices.double().mean(0))
    sign = left.new_ones(3)
    sign[2] = torch.det(left @ right).sign()
    return (left * sign @ right).to(matrices.dtype)


def triangle_frames(corners: Tensor) -> Tensor:
    """Orthonormal frames [...,3,3] of triangles [...,3 corners,3]: columns first edge, normal x edge, normal."""
    first = corners[..., 1, :] - corners[..., 0, :]
    second = corners[..., 2, :] - corners[..., 0, :]
    normal = torch.nn.functional.normalize(torch.linalg.cross(first, second), dim=-1, eps=1e-12)
    edge = torch.nn.functional.normalize(first, dim=-1, eps=1e-12)
    return torch.stack([edge, torch.linalg.cross(normal, edge), normal], -1)
