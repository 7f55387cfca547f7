"""The header of an .avatar file and its tensors as they are stored: read and checked without PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from avatar.common.files import os_error_sentence
from avatar.common.json_values import is_unicode, levels
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError
from avatar.model.true_size import TrueSize
from avatar.types import JOINT_NAMES

MAGIC = "headsplat-avatar"
#: 2: expressions turn joints and may bend (joint_dirs, curvedirs); in 1 they only move vertices; 3: `sampling`;
#: 4: `rig.stretch`, and `layer` in avatars with one.
VERSION = 5
#: Prefixes of the tensors that the checksum of the header covers. Later parts of an avatar have prefixes and checksums
#: of their own: programs that do not know them ignore them.
PREFIXES = ("avatar.", "head.", "region.", "layer.")
#: Entry of the header that names the recordings of an avatar with appearances, and how many it names at most.
ENTRY = "appearances"
MOST = 8
#: The dtypes of the format by their names in safetensors.
DTYPES = ("F32", "F16", "I32", "I64", "U8")
#: Modes of blendshapes.
MODES = ("reduced", "expression")

_MAX_BYTES = 4 << 30  # of a file
_MAX_VERSION = 1000  # a larger number is damage, not a version
_MAX_DEPTH = 20  # of the header's JSON
_MAX_NAMES = 10_000  # expressions
_MAX_NAME = 200  # characters
_MAX_SIDE = 1 << 16  # pixels of an image
_MAX_TEXT = 10_000  # characters of a text about a recording


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it is in a file."""

    dtype: str  # of DTYPES
    shape: tuple[int, ...]
    data: Any  # a buffer with the values, little-endian


@dataclass(frozen=True)
class RecordingEntry:
    """One recording of an avatar with appearances, as the header of its file names it."""

    name: str
    fingerprint: str  # of its capture
    consent: str = ""  # its note about the consent


def read_header(path: str | Path) -> dict[str, Any]:
    """The header of an avatar file, whose checksum is compared.

    Raises:
        HeadsplatError: no file, not an avatar, damaged, or of a newer version.
    """
    return read_stored(Path(path))[0]


