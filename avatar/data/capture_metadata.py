"""capture.json: read as from a stranger, every key that headsplat uses checked before anything is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatar.common.frame_rate import MAX_FPS
from avatar.common.json_values import JsonValue, read_json_object
from avatar.common.jsonable import shortened
from avatar.common.links import check_within
from avatar.errors import HeadsplatError

MAGIC = "headsplat-capture"
VERSION = 3
READABLE = (1, 2, 3)
METADATA_FILE = "capture.json"
REMEDY = "run `headsplat capture` on the video again"
SPLIT_MODES = ("fraction", "every", "yaw", "camera", "file", "none")
#: The longer side of an image, and the largest whole number that is a count or a frame number.
MAX_SIDE = 16384
MAX_COUNT = 1_000_000_000
#: Focal lengths as multiples of the longer side of the frame: 0.1 sees 157 degrees, 100 half a degree.
_FOCAL = (0.1, 100.0)
#: Where an unfinished capture has its results.
PARTIAL_DIR = "partial"
#: Largest distance of the principal point from the corner of the frame, as a multiple of its longer side.
CENTER = 10.0
#: Meters: a camera or a head is nowhere farther from the origin.
MAX_DISTANCE = 1000.0
_MAX_CAMERAS = 1000


def read_metadata(root: Path) -> dict[str, Any]:
    """The content of capture.json in the capture folder `root`, version 1 with `cameras` like later ones.

    Raises:
        HeadsplatError: no folder, an unfinished capture, or a damaged one; the sentence names the key.
    """
    path = root / METADATA_FILE
    if not root.is_dir():
        raise HeadsplatError(f"{root}: no such capture folder; make one with `headsplat capture VIDEO -o {root}`")
    if not path.is_file():
        begun = (root / "partial").is_dir()
        remedy = (
            f"run `headsplat capture VIDEO -o {root}` to finish it" if begun else "give one made by `headsplat capture`"
        )
        raise HeadsplatError(f"{root}: not a finished capture ({METADATA_FILE} is missing); {remedy}")
    metadata = read_json_object(check_within(root, path), REMEDY)
    if metadata.get("magic") != MAGIC:
        raise HeadsplatError(f"{path}: not a headsplat capture; give a folder made by `headsplat capture`")
    version = metadata.get("version")
    if type(version) is not int or version not in READABLE:
        raise HeadsplatError(
            f"{path}: capture version {shortened(str(version))}, this headsplat reads up to version {VERSION}; "
            "capture the video again with this headsplat"
        )
    if version == 1 and isinstance(metadata.get("camera"), dict):
        metadata = {**metadata, "cameras": [{"name": "0", **metadata["camera"]}]}
    _check(JsonValue(metadata, str(path), REMEDY))
    return metadata


def _check(metadata: JsonValue) -> None:
    """Raise HeadsplatError unless all keys that the format describes have valid values."""
    size = [metadata[name].integer(1, MAX_SIDE) for name in ("width", "height")]
    for name in ("width", "height"):
        if not isinstance(metadata[name].value, int):  # OpenCV refuses 64.0
            raise metadata[name].error("a whole number")
    for name in ("cameras", "source", "split", "head"):
        if metadata[name].value in ({}, []):
            raise HeadsplatError(f"{metadata.where}: damaged (no `{name}` in it); {REMEDY}")
    _check_cameras(metadata["cameras"], max(size))
    _check_source(metadata["source"])
    _check_head(metadata["head"])
    _check_split(metadata["split"])
    _check_details(metadata)


def _check_cameras(cameras: JsonValue, side: int) -> None:
    names = set()
    for camera in cameras.entries():
        names.add(camera["name"].text())
        _check_intrinsics(camera["K"], side)
        pose = camera["world_to_cam"]
        if abs(pose.matrix(4, 4)[:3, 3]).max() > MAX_DISTANCE:
            raise pose.error(f"a camera at most {MAX_DISTANCE:g} m from the origin")
        pose.rigid_transform()
        _check_numbers(camera, ("focal_px",))
        if (estimated := camera.get("focal_estimated")) is not None:
            estimated.flag()
        if (sigma := camera.get("focal_sigma")) is not None and not isinstance(sigma.value, (int, float)):
            raise sigma.error("a number")
        if (axes := camera.get("axes")) is not None:
            axes.text()
    if not len(names) == len(cameras.value) <= _MAX_CAMERAS:
        raise cameras.error(f"at most {_MAX_CAMERAS} cameras of different names")


def _check_intrinsics(K: JsonValue, side: int) -> None:
    matrix = K.matrix(3, 3)
    low, high = (limit * side for limit in _FOCAL)
    if not all(low <= focal <= high for focal in (matrix[0, 0], matrix[1, 1])):
        raise K.error(f"focal lengths of {low:g} to {high:g} pixels")
    if abs(matrix[:2, 2]).max() > CENTER * side:
        raise K.error(f"a principal point at most {CENTER * side:g} pixels from the corner of the frame")
    if matrix[0, 1] or matrix[1, 0] or matrix[2].tolist() != [0, 0, 1]:
        raise K.error("[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")


def _check_source(source: JsonValue) -> None:
    _check_texts(source, ("name", "sha256", "layout"))
    if (fps := source.get("fps")) is not None and fps.number(0, MAX_FPS) == 0:
        raise fps.error("more than 0 frames per second")
    for name, low in (("frames", 0), ("width", 1), ("height", 1), ("rotation", -360), ("turned", -360)):
        if (count := source.get(name)) is not None:
            count.integer(low, MAX_COUNT)


def _check_head(head: JsonValue) -> None:
    head["model_id"].text()
    _check_texts(head, ("name", "licence", "source"))
    names = [name.text() for name in head["expression_names"].entries()]
    if len(set(names)) < len(names):
        raise head["expression_names"].error("names that are all different")
    _check_sentences(head.get("notes"))


def _check_split(split: JsonValue) -> None:
    if split["mode"].text() not in SPLIT_MODES:
        raise split["mode"].error(f"one of {', '.join(SPLIT_MODES)}")
    if (value := split.get("value", nullable=True)) is not None:
        if split.value["mode"] == "camera":
            value.text()
        else:
            value.number(0, MAX_COUNT)
    for name in ("train", "test"):
        if (count := split.get(name)) is not None:
            count.integer(0, MAX_COUNT)


def _check_details(metadata: JsonValue) -> None:
    """The keys that are not required."""
    _check_texts(metadata, ("headsplat",))
    if (still := metadata.get("still")) is not None:
        still.flag()
    if (consent := metadata.get("consent", nullable=True)) is not None:
        consent.text(empty=True)
    if (interocular := metadata.get("interocular")) is not None:
        interocular.number(10, 300)
    _check_sentences(metadata.get("warnings"))
    for name in ("units", "world"):
        if (entry := metadata.get(name)) is not None:
            entry.keys()
    if (crop := metadata.get("crop")) is not None:
        _check_numbers(crop, ("width", "height", "scale"), 1e-6)
        _check_numbers(crop, ("x", "y"), -MAX_COUNT)
    if (lost := metadata.get("lost")) is not None:
        for number in lost.entries():
            number.integer(0, MAX_COUNT)
    if (flagged := metadata.get("flagged")) is not None:
        for entry in flagged.entries():
            entry["frame"].integer(0, MAX_COUNT)
            entry["reason"].text()
            _check_numbers(entry, ("weight",), 0, 1)
    if (seconds := metadata.get("seconds")) is not None:
        _check_numbers(seconds, tuple(seconds.keys()))
    if (quality := metadata.get("quality")) is not None:
        _check_quality(quality)
    options = metadata.get("options")
    if options is not None and (focal := options.get("focal", nullable=True)) is not None:
        focal.number(0, MAX_COUNT)


def _check_quality(quality: JsonValue) -> None:
    for name in ("jitter", "jitter_per_frame"):
        if (jitter := quality.get(name)) is not None:
            for key in {"rotation_deg", "depth_cm", *jitter.keys()}:
                jitter[key].number(0, MAX_COUNT)


def _check_texts(entry: JsonValue, names: tuple[str, ...]) -> None:
    for name in names:
        if (value := entry.get(name)) is not None:
            value.text()


def _check_sentences(value: JsonValue | None) -> None:
    for entry in value.entries() if value is not None else ():
        entry.text()


def _check_numbers(entry: JsonValue, names: tuple[str, ...], low: float = 0.0, high: float = MAX_COUNT) -> None:
    for name in names:
        if (value := entry.get(name)) is not None:
            value.number(low, high)
