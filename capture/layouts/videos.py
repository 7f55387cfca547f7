"""A folder of synchronized videos, one per camera: cam0.mp4, cam1.mp4 ...; without calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts.checks import no_link
from capture.layouts.transforms import natural_key
from capture.layouts.views import View, ViewSet
from capture.video.decoding import VideoSource, open_video

_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def video_files(folder: Path) -> list[Path]:
    """The videos of a folder in natural order of their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
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
    times = [_frame_times(source) for source in sources]
    base = np.unique(min(times, key=lambda each: (len(each) - 1) / max(each[-1] - each[0], 1e-3)))
    tolerance = 0.5 * float(np.median(np.diff(base))) + 1e-6
    views = []
    for camera, (path, source, frame_times) in enumerate(zip(files, sources, times, strict=True)):
        for step, number in enumerate(_nearest(frame_times, base)):
            if abs(frame_times[number] - base[step]) <= tolerance:
                size = (source.width, source.height)
                views.append(View(path, int(number), camera, step, float(base[step]), None, None, size))
    if not _common(views, len(files)):
        raise HeadsplatError(f"{folder}: the videos have no time step in common; cut them to start at the same time")
    note = f"{folder.name}: the videos are assumed to start at the same time ({', '.join(names)})"
    return ViewSet(folder, "videos", names, tuple(sorted(views, key=lambda v: (v.time_step, v.camera))), (note,))


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
