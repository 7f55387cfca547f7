"""Output folder of metrical-tracker: checkpoint/NNNNN.frame, and the source images.

There the head is static and the camera moves; the views are converted (see grouping.as_static_camera).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from avatar.motion.files.metrical_frame import RATE, is_pixel3dmm, load_frame
from capture.layouts.checks import first_file, image_side, no_link, number, rigid_transform
from capture.layouts.grouping import MOVING, as_static_camera
from capture.layouts.transforms import natural_key
from capture.layouts.views import View, ViewSet

CHECKPOINTS = "checkpoint"
_IMAGES = ("input", "images", "source")
_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_metrical(folder: Path) -> ViewSet:
    """Views of a metrical-tracker output folder.

    Raises:
        HeadsplatError: a checkpoint is damaged or its image is missing.
    """
    files = sorted((folder / CHECKPOINTS).glob("*.frame"), key=natural_key)
    if not files:
        raise HeadsplatError(f"{folder / CHECKPOINTS}: no .frame files in it; run metrical-tracker again")
    views = [_view(folder, path, step) for step, path in enumerate(files)]
    odd = next((view for view in views if view.size != views[0].size), None)
    if odd is not None:
        raise HeadsplatError(
            f"{odd.flame}: {odd.size[0]}x{odd.size[1]} pixels, others {views[0].size[0]}x{views[0].size[1]}; "
            "track images of one size"
        )
    note = MOVING.format(folder.name)
    return ViewSet(folder, "metrical-tracker", ("0",), tuple(as_static_camera(views)), (note,))


def _view(folder: Path, path: Path, step: int) -> View:
    content = load_frame(no_link(folder, path))
    if is_pixel3dmm(content):
        raise HeadsplatError(
            f"{path}: a frame of Pixel3DMM, whose images are elsewhere; capture the video that it tracked, and give "
            "this folder as --motion"
        )
    camera = content.get("opencv")
    if not isinstance(camera, dict) or not all(key in camera for key in ("R", "t", "K")):
        raise HeadsplatError(f"{path}: no camera (`opencv` with R, t, K) in it; run metrical-tracker again")
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = _array(camera["R"], (3, 3), f"{path}: R")
    world_to_cam[:3, 3] = _array(camera["t"], (3,), f"{path}: t")
    K = _array(camera["K"], (3, 3), f"{path}: K")
    for value in (K[0, 0], K[1, 1]):
        number(float(value), f"{path}: focal length", 1.0, 1e6)
    height, width = _array(content.get("img_size"), (2,), f"{path}: img_size").tolist()
    size = image_side(width, f"{path}: width"), image_side(height, f"{path}: height")
    intrinsics = np.array([[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1.0]])
    image = _image(folder, path)
    pose = rigid_transform(world_to_cam.tolist(), f"{path}: R, t")
    return View(image, None, 0, step, step / RATE, intrinsics, pose, size, flame=path)


def _image(folder: Path, path: Path) -> Path:
    found = first_file(folder, (folder / name / f"{path.stem}{suffix}" for name in _IMAGES for suffix in _SUFFIXES))
    if found is not None:
        return found
    raise HeadsplatError(
        f"{path}: its image {path.stem}.png is in none of the folders {', '.join(_IMAGES)}; copy it there"
    )


def _array(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """The values of a tensor or array as float64 [*shape]; raises HeadsplatError for another size or type."""
    try:
        array = np.asarray(value, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError) as error:
        raise HeadsplatError(f"{where}: expected {list(shape)} numbers; run metrical-tracker again") from error
    if not np.isfinite(array).all():
        raise HeadsplatError(f"{where}: entries that are not finite; run metrical-tracker again")
    return array
