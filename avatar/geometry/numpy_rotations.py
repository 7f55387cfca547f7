"""Rotations in NumPy, float64, for the solvers and for code that runs without PyTorch; quaternions are wxyz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

#: [3,9], the matrices of the cross products with the three axes.
_CROSS = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], float)


def rotvec_to_quat(rotvec: Floats) -> Floats:
    """Unit quaternions [...,4] of axis-angle vectors [...,3] in radians."""
    half = np.linalg.norm(rotvec, axis=-1, keepdims=True) / 2
    return np.concatenate([np.cos(half), np.sinc(half / np.pi) / 2 * rotvec], -1)


def quat_to_rotvec(quat: Floats) -> Floats:
    """Axis-angle vectors [...,3] in radians, angle in [0, pi], of unit quaternions [...,4]."""
    real = np.abs(quat[..., :1])
    imaginary = np.where(quat[..., :1] < 0, -1, 1) * quat[..., 1:]
    norm = np.linalg.norm(imaginary, axis=-1, keepdims=True)
    factor = 2 * np.arctan2(norm, real) / np.maximum(norm, 1e-12)
    return imaginary * np.where(norm < 1e-8, 2.0, factor)


def quat_multiply(left: Floats, right: Floats) -> Floats:
    """Hamilton product [...,4]: the rotation that applies `right` first, then `left`."""
    w, x, y, z = np.moveaxis(left, -1, 0)
    rw, rx, ry, rz = np.moveaxis(right, -1, 0)
    parts = [
        w * rw - x * rx - y * ry - z * rz,
        w * rx + x * rw + y * rz - z * ry,
        w * ry - x * rz + y * rw + z * rx,
        w * rz + x * ry - y * rx + z * rw,
    ]
    return np.stack(parts, -1)


def mean_quat(quats: Floats) -> Floats:
    """Chordal mean [4] of rotations [n,4] (Markley et al., Averaging Quaternions, 2007)."""
    return np.linalg.eigh(quats.T @ quats)[1][:, -1]


def exp_rotation(rotvec: np.ndarray) -> np.ndarray:
    """Rotation matrices [...,3,3] of axis-angle vectors [...,3] in radians (Rodrigues)."""
    squared = np.sum(rotvec * rotvec, axis=-1)[..., None, None]
    small = squared < 1e-12
    safe = np.where(small, 1.0, squared)
    angle = np.sqrt(safe)
    sine = np.where(small, 1 - squared / 6, np.sin(angle) / angle)
    cosine = np.where(small, 0.5 - squared / 24, (1 - np.cos(angle)) / safe)
    cross = cross_matrix(rotvec)
    return np.eye(3) + sine * cross + cosine * (cross @ cross)


def log_rotation(matrix: np.ndarray) -> np.ndarray:
    """Axis-angle vectors [...,3] of rotation matrices [...,3,3], for angles well below pi.

    Uses angle = atan2(|skew part|, (trace-1)/2), exact below pi; at pi the axis is undefined.
    """
    sine_axis = 0.5 * np.stack(
        [
            matrix[..., 2, 1] - matrix[..., 1, 2],
            matrix[..., 0, 2] - matrix[..., 2, 0],
            matrix[..., 1, 0] - matrix[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(sine_axis, axis=-1, keepdims=True)
    cosine = 0.5 * (np.trace(matrix, axis1=-2, axis2=-1)[..., None] - 1)
    angle = np.arctan2(sine, cosine)
    return sine_axis * np.where(sine < 1e-9, 1.0, angle / np.maximum(sine, 1e-12))


def left_jacobian(rotvec: np.ndarray) -> np.ndarray:
    """Matrix [3,3] J with exp(v + dv) = exp(J dv) exp(v) to first order (Barfoot, State Estimation for Robotics)."""
    angle = np.linalg.norm(rotvec)
    cross = cross_matrix(rotvec)
    if angle < 1e-6:
        return np.eye(3) + cross / 2
    sine = np.sin(angle)
    cosine = np.cos(angle)
    return np.eye(3) + (1 - cosine) / angle**2 * cross + (angle - sine) / angle**3 * (cross @ cross)


def cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """Matrices [...,3,3] with cross_matrix(a) @ b = a x b for vectors a [...,3]."""
    return (vectors @ _CROSS).reshape(*vectors.shape[:-1], 3, 3)


def yaw_pitch(matrix: np.ndarray) -> np.ndarray:
    """Yaw (to the subject's left) and pitch (up) [...,2] in radians of where the face's +z axis points."""
    forward = matrix[..., :, 2]
    return np.stack([np.arctan2(forward[..., 0], forward[..., 2]), np.arcsin(np.clip(forward[..., 1], -1, 1))], axis=-1)
