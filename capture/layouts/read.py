"""Recognition of a folder's layout by its content, and its views."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from avatar.common.image_io import read_image
from avatar.common.photo_files import PHOTO_SUFFIXES
from avatar.data.capture_folder import METADATA_FILE
from avatar.data.capture_metadata import PARTIAL_DIR
from avatar.errors import HeadsplatError
from capture.layouts.checks import no_link, path_within, text
from capture.layouts.grouping import MOVING, make_views
from capture.layouts.imavatar import is_imavatar, read_imavatar
from capture.layouts.metrical import CHECKPOINTS, read_metrical
from capture.layouts.transforms import Entry, read_entries, transforms_files
from capture.layouts.videos import read_videos, video_files
from capture.layouts.views import View, ViewSet

#: Keys of a frame that only INSTA's exporter writes.
_INSTA_KEYS = ("exp_path", "mesh_path", "seg_mask_path")
_SUPPORTED = (
    "a transforms.json (NeRF, VHAP / GaussianAvatars, INSTA), checkpoint/*.frame (metrical-tracker), flame_params.json "
    "and image/ (IMavatar), or several videos"
)
#: How deep datasets and images are looked for, in how many folders, and among how many entries of each.
_DEPTH = 3
_MOST_FOLDERS = 200
_MOST_ENTRIES = 2000
_IMAGES_ALONE = (
    "images without cameras; make a video of them, such as with `ffmpeg -framerate 25 -i {}/%05d.png video.mp4`, and "
    "give that, or up to 20 of them as photos"
)


def is_layout(folder: Path) -> bool:
    """Whether `read_layout` supports the folder."""
    return bool(
        transforms_files(folder)
        or (folder / CHECKPOINTS).is_dir()
        or is_imavatar(folder)
        or len(video_files(folder)) > 1
    )


def not_a_capture(folder: Path) -> str | None:
    """What a folder is that is no capture, not even an unfinished one, and what to do; None for a capture."""
    if (folder / METADATA_FILE).exists() or (folder / PARTIAL_DIR).is_dir() or not folder.is_dir():
        return None
    if is_layout(folder):
        return (
            f"{folder}: a folder of several cameras, not a capture; run `headsplat capture {folder} -o "
            "NAME.capture` first and give that"
        )
    known = _known(folder)
    return None if known is None else f"{folder}: {known}"


def read_layout(folder: str | Path) -> ViewSet:
    """Views of a folder by several cameras, or by one with known pose.

    Raises:
        HeadsplatError: no layout is recognized, or the folder is malformed; one sentence that names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise HeadsplatError(f"{folder}: no such folder; check its path")
    if transforms_files(folder):
        return _read_transforms(folder)
    if (folder / CHECKPOINTS).is_dir():
        return read_metrical(folder)
    if is_imavatar(folder):
        return read_imavatar(folder)
    if len(video_files(folder)) > 1:
        return read_videos(folder)
    if (known := _known(folder)) is not None:
        raise HeadsplatError(f"{folder}: {known}")
    raise HeadsplatError(f"{folder}: no layout of several cameras is recognized; the folder must have {_SUPPORTED}")


def _known(folder: Path) -> str | None:
    """What a folder without a layout is, and what to give instead; None where that is not known."""
    if (folder / "calibration" / "camera_params.json").is_file():
        return f"a person of NeRSemble; give the videos of a sequence, {folder / 'sequences' / 'NAME' / 'images'}"
    videos = [path for path in (folder, folder / "images") if path.is_dir() and video_files(path)]
    if videos:
        one = video_files(videos[0])
        return f"videos in a folder; give {one[0] if len(one) == 1 else videos[0]}"
    folders = list(islice(_folders(folder, _DEPTH), _MOST_FOLDERS))
    if (dataset := next((below for below in folders[1:] if is_layout(below)), None)) is not None:
        return f"a folder of datasets; give one of them, such as {dataset}"
    images = next((below for below in folders if _has_images(below)), None)
    return None if images is None else _IMAGES_ALONE.format(images)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """`folder` and those below it, without links and hidden ones."""
    yield folder
    if depth:
        entries = [entry for entry in islice(folder.iterdir(), _MOST_ENTRIES) if not entry.name.startswith(".")]
        for entry in sorted(entry for entry in entries if entry.is_dir() and not entry.is_symlink()):
            yield from _folders(entry, depth - 1)


def _has_images(folder: Path) -> bool:
    """Whether several images are directly in a folder."""
    entries = islice(folder.iterdir(), _MOST_ENTRIES)
    images = (entry for entry in entries if entry.suffix.lower() in PHOTO_SUFFIXES and entry.is_file())
    return len(list(islice(images, 2))) == 2


