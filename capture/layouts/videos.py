"""A folder of synchronized videos, one per camera: cam0.mp4, cam1.mp4 ...; calibrated in the layout of NeRSemble only.

There sequences/NAME/images/cam_SERIAL.mp4 has its cameras in calibration/camera_params.json of the person:
`world_2_cam` [4,4] by serial in OpenCV axes, `intrinsics` [3,3] by serial or for all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatar.common.photo_files import is_film
from avatar.errors import HeadsplatError
from capture.layouts.checks import no_link, number, read_json, rigid_transform
from capture.layouts.transforms import natural_key
from capture.layouts.views import View, ViewSet
from capture.video.decoding import VideoSource, open_video

_CALIBRATION = Path("calibration", "camera_params.json")
#: Fraction of the image's side by which the principal point may be off its center.
_MOST_OFF_CENTER = 0.2


def video_files(folder: Path) -> list[Path]:
    """The videos of a folder in natural order of their names."""
    files = [path for path in folder.iterdir() if is_film(path)]
    return sorted((path for path in files if not path.name.startswith(".")), key=natural_key)


def read_videos(folder: Path) -> ViewSet:
    """Views of synchronized videos: time steps are the frames of the slowest one, matched to the others.

    Raises:
        HeadsplatError: a video cannot be read, or the videos have no time in common.
    """
    files = [no_link(folder, path) for path in video_files(folder)]
    sources = [open_video(path) for path in files]
    names = tuple(path.stem for path in files)
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise HeadsplatError(f"{folder}: two videos are called {duplicate}; give each camera a different name")
    calibration = _calibration(folder)
    times = [_frame_times(source) for source in sources]
    base = np.unique(min(times, key=lambda each: (len(each) - 1) / max(each[-1] - each[0], 1e-3)))
    tolerance = 0.5 * float(np.median(np.diff(base))) + 1e-6
    cameras = [_camera(calibration, name, source) for name, source in zip(names, sources, strict=True)]
    views = []
    for camera, (path, source, frame_times) in enumerate(zip(files, sources, times, strict=True)):
        for step, frame in enumerate(_nearest(frame_times, base)):
            if abs(frame_times[frame] - base[step]) <= tolerance:
                size = (source.width, source.height)
                views.append(View(path, int(frame), camera, step, float(base[step]), *cameras[camera], size))
    if not _common(views, len(files)):
        raise HeadsplatError(f"{folder}: the videos have no time step in common; cut them to start at the same time")
    note = f"{folder.name}: the videos are assumed to start at the same time ({', '.join(names)})"
    return ViewSet(folder, "videos", names, tuple(sorted(views, key=lambda v: (v.time_step, v.camera))), (note,))


def _calibration(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file of the cameras of a sequence of NeRSemble, and its content."""
    path = folder.resolve().parent.parent.parent / _CALIBRATION
    return (path, read_json(path)) if folder.name == "images" and path.is_file() else None


def _camera(
    calibration: tuple[Path, dict[str, Any]] | None, name: str, source: VideoSource
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Intrinsics [3,3] and pose [4,4] of a camera; None where they are not known.

    Raises:
        HeadsplatError: the calibration is malformed, lacks the camera, or is for another size of images.
    """
    if calibration is None:
        return None, None
    path, content = calibration
    serial = name.removeprefix("cam_")
    where = f"{path}: {serial}"
    poses = content.get("world_2_cam")
    lenses = content.get("intrinsics")
    lens = lenses.get(serial) if isinstance(lenses, dict) else lenses
    if not isinstance(poses, dict) or serial not in poses or not isinstance(lens, list):
        raise HeadsplatError(f"{where}: no such camera in it; rename the video as cam_SERIAL.mp4 or remove it")
    rows = [
        [number(value, f"{where}: intrinsics", -1e6, 1e6) for value in row] for row in lens if isinstance(row, list)
    ]
    K = np.array(rows) if [len(row) for row in rows] == [3, 3, 3] else np.zeros((3, 3))
    if min(K[0, 0], K[1, 1]) < 1:
        raise HeadsplatError(f"{where}: intrinsics: expected a matrix of 3x3 numbers; copy the file again")
    off_center = np.abs(K[:2, 2] / (source.width, source.height) - 0.5).max()
    if off_center > _MOST_OFF_CENTER:
        raise HeadsplatError(
            f"{where}: intrinsics: not for images of {source.width}x{source.height}; give videos of the size of the "
            f"calibration, or rename {path.parent.name}/ and capture with --solve-cameras"
        )
    intrinsics = np.array([[K[0, 0], 0, K[0, 2]], [0, K[1, 1], K[1, 2]], [0, 0, 1.0]])
    return intrinsics, rigid_transform(poses[serial], f"{where}: world_2_cam")


def _frame_times(source: VideoSource) -> np.ndarray:
    """Times [n] (s) of the video's frames, without decoding if the file has an index."""
    count = len(source)
    if count < 2:
        raise HeadsplatError(f"{source.path}: {count} frame; give videos, not single images")
    index = source.index
    return index.times if index and index.tick else np.arange(count) / source.fps


def _nearest(times: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Index [m] of the time in `times` [n >= 2], increasing, nearest to each of `base` [m]; the earlier one of ties."""
    after = np.searchsorted(times, base).clip(1, len(times) - 1)
    return np.where(base - times[after - 1] <= times[after] - base, after - 1, after)


def _common(views: list[View], cameras: int) -> bool:
    """Whether all cameras have a frame at some time step."""
    seen: dict[int, set[int]] = {}
    for view in views:
        seen.setdefault(view.time_step, set()).add(view.camera)
    return any(len(each) == cameras for each in seen.values())
