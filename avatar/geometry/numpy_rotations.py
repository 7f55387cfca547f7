"""Rotations in NumPy, float64, for code that runs without PyTorch; quaternions are wxyz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def rotvec_to_quat(rotvec: Floats) -> Floats:
    """Unit quaternions [...,4] of axis-angle vectors [...,3] in radians."""
    half = np.linalg.norm(rotvec, axis=-1, keepdims=True) / 2
    return np.concatenate([np.cos(half), np.sinc(half / np.pi) / 2 * rotvec], -1)


def quat_to_rotvec(quat: Floats) -> Floats:
    """Axis-angle vectors [...,3] in radians, angle in [0, pi], of unit quaternions [...,4]."""
    real, imaginary = np.abs(quat[..., :1]), np.where(quat[..., :1] < 0, -1, 1) * quat[..., 1:]
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
