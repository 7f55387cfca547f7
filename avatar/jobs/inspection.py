"""Properties of files, head models with their landmarks, and the face models of this machine."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.common.photo_files import are_photos, image_format
from avatar.errors import HeadsplatError
from avatar.jobs.notices import SILENT, Notices

if TYPE_CHECKING:
    from avatar.head import HeadModel
    from avatar.model.avatar_header import StoredTensor

_MOTIONS = (".csv", ".json", ".motion.npz", ".npy")
#: Seconds for which the frames of a video are counted; beyond that their number is an estimate.
COUNT_LIMIT = 3.0
#: Transfer characteristics of video (ITU-T H.273).
_TRANSFERS = {
    0: "not stated",
    1: "BT.709",
    2: "not stated",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "BT.601",
    7: "SMPTE 240M",
    8: "linear",
    11: "xvYCC",
    13: "sRGB",
    14: "BT.2020, 10 bits",
    15: "BT.2020, 12 bits",
    16: "PQ (HDR)",
    17: "DCI",
    18: "HLG (HDR)",
}
#: Color primaries (H.273).
_PRIMARIES = {
    0: "not stated",
    1: "BT.709",
    2: "not stated",
    4: "BT.470 M",
    5: "BT.601 (625 lines)",
    6: "BT.601 (525 lines)",
    9: "BT.2020",
    11: "DCI-P3",
    12: "Display P3",
}


def describe_file(path: Path) -> dict[str, Any]:
    """Properties of an avatar, a capture folder or a video in JSON types."""
    if not path.exists():
        raise HeadsplatError(f"{path}: no such file or folder; give an .avatar file, a capture folder or a video")
    if path.is_dir():
        return _images(path) if _is_sequence(path) else _capture(path)
    if path.name.lower().endswith(_MOTIONS):
        raise HeadsplatError(f"{path}: use `headsplat motion info {path}` for a motion file")
    if are_photos([path]):
        return _photo(path)
    return _avatar(path) if path.suffix == ".avatar" else _video(path)


def _photo(path: Path) -> dict[str, Any]:
    from capture.photos import open_photos

    source = open_photos([path])
    name = getattr(image_format(path), "name", None)
    focal = {"focal": round(source.prior.focal, 1), "focal_origin": source.prior.origin}
    size = {"width": source.width, "height": source.height}
    notes = {"notes": list(source.warnings)} if source.warnings else {}
    properties = {"file": str(path), "kind": "photo", "bytes": path.stat().st_size, "format": name}
    return {**properties, **size, **focal, **notes, **_mark(path)}


def _avatar(path: Path) -> dict[str, Any]:
    from avatar.model.avatar_header import read_stored, recordings_of
    from avatar.model.true_size import ENTRY

    header, tensors = read_stored(path)
    properties = {"file": str(path), "kind": "avatar", "bytes": path.stat().st_size, **header}
    properties.pop(ENTRY, None)
    properties["true_size"] = _true_size(path, header, tensors)
    if names := [entry.name for entry in recordings_of(header)]:
        properties["appearance_names"] = names
    return properties


def _true_size(path: Path, header: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """The lengths of the head of an avatar in millimeters, what they come from, and how uncertain they are."""
    from avatar.model.avatar_header import damage_error
    from avatar.model.head_lengths import HeadLengths
    from avatar.model.true_size import TrueSize

    try:
        size = TrueSize.of_header(header)
        lengths = HeadLengths.stored(tensors).millimeters(size)
    except (KeyError, IndexError, ValueError) as error:
        raise damage_error(path, f"the tensors of its head: {error}") from error
    named = {f"{name.replace('-', '_')}_mm": round(length, 1) for name, length in lengths.items()}
    return {**size.entry(), **named}


def _capture(path: Path) -> dict[str, Any]:
    from avatar.data.capture_folder import METADATA_FILE, Capture
    from capture.report import read_report

    if not (path / METADATA_FILE).is_file():
        from capture.layouts import not_a_capture  # slow to import

        if (known := not_a_capture(path)) is not None:
            raise HeadsplatError(known)
    capture = Capture.load(path)
    times = capture.track["time"]
    return {
        "file": str(path),
        "kind": "capture",
        "frames": len(capture),
        "test_frames": len(capture.test_indices),
        "seconds": round(float(times[-1] - times[0]), 3) if len(times) else 0.0,
        "mean_reprojection": round(float(capture.track["reprojection"].mean()), 5),
        **capture.metadata,
        "report": read_report(capture),
    }


def _video(path: Path) -> dict[str, Any]:
    from capture.video.decoding import open_video

    metadata, counted = open_video(path).count_frames(COUNT_LIMIT)
    return {
        "file": str(path),
        "kind": "video",
        "bytes": path.stat().st_size,
        **dataclasses.asdict(metadata),
        "notes": list(metadata.notes),
        "frames_counted": counted,
        "transfer_name": _TRANSFERS.get(metadata.transfer, "unknown"),
        "primaries_name": _PRIMARIES.get(metadata.primaries, "unknown"),
        **_mark(path),
    }


def _is_sequence(path: Path) -> bool:
    """Whether a folder has numbered images of `render` and is no capture."""
    from avatar.common.credentials import images_in
    from avatar.data.capture_folder import METADATA_FILE

    return not (path / METADATA_FILE).is_file() and bool(images_in(path))


def _images(path: Path) -> dict[str, Any]:
    """A folder of numbered images, and what all or some of them say of where they come from."""
    from avatar.common.credentials import images_in, read_credentials
    from avatar.common.made_note import has_note

    images = images_in(path)
    noted = sum(has_note(image) for image in images)
    found = [read_credentials(image) for image in images]
    states = Counter("none" if each is None else str(each["state"]) for each in found)
    first = next((each for each in found if each is not None), None)
    signed = {} if first is None else {"credentials": {**first, "state": _counted(states)}}
    size = sum(image.stat().st_size for image in images)
    return {
        "file": str(path),
        "kind": "images",
        "bytes": size,
        "count": len(images),
        "synthetic": _counted({"yes": noted, "not stated": len(images) - noted}),
        **signed,
    }


def _counted(states: Mapping[str, int]) -> str:
    """The state of all images, or how many have which."""
    present = {state: count for state, count in states.items() if count}
    return (
        next(iter(present)) if len(present) == 1 else ", ".join(f"{count} {state}" for state, count in present.items())
    )


def _mark(path: Path) -> dict[str, Any]:
    """What a film or image says of where it comes from: the sentence in its metadata, its content credentials."""
    from avatar.common.credentials import read_credentials
    from avatar.common.made_note import NOTE, has_note

    found = read_credentials(path)
    signed = {} if found is None else {"credentials": found}
    return {"comment": NOTE, **signed} if has_note(path) else signed


def load_located_head(source: str, notices: Notices = SILENT) -> HeadModel:
    """Load the head `source`, with landmarks that the network locates, where its model can be loaded.

    Args:
        source: embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder.
        notices: of the job.

    Raises:
        HeadsplatError: not a head model.
    """
    from avatar.head import load_head
    from capture.faces.landmarks import HeadDetector

    return load_head(source, HeadDetector(), notices.say)


def model_files() -> dict[str, str]:
    """By name, where each face model of the capture is, or how it gets there."""
    from capture.networks.models import WHEEL_MEMBERS, cache_dir, installed_folder

    folder = os.environ.get("HEADSPLAT_MODELS")
    if folder:
        return {"folder": f"{folder} (HEADSPLAT_MODELS), then {cache_dir()}"}
    missing = f"not downloaded: the first `headsplat capture` downloads it (35 MB); or put a copy into {cache_dir()}"
    place = installed_folder() or cache_dir()
    return {name: str(path) if (path := place / f"{name}.tflite").is_file() else missing for name in WHEEL_MEMBERS}
