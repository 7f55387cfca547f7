"""Reading a motion from a file or folder, recognized by its content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from avatar.common.files import os_error_sentence
from avatar.common.frame_rate import check_fps
from avatar.common.npz import DamagedNpz, read_npy
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.types import Motion

from .assemble import with_still_note
from .audio2face import is_audio2face, is_audio2face_json, read_audio2face_csv, read_audio2face_json
from .face_cap import is_face_cap, read_face_cap
from .flame_arrays import frame_folders, pairs_in, read_frame_folders, read_pair
from .flame_json import JSON_FILE, json_arrays
from .flame_layouts import layout_of
from .foreign import refuse_archive, refuse_array, refuse_folder, refuse_json, refuse_names, refuse_start
from .journal import is_journal, read_journal
from .live_link import is_live_link, read_live_link
from .named_frames import flat_names, read_named_frames
from .named_json import is_named_json, read_named_json
from .named_table import is_named_table, read_named_table
from .names import listed
from .stored import HEADER, read_stored
from .take_folder import weights_in
from .text import is_utf16, read_json, read_table, read_text
from .vhap import FOLDER as VHAP_FOLDER
from .vhap import numbered, opened, read_folder, read_stacked, stacked_in

_KNOWN = (
    "CSV or JSON with ARKit's names (Live Link Face, Audio2Face and others), Face Cap TXT, FLAME parameters "
    "(flame_param/, flame_param.npz, .frame, a pair of .npy), .motion.npz"
)


@dataclass(frozen=True)
class MotionFormat:
    """A format of expression files."""

    name: str  # for messages
    recognize: Callable[[Path, bytes], bool]  # by the path and the first 4096 bytes of a file
    read: Callable[[Path, float | None], MotionArrays]  # the path, and the frames per second of a file without times


#: Formats of other code, asked before those of this package.
_ADDED: list[MotionFormat] = []


def register(added: MotionFormat) -> None:
    """Read a further format, from now on in this process, wherever a motion is read."""
    _ADDED.append(added)


def read_motion(path: str | Path, *, fps: float | None = None) -> Motion:
    """Read a motion from any supported expression file, recognized by its content.

    Args:
        path: a CSV or JSON of Live Link Face, Audio2Face or named weights; FLAME parameters: a flame_param folder, its
            parent folder, a stacked .npz, metrical-tracker's .frame files, either of a .npy pair; a .motion.npz.
        fps: frames per second of a file without times; 30 when None (metrical-tracker's: 25). It wins over
            the timecodes of Live Link files.

    Returns:
        The motion in the space "arkit52" (Apple's 52 names), "flame" or the space named in the file.

    Raises:
        HeadsplatError: not recognized or malformed; the message names the file and the line or key.
    """
    return read_arrays(Path(path), fps).to_motion()


def read_arrays(path: Path, fps: float | None = None) -> MotionArrays:
    """What `read_motion` reads, without PyTorch."""
    check_fps(fps)
    try:
        if path.is_dir():
            return with_still_note(_read_folder(path, fps))
        if not path.is_file():
            raise HeadsplatError(f"{path}: no such file; check its path")
        return with_still_note(_read_file(path, fps))
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error


def _read_file(path: Path, fps: float | None) -> MotionArrays:
    with path.open("rb") as stream:
        start = stream.read(4096)
    for added in _ADDED:
        if added.recognize(path, start):
            return added.read(path, fps)
    if path.suffix.lower() == ".frame":
        from .metrical import read_metrical  # needs PyTorch and SciPy, as in `_read_folder`

        return read_metrical(path, [(0, path)], fps)
    if start.startswith(b"PK"):
        return _read_archive(path, fps)
    if start.startswith(b"\x93NUMPY"):
        return _read_array(path, fps)
    if is_journal(start):
        return read_journal(path)
    refuse_start(path, start)
    if is_utf16(start):
        start = read_text(path)[:4096].encode()
    if b"\0" in start:
        raise HeadsplatError(f"{path}: not a motion file; expected {_KNOWN}")
    if is_face_cap(start.removeprefix(b"\xef\xbb\xbf")):
        return read_face_cap(path, fps)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _read_json(path, fps)
    return _read_csv(path, fps)


def _read_array(path: Path, fps: float | None) -> MotionArrays:
    try:
        return read_pair(path, fps)
    except HeadsplatError:
        try:
            shape = read_npy(path).shape
        except DamagedNpz:
            shape = ()
        refuse_array(path, shape)
        raise


def _read_archive(path: Path, fps: float | None) -> MotionArrays:
    archive = opened(path)
    if HEADER in archive.names:
        return read_stored(path, archive)
    if layout_of(path, archive) is not None:
        return read_stacked(path, archive, fps)
    refuse_archive(path, archive.names)
    raise HeadsplatError(
        f"{path}: its arrays ({listed(sorted(archive.names), 4)}) are not a motion; write weights as JSON with `names` "
        "and `frames`, FLAME parameters as VHAP's flame_param.npz"
    )


def _read_json(path: Path, fps: float | None) -> MotionArrays:
    content = read_json(path)
    if is_named_json(content):
        return read_named_json(path, content, fps)
    if is_audio2face_json(content):
        return read_audio2face_json(path, content, fps)
    arrays = json_arrays(content)
    if arrays is not None and layout_of(path, arrays) is not None:
        return read_stacked(path, arrays, fps)
    refuse_json(path, content)
    found = read_named_frames(path, content, fps)
    if found is not None:
        return found
    if isinstance(content, list):
        content = next((entry for entry in content if isinstance(entry, dict)), {})
    refuse_names(path, flat_names(content))
    keys = listed([str(key) for key in content], 4) if isinstance(content, dict) and content else "no objects"
    raise HeadsplatError(f"{path}: JSON without ARKit's names (found {keys}); expected {_KNOWN}")


def _read_csv(path: Path, fps: float | None) -> MotionArrays:
    table = read_table(path)
    if is_audio2face(table.header):
        return read_audio2face_csv(path, table, fps)
    if is_live_link(table):
        return read_live_link(path, fps, table)
    refuse_names(path, table.header)
    if is_named_table(table) and (motion := read_named_table(path, table, fps)) is not None:
        return motion
    found = listed([name[:30] for name in table.header], 3)
    raise HeadsplatError(f"{path}: line 1: no column with a name of ARKit (found {found}); expected {_KNOWN}")


def _read_folder(folder: Path, fps: float | None) -> MotionArrays:
    from .metrical import FOLDER, frames_of, read_metrical

    for candidate in (folder, folder / VHAP_FOLDER):
        if numbered(candidate):
            return read_folder(candidate, fps)
    if (stacked := stacked_in(folder)) is not None:
        return read_stacked(stacked, opened(stacked), fps)
    if (folder / JSON_FILE).is_file():
        return _read_json(folder / JSON_FILE, fps)
    for candidate in (folder, folder / FOLDER):
        if files := frames_of(candidate):
            return read_metrical(candidate, files, fps)
    if frames := frame_folders(folder):
        return read_frame_folders(folder, frames, fps)
    pairs = pairs_in(folder)
    if len(pairs) == 1:
        return read_pair(pairs[0], fps)
    if pairs:
        raise HeadsplatError(
            f"{folder}: contains several motions ({listed([p.name for p in pairs], 3)}); name one of them"
        )
    notes: list[str] = []
    weights = weights_in(folder, notes)
    if weights is None:
        refuse_folder(folder)
        raise HeadsplatError(f"{folder}: a folder without a motion; expected {_KNOWN}")
    motion = _read_file(weights, fps)
    return replace(motion, notes=(*notes, *motion.notes))
