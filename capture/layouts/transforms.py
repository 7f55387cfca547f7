"""`transforms.json` and its siblings in the layouts of NeRF, VHAP / GaussianAvatars and INSTA.

One file for all frames, or one each for training, validation and test, or both; shared or per-frame intrinsics.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.common.json_values import short
from avatar.errors import HeadsplatError
from capture.layouts.checks import (
    first_file,
    image_side,
    integer,
    inverse,
    number,
    path_within,
    read_json,
    rigid_transform,
    text,
)

ALL_FILE = "transforms.json"
SPLITS = ("train", "val", "test")
#: OpenGL camera axes (y up, z back) <-> OpenCV (y down, z forward); an involution.
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Entry:
    """One validated frame of the files; cameras in the axes of the file."""

    where: str  # file and entry, for messages
    image: Path
    camera_to_world: np.ndarray | None  # [4,4]
    K: np.ndarray | None  # [3,3] pixels
    size: tuple[int, int]
    time: float | None
    time_step: int | None
    camera_index: int | None
    camera_id: str | None
    is_test: bool | None
    distorted: bool
    raw: dict[str, Any]  # as in the file


def transforms_files(root: Path) -> list[Path]:
    """The transforms files of a folder: the one for all frames, then those of the splits."""
    names = [ALL_FILE, *(f"transforms_{split}.json" for split in SPLITS)]
    return [root / name for name in names if (root / name).is_file()]


def read_entries(root: Path) -> list[Entry]:
    """Entries of every transforms file of the folder, once for each image, in natural order of the file names.

    A frame is held out if the training file does not list it and another file does.

    Raises:
        HeadsplatError: a file is malformed, or there are no frames.
    """
    entries: dict[Path, Entry] = {}
    splits: dict[Path, set[str]] = {}
    sizes: dict[Path, tuple[int, int]] = {}
    for path in transforms_files(root):
        content = read_json(path)
        frames = content.get("frames")
        if not isinstance(frames, list):
            raise HeadsplatError(f"{path}: no list of `frames` in it; export the folder again")
        split = path.stem.removeprefix("transforms").strip("_")
        for index, frame in enumerate(frames):
            where = f"{path}: frame {index}"
            if not isinstance(frame, dict):
                raise HeadsplatError(f"{where}: expected an object, got {short(frame)}; export the folder again")
            image = _image(root, frame, where)
            key = image.resolve()  # one image may have several spellings
            if key not in entries:
                entries[key] = _entry(content, frame, image, where, sizes)
            splits.setdefault(key, set()).add(split)
    if not entries:
        raise HeadsplatError(f"{root}: no frames in its transforms files; export the folder again")
    known = set().union(*splits.values())
    marked = [_with_split(entry, splits[image], known) for image, entry in entries.items()]
    return sorted(marked, key=lambda entry: natural_key(entry.image))


def natural_key(path: Path) -> tuple[Any, ...]:
    """Key that sorts frame 2 before frame 10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _NUMBER.split(str(path)))


def _with_split(entry: Entry, splits: set[str], known: set[str]) -> Entry:
    """The entry, listed in `splits`, with `is_test`; `known` are all splits of the folder."""
    if "train" in known:
        return replace(entry, is_test="train" not in splits)
    return replace(entry, is_test=bool(splits & set(SPLITS))) if known & set(SPLITS) else entry


def _image(root: Path, frame: dict[str, Any], where: str) -> Path:
    name = frame.get("file_path")
    if not isinstance(name, str) or not name:
        raise HeadsplatError(f"{where}: no `file_path`; export the folder again")
    path = path_within(root, name, f"{where}: file_path")
    found = first_file(root, (path, *(path.with_name(path.name + suffix) for suffix in _SUFFIXES)))
    if found is None:
        raise HeadsplatError(f"{where}: the image {name} is missing; copy it into {root} or export the folder again")
    return found


def _entry(
    shared: dict[str, Any], frame: dict[str, Any], image: Path, where: str, sizes: dict[Path, tuple[int, int]]
) -> Entry:
    """Validate a frame with the values `shared` by its file; `sizes` caches image sizes by folder."""
    merged = {**{key: value for key, value in shared.items() if key != "frames"}, **frame}
    size = _size(merged, image, where, sizes)
    matrix = merged.get("transform_matrix")
    step = merged.get("timestep_index")
    index = merged.get("camera_index")
    name = merged.get("camera_id")
    time = merged.get("time")
    return Entry(
        where,
        image,
        None if matrix is None else rigid_transform(matrix, f"{where}: transform_matrix"),
        _intrinsics(merged, size, where),
        size,
        None if time is None else number(time, f"{where}: time", -1e9, 1e9),
        None if step is None else integer(step, f"{where}: timestep_index"),
        None if index is None else integer(index, f"{where}: camera_index"),
        None if name is None else _camera_name(name, f"{where}: camera_id"),
        None,
        any(isinstance(merged.get(k), (int, float)) and abs(merged[k]) > 1e-6 for k in _DISTORTION),
        frame,
    )


def _camera_name(value: Any, where: str) -> str:
    """The name of a camera: a text, or a whole number as some exporters write."""
    return text(value, where)[:80] if isinstance(value, str) else str(integer(value, where))


def _size(merged: dict[str, Any], image: Path, where: str, sizes: dict[Path, tuple[int, int]]) -> tuple[int, int]:
    """(width, height) as stated, otherwise of the first image in the same folder."""
    if merged.get("w") is not None and merged.get("h") is not None:
        return image_side(merged["w"], f"{where}: w"), image_side(merged["h"], f"{where}: h")
    if image.parent not in sizes:
        read = read_image(image, cv2.IMREAD_COLOR)
        if read is None:
            raise HeadsplatError(f"{image}: damaged image; export the folder again")
        sizes[image.parent] = (read.shape[1], read.shape[0])
    return sizes[image.parent]


def _intrinsics(merged: dict[str, Any], size: tuple[int, int], where: str) -> np.ndarray | None:
    """[3,3] pixels, from focal lengths or fields of view; None where neither is stated."""
    width, height = size

    def focal(name: str, angle: str, length: int) -> float | None:
        if merged.get(name) is not None:
            return number(merged[name], f"{where}: {name}", 1.0, 1e6)
        if merged.get(angle) is not None:
            return 0.5 * length / math.tan(0.5 * number(merged[angle], f"{where}: {angle}", 1e-3, 3.1))
        return None

    fx = focal("fl_x", "camera_angle_x", width)
    fy = focal("fl_y", "camera_angle_y", height) or fx
    if fx is None or fy is None:
        return None
    cx = width / 2 if merged.get("cx") is None else number(merged["cx"], f"{where}: cx", -1e5, 1e5)
    cy = height / 2 if merged.get("cy") is None else number(merged["cy"], f"{where}: cy", -1e5, 1e5)
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def world_to_cam(camera_to_world: np.ndarray | None, opengl: bool) -> np.ndarray | None:
    """Transform [4,4] from world to OpenCV camera axes, from a camera pose in OpenGL or OpenCV axes."""
    if camera_to_world is None:
        return None
    return inverse(camera_to_world @ FLIP if opengl else camera_to_world)