def _read_transforms(folder: Path) -> ViewSet:
    entries = read_entries(folder)
    layout = _layout_name(folder, entries)
    opengl = layout != "insta" or not _is_opencv(entries)
    names, views = make_views(entries, opengl)
    views = [
        replace(view, mask=mask, flame=_flame(folder, entry, view))
        for view, entry, mask in zip(views, entries, _masks(folder, entries), strict=True)
    ]
    notes = []
    if any(entry.distorted for entry in entries):
        notes.append(f"{folder.name}: lens distortion is ignored; undistort the images if it is visible")
    if any(view.head_motion is not None for view in views):
        notes.append(MOVING.format(folder.name))
    ordered = sorted(views, key=lambda view: (view.time_step, view.camera))
    return ViewSet(folder, layout, names, tuple(ordered), tuple(notes))


def _layout_name(folder: Path, entries: Sequence[Entry]) -> str:
    if any("flame_param_path" in entry.raw for entry in entries) or (folder / "flame_param").is_dir():
        return "vhap"
    if (folder / "flame_param.npz").is_file():
        return "vhap"
    single = all(entry.camera_index is None and entry.camera_id is None for entry in entries)
    return "insta" if single and any(key in entry.raw for entry in entries for key in _INSTA_KEYS) else "nerf"


def _is_opencv(entries: Sequence[Entry]) -> bool:
    """Whether most cameras look at the origin, where INSTA has the head, along +z: OpenCV axes."""
    poses = [entry.camera_to_world for entry in entries if entry.camera_to_world is not None]
    ahead = [float(-pose[:3, 3] @ pose[:3, 2]) > 0 for pose in poses]
    return not ahead or float(np.mean(ahead)) > 0.5


def _masks(folder: Path, entries: Sequence[Entry]) -> list[Path | None]:
    """A matte of each entry: the stated one, one in fg_masks/, the alpha of INSTA's matted/ or of the image."""
    has_alpha: dict[Path, bool] = {}
    result: list[Path | None] = []
    for entry in entries:
        stated = next((_path(entry, key) for key in ("fg_mask_path", "mask_path") if entry.raw.get(key)), None)
        name = entry.image.with_suffix(".png").name
        mattes = [path for path in (folder / "fg_masks" / name, folder / "matted" / name) if path.is_file()]
        if stated is not None:
            result.append(_stated_mask(folder, entry, stated, has_alpha))
        elif mattes and (mattes[0].parent.name != "matted" or _has_alpha(mattes[0], has_alpha)):
            result.append(no_link(folder, mattes[0]))
        else:
            result.append(entry.image if _has_alpha(entry.image, has_alpha) else None)
    return result


def _path(entry: Entry, key: str) -> str:
    """The path that an entry states under `key`."""
    return text(entry.raw[key], f"{entry.where}: {key}")


def _stated_mask(folder: Path, entry: Entry, stated: str, has_alpha: dict[Path, bool]) -> Path:
    """The path of a mask that the file names; raises HeadsplatError if it cannot be one."""
    path = path_within(folder, stated, f"{entry.where}: fg_mask_path")
    try:
        missing = not path.is_file()
    except OSError:  # a name too long for the file system
        missing = True
    if missing:
        raise HeadsplatError(f"{entry.where}: the mask {stated[:200]} is missing; copy it into {folder}")
    if path.resolve() == entry.image.resolve() and not _has_alpha(path, has_alpha):
        raise HeadsplatError(
            f"{entry.where}: the mask {stated} is the image itself, which has no alpha channel; "
            "name a mask or leave fg_mask_path out"
        )
    return no_link(folder, path)


def _has_alpha(image: Path, known: dict[Path, bool]) -> bool:
    """Whether images in this folder have an alpha channel, by the first one tested."""
    if image.suffix.lower() != ".png":
        return False
    if image.parent not in known:
        read = read_image(image, cv2.IMREAD_UNCHANGED)
        known[image.parent] = read is not None and read.ndim == 3 and read.shape[2] == 4
    return known[image.parent]


def _flame(folder: Path, entry: Entry, view: View) -> Path | None:
    """FLAME parameters at the entry's time step, where the folder has them."""
    keys = [key for key in ("flame_param_path", "exp_path") if entry.raw.get(key) is not None]
    candidates = [path_within(folder, _path(entry, key), f"{entry.where}: {key}") for key in keys]
    candidates += [folder / "flame_param" / f"{view.time_step:05d}.npz", folder / "flame_param.npz"]
    path = next((path for path in candidates if os.path.isfile(path)), None)
    return None if path is None else no_link(folder, path)
