"""A folder of videos that started together, one a camera: cam0.mp4, cam1.mp4 ...; nothing is known of the cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts.transforms import natural_key
from capture.layouts.views import View, ViewSet
from capture.video.decoding import VideoSource, open_video

_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def video_files(folder: Path) -> list[Path]:
    """The videos of a folder in natural order of their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
    return sorted((path for path in files if not path.name.startswith(".")), key=natural_key)


def read_videos(folder: Path) -> ViewSet:
    """Views of synchronized videos: the moments are the frames of the slowest; of the others the nearest in time count.

    Raises:
        HeadsplatError: a video cannot be read, or the videos have no time in common.
    """
    files = video_files(folder)
    sources = [open_video(path) for path in files]
    names = tuple(path.stem for path in files)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise HeadsplatError(f"{folder}: two videos are called {twice}; give each camera a name of its own")
    times = [_frame_times(source) for source in sources]
    base = min(times, key=lambda each: (len(each) - 1) / max(each[-1] - each[0], 1e-3))
    slack = 0.5 * float(np.median(np.diff(base))) + 1e-6
    views = []
    for camera, (path, source, own) in enumerate(zip(files, sources, times, strict=True)):
        for step, number in enumerate(_nearest(own, base)):
            if abs(own[number] - base[step]) <= slack:
                size = (source.width, source.height)
                views.append(View(path, int(number), camera, step, float(base[step]), None, None, size))
    if not _common(views, len(files)):
        raise HeadsplatError(f"{folder}: the videos have no moment in common; cut them to start together")
    note = f"{folder.name}: the videos are taken to have started together ({', '.join(names)})"
    return ViewSet(folder, "videos", names, tuple(sorted(views, key=lambda v: (v.time_step, v.camera))), (note,))


def _frame_times(source: VideoSource) -> np.ndarray:
    """Times [n] (s) of the video's frames, without decoding where the file counts them."""
    count = len(source)
    if count < 2:
        raise HeadsplatError(f"{source.path}: {count} frame; give videos, not stills")
    index = source.index
    return index.times if index and index.tick else np.arange(count) / source.fps


def _nearest(own: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Which [m] of the increasing times `own` [n >= 2] is nearest to each of `base` [m]; the earlier of two as near."""
    after = np.searchsorted(own, base).clip(1, len(own) - 1)
    return np.where(base - own[after - 1] <= own[after] - base, after - 1, after)


def _common(views: list[View], cameras: int) -> bool:
    seen: dict[int, set[int]] = {}
    for view in views:
        seen.setdefault(view.time_step, set()).add(view.camera)
    return any(len(each) == cameras for each in seen.values())
