"""FLAME parameters of VHAP, GaussianAvatars and other trackers: NNNNN.npz in a folder, or all frames in one .npz."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .assemble import frame_times, numbered_times
from .clock import times_of
from .flame import flame_motion, in_radians, note_ignored, rows_of
from .flame_layouts import NUMBERS, RATES, ROTATIONS, VHAP, Arrays, FlameLayout, frame_numbers, layout_of, stored_times

FOLDER = "flame_param"
STACKED = "flame_param.npz"
#: All frames in one file, by VHAP, CAP4D, NHA and the NeRSemble benchmark.
_STACKED_FILES = (
    STACKED,
    "fit.npz",
    "tracked_flame_params.npz",
    "flame2023_tracking.npz",
    "tracking/flame2023_tracking.npz",
)
#: Results of VHAP's epochs.
_EPOCH = re.compile(r"tracked_flame_params_(\d{1,9})\.npz")


def stacked_in(folder: Path) -> Path | None:
    """The file of a folder with all frames; VHAP's last epoch."""
    for name in _STACKED_FILES:
        if (folder / name).is_file():
            return folder / name
    epochs = [(int(found[1]), path) for path in folder.glob("*.npz") if (found := _EPOCH.fullmatch(path.name))]
    return max(epochs)[1] if epochs else None


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Frame numbers and files of a flame_param folder, in order."""
    files = [path for path in folder.glob("*.npz") if path.stem.isascii() and path.stem.isdigit()]
    return sorted((int(path.stem[:12]), path) for path in files)


def read_stacked(path: Path, archive: Arrays, fps: float | None = None) -> MotionArrays:
    """Read all frames of one flame_param.npz.

    Raises:
        HeadsplatError: arrays that do not match each other; the message names file and array.
    """
    notes: list[str] = []
    layout = _layout(path, archive)
    parts = _parts(path, archive, layout)
    frames = max(len(part) for part in parts.values())
    for name, part in parts.items():
        if len(part) not in (1, frames):
            raise HeadsplatError(f"{path}: {name}: {len(part)} frames, others have {frames}; export it again")
        parts[name] = np.repeat(part, frames, 0) if len(part) < frames else part
    numbers = frame_numbers(archive, frames)
    stamps = stored_times(archive, frames) if fps is None else None
    used = {*layout.widths, *layout.used, *RATES, *(() if numbers is None else NUMBERS), *(stamps or ())}
    note_ignored(sorted(set(archive.names) - used), notes)
    parts = layout.convert(path, archive, in_radians(str(path), parts, ROTATIONS, notes), notes)
    count = np.arange(frames) if numbers is None else numbers
    rate = layout.rate(path, archive) if fps is None else None
    if stamps is None:
        time = frame_times(count, fps, notes, layout.assumed, rate)
    else:
        ((name, values),) = stamps.items()
        time = times_of(values, name, str(path), None, notes, rate)
        time = time - time.min()
    if numbers is not None and len(np.unique(np.diff(numbers))) > 1:
        notes.append("frame numbers are missing: a gap in time")
    return flame_motion(path, time, parts, layout.version, notes)


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
    first = opened(files[0][1])
    layout = _layout(files[0][1], first)
    for _, path in files:
        archive = opened(path)
        ignored |= set(archive.names) - {*layout.widths, *layout.used, *RATES}
        frames.append(_parts(path, archive, layout))
        for name in frames[0].keys() | frames[-1].keys():
            shapes = [parts[name].shape if name in parts else "nothing" for parts in (frames[0], frames[-1])]
            if shapes[0] != shapes[1] or shapes[0][0] != 1:
                raise HeadsplatError(f"{path}: {name}: {shapes[1]}, the first file has {shapes[0]}; export it again")
    parts = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    note_ignored(sorted(ignored), notes)
    parts = layout.convert(folder, first, in_radians(str(folder), parts, ROTATIONS, notes), notes)
    rate = layout.rate(files[0][1], first) if fps is None else None
    time = numbered_times(numbers, fps, notes, layout.assumed, rate)
    return flame_motion(folder, time, parts, layout.version, notes)


def opened(path: Path) -> Npz:
    """Open an .npz.

    Raises:
        HeadsplatError: damaged; the message names the file.
    """
    try:
        return Npz(path)
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: damaged ({str(error)[:120]}); copy it again") from error


def _layout(path: Path, archive: Arrays) -> FlameLayout:
    layout = layout_of(path, archive)
    if layout is None:
        raise HeadsplatError(f"{path}: none of {', '.join(VHAP)} in it; export the parameters again")
    return layout


def _parts(path: Path, archive: Arrays, layout: FlameLayout) -> dict[str, NDArray]:
    found = {}
    for name, width in layout.widths.items():
        if name in archive.names:
            try:
                found[name] = rows_of(archive.array(name), width, f"{path}: {name}")
            except DamagedNpz as error:
                raise HeadsplatError(f"{path}: {name}: {str(error)[:120]}; copy it again") from error
    if not found:
        raise HeadsplatError(f"{path}: none of {', '.join(layout.widths)} in it; export the parameters again")
    return found
