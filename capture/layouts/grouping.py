"""Grouping of the entries of a transforms file by camera and time step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts.checks import inverse
from capture.layouts.transforms import Entry, world_to_cam
from capture.layouts.views import ORBIT, View, ViewSet

#: Relative tolerance within which matrices are the same static camera.
_STATIC = 1e-4
#: Time steps per second where a file states no times, and the minimum interval (s) of plausible times.
_RATE = 30.0
_MIN_INTERVAL = 1 / 250
#: Note on a folder of one camera that moves.
MOVING = (
    "{}: the camera moves around a static head; read as a moving head and one static camera; where nothing else moved, "
    "give --orbit"
)
#: World to OpenCV axes of a camera at the origin that looks along -z.
FACING = np.diag([1.0, -1.0, -1.0, 1.0])


def name_cameras(entries: Sequence[Entry]) -> tuple[list[int], tuple[str, ...]]:
    """Camera index of each entry, and the cameras' names.

    Entries are grouped by `camera_id` and `camera_index`; where neither is stated, by equal matrices, unless all
    differ: then it is one moving camera.
    """
    if all(entry.camera_index is None and entry.camera_id is None for entry in entries):
        keys = _distinct([entry.camera_to_world for entry in entries])
        if len(set(keys)) == len(entries):
            keys = [0] * len(entries)
        return keys, tuple(str(k) for k in range(max(keys) + 1))
    labels = []
    for entry in entries:
        if entry.camera_index is None and entry.camera_id is None:
            raise HeadsplatError(f"{entry.where}: no camera_index, while other frames have one; state it for all")
        index = entry.camera_index if entry.camera_index is not None else -1
        labels.append((index, entry.camera_id if entry.camera_id is not None else str(index)))
    known = sorted(set(labels))
    names = [name for _, name in known]
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise HeadsplatError(f"{entries[0].where.split(': ')[0]}: the camera {duplicate} has two indices; use one")
    return [known.index(label) for label in labels], tuple(names)


def number_steps(entries: Sequence[Entry], cameras: Sequence[int]) -> tuple[list[int], list[float]]:
    """Time step and time (s) of each entry: as stated, else by distinct times, else by the order within each camera."""
    if all(entry.time_step is not None for entry in entries):
        steps = [int(entry.time_step or 0) for entry in entries]
    elif all(entry.time is not None for entry in entries) and len({entry.time for entry in entries}) > 1:
        order = sorted({float(entry.time or 0.0) for entry in entries})
        steps = [order.index(float(entry.time or 0.0)) for entry in entries]
    else:
        count: dict[int, int] = defaultdict(int)
        steps = []
        for camera in cameras:
            steps.append(count[camera])
            count[camera] += 1
    _check_unique(entries, cameras, steps)
    return steps, _times(entries, steps)


def _check_unique(entries: Sequence[Entry], cameras: Sequence[int], steps: Sequence[int]) -> None:
    seen: dict[tuple[int, int], Entry] = {}
    for entry, camera, step in zip(entries, cameras, steps, strict=True):
        if (camera, step) in seen:
            raise HeadsplatError(
                f"{entry.where}: the same camera and time step as {seen[camera, step].image.name}; "
                "give each image its own timestep_index"
            )
        seen[camera, step] = entry


def _times(entries: Sequence[Entry], steps: Sequence[int]) -> list[float]:
    """Times in seconds: as stated, unless they are normalized to 0..1, as some exporters write them."""
    stated = {step: entry.time for step, entry in zip(steps, entries, strict=True)}
    order = sorted(stated)
    times = [stated[step] for step in order]
    if any(time is None for time in times) or len(order) < 2:
        return [step / _RATE for step in steps]
    gaps = np.diff(np.array(times, dtype=np.float64))
    if gaps.min() <= 0 or np.median(gaps) < _MIN_INTERVAL:
        return [step / _RATE for step in steps]
    return [float(stated[step] or 0.0) for step in steps]


def make_views(entries: Sequence[Entry], opengl: bool) -> tuple[tuple[str, ...], list[View]]:
    """Names of the cameras, and the views by time step and camera; a single moving camera becomes a static camera."""
    cameras, names = name_cameras(entries)
    steps, times = number_steps(entries, cameras)
    views = [
        View(
            entry.image,
            None,
            camera,
            step,
            time,
            entry.K,
            world_to_cam(entry.camera_to_world, opengl),
            entry.size,
            is_test=entry.is_test,
        )
        for entry, camera, step, time in zip(entries, cameras, steps, times, strict=True)
    ]
    _check_cameras(entries, views, names)
    moving = [camera for camera in range(len(names)) if _moves([view for view in views if view.camera == camera])]
    if moving and len(names) > 1:
        raise HeadsplatError(
            f"{entries[0].where.split(': ')[0]}: the camera {names[moving[0]]} moves; "
            "with several cameras, all must be static"
        )
    if moving:
        views = as_static_camera(views)
    return names, views


def as_static_camera(views: Sequence[View]) -> list[View]:
    """Views of one camera that moves around a static head, as a static camera at the origin and a moving head.

    A point x of the static head is at `head_motion x` in the new world; its position in the image stays the same.
    """
    return [
        view
        if view.world_to_cam is None
        else replace(view, world_to_cam=FACING.copy(), head_motion=inverse(FACING) @ view.world_to_cam)
        for view in views
    ]


def as_walk(views: ViewSet, most: int) -> ViewSet:
    """The views of one camera that moves around a static head as a camera each, all of one time step.

    Args:
        views: as `as_static_camera` leaves them.
        most: number of views that are kept at most, evenly spread.

    Raises:
        HeadsplatError: there are several cameras, or one that does not move.
    """
    if len(views.cameras) > 1 or any(view.head_motion is None for view in views.views):
        raise HeadsplatError(
            f"{views.root}: --orbit is for one camera whose matrix differs from image to image; leave it out"
        )
    rows = np.unique(np.linspace(0, len(views) - 1, min(most, len(views))).round().astype(int))
    walk = tuple(
        replace(
            views.views[row],
            camera=camera,
            time_step=0,
            world_to_cam=FACING @ np.asarray(views.views[row].head_motion),
            head_motion=None,
        )
        for camera, row in enumerate(rows)
    )
    names = tuple(f"{row:05d}" for row in rows)
    notes = tuple(note for note in views.notes if note != MOVING.format(views.root.name))
    return ViewSet(views.root, ORBIT, names, walk, notes)


def _check_cameras(entries: Sequence[Entry], views: Sequence[View], names: Sequence[str]) -> None:
    """Check that each camera has one image size, one focal length, and poses for all or none of its views.

    Principal points may differ: images may be crops that follow the head.
    """
    first: dict[int, View] = {}
    for entry, view in zip(entries, views, strict=True):
        known = first.setdefault(view.camera, view)
        if view.size != known.size:
            raise HeadsplatError(
                f"{entry.where}: {view.size[0]}x{view.size[1]} pixels, other images of the camera "
                f"{names[view.camera]} have {known.size[0]}x{known.size[1]}; export one size per camera"
            )
        if (view.K is None) != (known.K is None) or (view.world_to_cam is None) != (known.world_to_cam is None):
            raise HeadsplatError(
                f"{entry.where}: its camera is not stated as in other frames; state it for all or none"
            )
        if view.K is not None and known.K is not None and not np.allclose(view.K.diagonal(), known.K.diagonal(), 1e-3):
            raise HeadsplatError(
                f"{entry.where}: another focal length than other frames of the camera {names[view.camera]}; "
                "export images with one focal length per camera"
            )


def _moves(views: Sequence[View]) -> bool:
    matrices = [view.world_to_cam for view in views if view.world_to_cam is not None]
    return bool(matrices) and not bool(_equal(np.stack(matrices), matrices[0]).all())


def _distinct(matrices: Sequence[np.ndarray | None]) -> list[int]:
    """An index for each matrix, the same for equal ones and for all unknown ones."""
    known = np.zeros((0, 4, 4))
    result = []
    for matrix in matrices:
        equal = np.flatnonzero(_equal(known, np.zeros((4, 4)) if matrix is None else matrix))
        if len(equal):
            result.append(int(equal[0]))
        else:
            result.append(len(known))
            known = np.concatenate([known, (np.zeros((4, 4)) if matrix is None else matrix)[None]])
    return result


def _equal(matrices: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mask [n] of the matrices [n,4,4] that equal `reference` [4,4]."""
    result: np.ndarray = np.abs(matrices - reference).max((1, 2)) <= _STATIC * max(
        1.0, float(np.abs(reference[:3, 3]).max())
    )
    return result
