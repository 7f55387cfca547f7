"""Validation of values from external files; every error names the file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError

#: Tolerance of R^T R against the identity: exporters round, but scale and shear are not allowed.
_ORTHOGONALITY = 1e-3
_MAX_DISTANCE, _MAX_IMAGE_SIDE, _MAX_STEP = 1e6, 16384, 10_000_000


def path_within(root: Path, name: str, where: str) -> Path:
    """The path `name` from a description of the folder `root`; it may be in `root` or in a sibling folder.

    Raises:
        HeadsplatError: the path is absolute or outside; `where` names file, entry and key.
    """
    try:
        absolute = Path(name).is_absolute() or PureWindowsPath(name).is_absolute()
        target = Path(os.path.normpath(root.resolve() / name))
        if absolute or "\0" in name or not target.is_relative_to(root.resolve().parent):
            raise ValueError
    except ValueError as error:
        raise HeadsplatError(
            f"{where}: {_short(name)} is outside of the folder; export it again with paths relative to {root}"
        ) from error
    return root / name


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises HeadsplatError if it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: no such file; export the folder again") from error
    except (OSError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: not readable as JSON ({error}); export the folder again") from error
    if not isinstance(content, dict):
        raise HeadsplatError(f"{path}: expected a JSON object with `frames`, got {type(content).__name__}")
    return content


def number(value: Any, where: str, low: float, high: float) -> float:
    """A finite number in low..high; `where` names file and entry in errors."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise HeadsplatError(f"{where}: expected a number, got {_short(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or not low <= result <= high:
        raise HeadsplatError(f"{where}: expected {low:g} to {high:g}, got {result:g}")
    return result


def integer(value: Any, where: str, low: int = 0, high: int = _MAX_STEP) -> int:
    """A whole number in low..high; some exporters write 512.0 for 512."""
    result = number(value, where, low, high)
    if result != round(result):
        raise HeadsplatError(f"{where}: expected a whole number, got {result:g}")
    return round(result)


def image_side(value: Any, where: str) -> int:
    """Width or height of an image in pixels."""
    return integer(value, where, 1, _MAX_IMAGE_SIDE)


def rigid_transform(value: Any, where: str) -> np.ndarray:
    """A rigid transform [4,4] float64 from nested lists [4][4] or [3][4]; the nearest rotation is taken.

    Raises:
        HeadsplatError: wrong shape, NaN, excessive distance, scale, shear or reflection.
    """
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.zeros(0)
    if matrix.shape == (3, 4):
        matrix = np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])
    if matrix.shape != (4, 4):
        raise HeadsplatError(f"{where}: expected a matrix of 4x4 numbers, got {_short(value)}")
    if not np.isfinite(matrix).all():
        raise HeadsplatError(f"{where}: the matrix has entries that are not finite; export the folder again")
    if np.abs(matrix).max() > _MAX_DISTANCE:
        raise HeadsplatError(
            f"{where}: a camera {np.abs(matrix).max():.3g} units away; expected {_MAX_DISTANCE:g} at most"
        )
    rotation = matrix[:3, :3]
    off = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if off > _ORTHOGONALITY or np.linalg.det(rotation) < 0 or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise HeadsplatError(
            f"{where}: not a rigid transform (rotation and translation; R^T R is off by {off:.2g}, determinant "
            f"{np.linalg.det(rotation):.3g}); export cameras without scale or reflection"
        )
    u, _, vt = np.linalg.svd(rotation)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = u @ vt, matrix[:3, 3]
    return result


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse [4,4] of a rigid transform."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:37]}..."
