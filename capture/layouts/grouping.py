"""Which entries of a transforms file are one camera, and which are one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts.checks import inverse
from capture.layouts.transforms import Entry, world_to_cam
from capture.layouts.views import View

#: Matrices of one camera that rests differ by less than this, of their own size.
_RESTING = 1e-4
#: Steps per second where a file states none, and times closer than this (s) apart, which no camera makes.
_RATE, _CLOSEST = 30.0, 1 / 250
#: World to OpenCV axes of a camera at the origin that looks along -z.
FACING = np.diag([1.0, -1.0, -1.0, 1.0])


def name_cameras(entries: Sequence[Entry]) -> tuple[list[int], tuple[str, ...]]:
    """Camera index of each entry, and the cameras' names.

    By `camera_id` and `camera_index`; where neither is stated, equal matrices are one camera, unless all differ: then
    it is one camera that moves.
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
        twice = next(name for name in names if names.count(name) > 1)
        raise HeadsplatError(f"{entries[0].where.split(': ')[0]}: the camera {twice} has two numbers; give each one")
    return [known.index(label) for label in labels], tuple(names)


def number_steps(entries: Sequence[Entry], cameras: Sequence[int]) -> tuple[list[int], list[float]]:
    """Time step and time (s) of each entry: as stated, by distinct times, else by the order within each camera."""
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
    _check_once(entries, cameras, steps)
    return steps, _times(entries, steps)


def _check_once(entries: Sequence[Entry], cameras: Sequence[int], steps: Sequence[int]) -> None:
    seen: dict[tuple[int, int], Entry] = {}
    for entry, camera, step in zip(entries, cameras, steps, strict=True):
        if (camera, step) in seen:
            raise HeadsplatError(
                f"{entry.where}: the same camera and moment as {seen[camera, step].image.name}; "
                "give each image its own timestep_index"
            )
        seen[camera, step] = entry


def _times(entries: Sequence[Entry], steps: Sequence[int]) -> list[float]:
    """Seconds; stated times are taken unless they run from 0 to 1 whatever the length, as some exporters write them."""
    stated = {step: entry.time for step, entry in zip(steps, entries, strict=True)}
    order = sorted(stated)
    times = [stated[step] for step in order]
    if any(time is None for time in times) or len(order) < 2:
        return [step / _RATE for step in steps]
    gaps = np.diff(np.array(times, dtype=np.float64))
    if gaps.min() <= 0 or np.median(gaps) < _CLOSEST:
        return [step / _RATE for step in steps]
    return [float(stated[step] or 0.0) for step in steps]


def make_views(entries: Sequence[Entry], opengl: bool) -> tuple[tuple[str, ...], list[View]]:
    """Names of the cameras, and the views by time step and camera; a single camera that moves is brought to rest."""
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
            f"{entries[0].where.split(': ')[0]}: the camera {names[moving[0]]} moves; of several cameras each must rest"
        )
    if moving:
        views = as_static_camera(views)
    return names, views


def as_static_camera(views: Sequence[View]) -> list[View]:
    """Views of one camera that moves about a head, as one camera at the origin and a head that moves.

    A point x of the resting head lies at `head_motion x` in the new world; its place in the image stays the same.
    """
    return [
        view
        if view.world_to_cam is None
        else replace(view, world_to_cam=FACING.copy(), head_motion=inverse(FACING) @ view.world_to_cam)
        for view in views
    ]


def _check_cameras(entries: Sequence[Entry], views: Sequence[View], names: Sequence[str]) -> None:
    """One set of intrinsics and one size for each camera, and a pose for all of its views or for none."""
    first: dict[int, View] = {}
    for entry, view in zip(entries, views, strict=True):
        known = first.setdefault(view.camera, view)
        if view.size != known.size:
            raise HeadsplatError(
                f"{entry.where}: {view.size[0]}x{view.size[1]} pixels, other images of the camera "
                f"{names[view.camera]} have {known.size[0]}x{known.size[1]}; export one size a camera"
            )
        if (view.K is None) != (known.K is None) or (view.world_to_cam is None) != (known.world_to_cam is None):
            raise HeadsplatError(
                f"{entry.where}: its camera is not stated as in other frames; state it for all or none"
            )
        if view.K is not None and known.K is not None and not np.allclose(view.K, known.K, rtol=1e-3, atol=0.5):
            raise HeadsplatError(
                f"{entry.where}: another focal length or center than other frames of the camera {names[view.camera]}; "
                "export images with one set of intrinsics a camera"
            )


def _moves(views: Sequence[View]) -> bool:
    matrices = [view.world_to_cam for view in views if view.world_to_cam is not None]
    return bool(matrices) and not bool(_near(np.stack(matrices), matrices[0]).all())


def _distinct(matrices: Sequence[np.ndarray | None]) -> list[int]:
    """A number for each matrix, the same for equal ones and for all that are not known."""
    known = np.zeros((0, 4, 4))
    result = []
    for matrix in matrices:
        same = np.flatnonzero(_near(known, np.zeros((4, 4)) if matrix is None else matrix))
        if len(same):
            result.append(int(same[0]))
        else:
            result.append(len(known))
            known = np.concatenate([known, (np.zeros((4, 4)) if matrix is None else matrix)[None]])
    return result


def _near(matrices: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which [n] of the matrices [n,4,4] equal `one` [4,4]."""
    result: np.ndarray = np.abs(matrices - one).max((1, 2)) <= _RESTING * max(1.0, float(np.abs(one[:3, 3]).max()))
    return result
