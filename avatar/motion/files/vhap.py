"""FLAME parameters of VHAP and GaussianAvatars: flame_param/NNNNN.npz, or all frames in one flame_param.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .assemble import frame_times
from .flame import flame_motion, note_ignored, rows_of

FOLDER = "flame_param"
STACKED = "flame_param.npz"
_WIDTHS = {"expr": None, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
_VERSION = "FLAME 2023, VHAP's default"


def is_flame(names: set[str]) -> bool:
    """Whether an .npz with these arrays contains FLAME parameters."""
    return "expr" in names or len(names & set(_WIDTHS)) > 1


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Frame numbers and files of a flame_param folder, in order."""
    files = [path for path in folder.glob("*.npz") if path.stem.isascii() and path.stem.isdigit()]
    return sorted((int(path.stem[:12]), path) for path in files)


def read_stacked(path: Path, archive: Npz, fps: float | None = None) -> MotionArrays:
    """Read all frames of one flame_param.npz.

    Raises:
        HeadsplatError: arrays that do not match each other; the message names file and array.
    """
    notes: list[str] = []
    parts = _parts(path, archive)
    frames = max(len(part) for part in parts.values())
    for name, part in parts.items():
        if len(part) not in (1, frames):
            raise HeadsplatError(f"{path}: {name}: {len(part)} frames, others have {frames}; export it again")
        parts[name] = np.repeat(part, frames, 0) if len(part) < frames else part
    note_ignored(sorted(set(archive.names) - set(_WIDTHS)), notes)
    return flame_motion(path, frame_times(range(frames), fps, notes), parts, _VERSION, notes)


def read_folder(folder: Path, fps: float | None = None) -> MotionArrays:
    """Read the frames of a flame_param folder at the times of their numbers.

    Raises:
        HeadsplatError: a file that is damaged or does not match the others; the message names file and array.
    """
    notes: list[str] = []
    files = numbered(folder)
    numbers = np.array([number for number, _ in files])
    frames: list[dict[str, NDArray]] = []
    ignored: set[str] = set()
    for _, path in files:
        archive = opened(path)
        ignored |= set(archive.names) - set(_WIDTHS)
        frames.append(_parts(path, archive))
        for name in frames[0].keys() | frames[-1].keys():
            shapes = [parts[name].shape if name in parts else "nothing" for parts in (frames[0], frames[-1])]
            if shapes[0] != shapes[1] or shapes[0][0] != 1:
                raise HeadsplatError(f"{path}: {name}: {shapes[1]}, the first file has {shapes[0]}; export it again")
    parts = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    if missing := int(numbers[-1] - numbers[0] + 1 - len(numbers)):
        notes.append(f"{missing} frame numbers are missing between {numbers[0]} and {numbers[-1]}: a gap in time")
    note_ignored(sorted(ignored), notes)
    return flame_motion(folder, frame_times(numbers - numbers[0], fps, notes), parts, _VERSION, notes)


def opened(path: Path) -> Npz:
    """Open an .npz.

    Raises:
        HeadsplatError: damaged; the message names the file.
    """
    try:
        return Npz(path)
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: damaged ({str(error)[:120]}); copy it again") from error


def _parts(path: Path, archive: Npz) -> dict[str, NDArray]:
    found = {}
    for name, width in _WIDTHS.items():
        if name in archive.names:
            try:
                found[name] = rows_of(archive.array(name), width, f"{path}: {name}")
            except DamagedNpz as error:
                raise HeadsplatError(f"{path}: {name}: {str(error)[:120]}; copy it again") from error
    if not found:
        raise HeadsplatError(f"{path}: none of {', '.join(_WIDTHS)} in it; export the parameters again")
    return found