def read_stored(path: Path, prefixes: tuple[str, ...] = PREFIXES) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """The checked header of an avatar file, and its tensors with one of `prefixes`; the header's checksum is compared.

    Args:
        path: the file.
        prefixes: PREFIXES and others.

    Raises:
        HeadsplatError: no file, not an avatar, damaged, or of a newer version.
    """
    content = _content(path)
    try:
        stored = deserialize(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        header = json.loads(metadata.get("headsplat", "null"))
    except (SafetensorError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: not an avatar file, or a damaged one; train or copy it again") from error
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise HeadsplatError(f"{path}: a safetensors file, but not a headsplat avatar; give an .avatar file")
    version = header.get("version")
    if type(version) is int and VERSION < version <= _MAX_VERSION:
        raise HeadsplatError(
            f"{path}: avatar version {version}, this headsplat reads up to {VERSION}; update headsplat"
        )
    try:
        check_header(header)
        recordings_of(header)
        tensors = {name: _stored(name, entry) for name, entry in stored if name.startswith(prefixes)}
        if "tensors_sha256" in header and header["tensors_sha256"] != stored_checksum(tensors):
            raise ValueError("its tensors do not match their checksum")
    except ValueError as error:
        raise damage_error(path, str(error)) from error
    return header, tensors


def damage_error(path: Path, reason: str) -> HeadsplatError:
    """The error about an avatar file whose content is wrong."""
    return HeadsplatError(f"{path}: damaged avatar file ({single_line(reason)[:300]}); train or copy it again")


def stored_checksum(tensors: Mapping[str, StoredTensor], prefixes: str | tuple[str, ...] = PREFIXES) -> str:
    """SHA-256 (hex) of names, dtypes, shapes and bytes of the tensors with one of `prefixes`, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(prefixes):
            value = tensors[name]
            digest.update(f"{name} {value.dtype} {','.join(str(size) for size in value.shape)}\n".encode())
            digest.update(value.data)
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """The bytes of an avatar file. Not a memory map: the process would die if the file became shorter."""
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such avatar file; train one with `headsplat train VIDEO -o {path}`")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise damage_error(path, f"it is larger than {_MAX_BYTES >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error


def _stored(name: str, entry: Mapping[str, Any]) -> StoredTensor:
    """One tensor from `safetensors.deserialize`."""
    dtype = entry["dtype"]
    shape = tuple(entry["shape"])
    if dtype not in DTYPES:
        raise ValueError(f"{name}: the dtype {dtype}")
    if not len(entry["data"]) and max(shape) >= 1 << 31:
        raise ValueError(f"{name}: the shape {list(shape)}")
    return StoredTensor(dtype, shape, entry["data"])


def check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError unless every entry of a header has its type and a meaningful value."""
    if sum(1 for _ in levels(header)) > _MAX_DEPTH:
        raise ValueError(f"its header is nested deeper than {_MAX_DEPTH} levels")
    check_entry(type(header.get("version")) is int and 1 <= header["version"] <= VERSION, "version")
    names = header.get("expression_names", ())
    check_entry(_is_texts(names) and len(set(names)) == len(names) <= _MAX_NAMES, "expression_names")
    _check_head(_object(header, "head"))
    blendshapes = _object(header, "blendshapes")
    check_entry(blendshapes.get("mode") in MODES, "blendshapes.mode")
    check_entry(type(blendshapes.get("count", 0)) is int, "blendshapes.count")
    if header["version"] >= 5:
        check_entry(blendshapes["mode"] == "reduced", "blendshapes.mode")
    seconds = _object(header, "training").get("seconds_training", 0.0)
    check_entry(_is_number(seconds, 1e9), "training.seconds_training")
    TrueSize.of_header(header)
    check_entry(header.get("joints", list(JOINT_NAMES)) == list(JOINT_NAMES), "joints")
    check_entry(type(header.get("gaussians", 0)) is int, "gaussians")
    for key in ("axes", "units", "consent", "tensors_sha256"):
        check_entry(isinstance(header.get(key, ""), str), key)
    size = _object(header, "settings", {}).get("size", 256)
    check_entry(type(size) is int and 1 <= size <= _MAX_SIDE, "settings.size")
    for key, value in _object(header, "track", {}).items():
        check_entry(isinstance(value, str), f"track.{key}")
    if "capture" in header:
        _check_capture(_object(header, "capture"))


def _check_head(head: Mapping[str, Any]) -> None:
    check_entry(_is_text(head.get("name")), "head.name")
    check_entry(_is_text(head.get("licence")), "head.licence")
    check_entry(_is_texts(head.get("capabilities")), "head.capabilities")
    parents = head.get("parents")
    is_tree = isinstance(parents, list) and len(parents) == len(JOINT_NAMES)
    for joint, parent in enumerate(parents if isinstance(parents, list) and is_tree else ()):
        is_tree = is_tree and type(parent) is int and (parent == -1 if joint == 0 else 0 <= parent < joint)
    check_entry(is_tree, "head.parents")


def _check_capture(capture: Mapping[str, Any]) -> None:
    for key in ("name", "fingerprint"):
        check_entry(isinstance(capture.get(key, ""), str), f"capture.{key}")
    for key in ("width", "height"):
        check_entry(type(capture.get(key)) is int and 1 <= capture[key] <= _MAX_SIDE, f"capture.{key}")
    camera = _object(capture, "camera", where="capture.")
    for key, size in (("K", 3), ("world_to_cam", 4)):
        rows = camera.get(key)
        is_matrix = isinstance(rows, list) and len(rows) == size
        for row in rows if isinstance(rows, list) else ():
            is_matrix = is_matrix and isinstance(row, list) and len(row) == size
            is_matrix = is_matrix and all(_is_number(value, 1e6) for value in row)
        check_entry(is_matrix, f"capture.camera.{key}")


def recordings_of(header: Mapping[str, Any]) -> tuple[RecordingEntry, ...]:
    """The recordings that the header of a file names; none without appearances.

    Raises:
        ValueError: the entry is not one.
    """
    if ENTRY not in header:
        return ()
    entry = header[ENTRY]
    recordings = entry.get("recordings") if isinstance(entry, dict) else None
    if not isinstance(recordings, list) or not 2 <= len(recordings) <= MOST:
        raise ValueError(f"its header has no entry '{ENTRY}.recordings' or a wrong one")
    for each in recordings:
        texts = [each.get(key) for key in ("name", "fingerprint", "consent")] if isinstance(each, dict) else [None]
        if not all(isinstance(text, str) and is_unicode(text) and len(text) <= _MAX_TEXT for text in texts):
            raise ValueError(f"its header has no entry '{ENTRY}.recordings' or a wrong one")
    names = [each["name"] for each in recordings]
    if len(set(names)) < len(names) or not all(names):
        raise ValueError(f"its header has a wrong entry '{ENTRY}.recordings': names must differ")
    return tuple(RecordingEntry(each["name"], each["fingerprint"], each["consent"]) for each in recordings)


def check_entry(fits: bool, key: str) -> None:
    """Raise ValueError about the entry `key` of a header unless it `fits`."""
    if not fits:
        raise ValueError(f"its header has no entry {key!r} or a wrong one")


def _object(
    parent: Mapping[str, Any], key: str, default: Mapping[str, Any] | None = None, where: str = ""
) -> Mapping[str, Any]:
    value = parent.get(key, default)
    check_entry(isinstance(value, dict), where + key)
    return value if isinstance(value, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and is_unicode(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(each) and 0 < len(each) <= _MAX_NAME for each in value)


def _is_number(value: object, limit: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= limit  # False for NaN
