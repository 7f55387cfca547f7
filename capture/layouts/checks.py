"""Validation of values and paths from external files; every error names the file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from avatar.common.json_values import JsonValue, read_json_object, short
from avatar.common.links import check_within
from avatar.errors import HeadsplatError

_REMEDY = "export the folder again"
_MAX_IMAGE_SIDE = 16384
_MAX_STEP = 10_000_000


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
            f"{where}: {short(name)} is outside of the folder; export it again with paths relative to {root}"
        ) from error
    return root / name


def no_link(root: Path, path: Path) -> Path:
    """Return `path`, a result of `path_within` or below `root`, if no symbolic link leads out of its folder.

    Raises:
        HeadsplatError: `path` is, or is below, a link out of `root`, or out of the sibling folder that its name states.
    """
    real = root.resolve()
    target = Path(os.path.normpath(real / path.relative_to(root)))
    folder = real.parent / target.relative_to(real.parent).parts[0]
    if os.path.realpath(folder) != str(folder):
        raise HeadsplatError(f"{folder}: a symbolic link, which is not followed; replace it by a copy or remove it")
    check_within(folder, target)
    if not Path(os.path.realpath(path)).is_relative_to(folder):  # `link/../file`: the system follows the link first
        raise HeadsplatError(f"{path}: leads out of {folder} through a symbolic link; replace the link by a copy")
    return path


def first_file(root: Path, candidates: Iterable[Path]) -> Path | None:
    """The first of `candidates`, below `root`, that is a file; None where none is.

    Raises:
        HeadsplatError: a symbolic link leads out of the folder, as for `no_link`.
    """
    for candidate in candidates:
        try:
            exists = candidate.is_file()
        except OSError:  # a name too long for the file system
            return None
        if exists:
            return no_link(root, candidate)
    return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises HeadsplatError if it is not one."""
    return read_json_object(no_link(path.parent, path), _REMEDY)


def number(value: Any, where: str, low: float, high: float) -> float:
    """A finite number in a range.

    Args:
        value: as read from JSON.
        where: file and entry, for errors.
        low: smallest valid number.
        high: largest valid number.

    Raises:
        HeadsplatError: it is none.
    """
    return JsonValue(value, where, _REMEDY).number(low, high)


def integer(value: Any, where: str, low: int = 0, high: int = _MAX_STEP) -> int:
    """A whole number in a range; some exporters write 512.0 for 512.

    Args:
        value: as read from JSON.
        where: file and entry, for errors.
        low: smallest valid number.
        high: largest valid number.

    Raises:
        HeadsplatError: it is none.
    """
    return JsonValue(value, where, _REMEDY).integer(low, high)


def text(value: Any, where: str) -> str:
    """A text that is not empty."""
    return JsonValue(value, where, _REMEDY).text()


def image_side(value: Any, where: str) -> int:
    """Width or height of an image in pixels."""
    return integer(value, where, 1, _MAX_IMAGE_SIDE)


def rigid_transform(value: Any, where: str) -> np.ndarray:
    """A rigid transform [4,4] float64 from nested lists [4][4] or [3][4]; the nearest rotation is taken.

    Raises:
        HeadsplatError: wrong shape, NaN, excessive distance, scale, shear or reflection.
    """
    return JsonValue(value, where, f"{_REMEDY}, with cameras without scale or reflection").rigid_transform()


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse [4,4] of a rigid transform."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result
