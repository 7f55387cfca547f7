"""IMavatar's folders (also of PointAvatar, FLARE, SplattingAvatar): image/N.png, mask/N.png and flame_params.json.

One camera stands still and the head moves before it (code/datasets/real_dataset.py); `intrinsics` are fx, fy, cx, cy as
fractions of the image's sides, in old files pixels of an image of 512.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.errors import HeadsplatError
from capture.layouts.checks import first_file, number, path_within, read_json, text
from capture.layouts.grouping import FACING
from capture.layouts.transforms import natural_key
from capture.layouts.views import View, ViewSet

PARAMETERS = "flame_params.json"
#: Frames per second of its preprocessing.
_RATE = 25.0
_OLD_SIDE = 512.0
_IMAGES = ("image", "images")
_MASKS = ("mask", "masks")


def is_imavatar(folder: Path) -> bool:
    """Whether a folder has IMavatar's parameters and images."""
    return (folder / PARAMETERS).is_file() and any((folder / name).is_dir() for name in _IMAGES)


def read_imavatar(folder: Path) -> ViewSet:
    """Views of a folder of IMavatar.

    Raises:
        HeadsplatError: the parameters are malformed, or an image is missing.
    """
    path = folder / PARAMETERS
    content = read_json(path)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise HeadsplatError(f"{path}: no list of `frames` in it; export the folder again")
    images = [_image(folder, frame, f"{path}: frame {index}") for index, frame in enumerate(frames)]
    order = sorted(set(images), key=natural_key)
    numbers = [int(image.stem) if image.stem.isascii() and image.stem.isdigit() else -1 for image in order]
    steps = [n - numbers[0] for n in numbers] if -1 not in numbers else list(range(len(order)))
    first = read_image(order[0], cv2.IMREAD_COLOR)
    if first is None:
        raise HeadsplatError(f"{order[0]}: damaged image; export the folder again")
    size = first.shape[1], first.shape[0]
    K = _intrinsics(content.get("intrinsics"), size, f"{path}: intrinsics")
    views = [
        View(image, None, 0, step, step / _RATE, K, FACING.copy(), size, mask=_mask(folder, image))
        for image, step in zip(order, steps, strict=True)
    ]
    note = f"{folder.name}: {_RATE:g} fps are assumed, as IMavatar cuts videos"
    return ViewSet(folder, "imavatar", ("0",), tuple(views), (note,))


def _image(folder: Path, frame: Any, where: str) -> Path:
    name = text(frame.get("file_path") if isinstance(frame, dict) else None, f"{where}: file_path")
    path = path_within(folder, name, f"{where}: file_path")
    parents = (path.parent, *(path.parent.with_name(other) for other in _IMAGES))
    found = first_file(folder, (parent / name for parent in parents for name in (path.name, f"{path.name}.png")))
    if found is None:
        raise HeadsplatError(f"{where}: the image {name[:200]} is missing; copy it into {folder}")
    return found


def _mask(folder: Path, image: Path) -> Path | None:
    return first_file(folder, (image.parent.with_name(name) / image.name for name in _MASKS))


def _intrinsics(value: Any, size: tuple[int, int], where: str) -> np.ndarray:
    if not isinstance(value, list) or len(value) != 4:
        raise HeadsplatError(f"{where}: expected fx, fy, cx, cy; export the folder again")
    fx, fy, cx, cy = (abs(number(entry, where, -1e6, 1e6)) for entry in value)
    unit = _OLD_SIDE if cy > 1 else 1.0
    width, height = size[0] / unit, size[1] / unit
    if min(fx * width, fy * height) < 1:
        raise HeadsplatError(f"{where}: a focal length of 0; export the folder again")
    return np.array([[fx * width, 0.0, cx * width], [0.0, fy * height, cy * height], [0.0, 0.0, 1.0]])
