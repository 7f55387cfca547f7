"""Landmarks of every view, camera by camera; training views first, independent of held-out views."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from capture.faces.people import People
from capture.layouts import View
from capture.layouts.views import read_images
from capture.multiview.plan import ViewPlan
from capture.multiview.rig import CameraObservation, to_square_pixels
from capture.options import Progress
from capture.stages.landmarks import FaceFollower, LandmarkTable
from capture.stages.landmarks import Sighting as FaceObservation
from capture.stages.workers import Pool, ahead
from capture.workspace import Workspace

#: Time (s) between two views beyond which the face is detected again, not tracked from one to the next.
_MAX_GAP = 0.5


def find_landmarks(
    plan: ViewPlan, follower: FaceFollower, workspace: Workspace, progress: Progress | None
) -> dict[tuple[int, int], LandmarkTable]:
    """Landmarks (source pixels) by (time step, camera), one row each; views without a face are missing.

    Args:
        plan: the views; held-out views are processed after all training views.
        follower: tracks the face.
        workspace: stores the landmarks of each camera, so that an interrupted run can be resumed.
        progress: called as `progress("landmarks", done, total)` after every view.
    """
    tables: dict[tuple[int, int], LandmarkTable] = {}
    done = 0
    for is_test in (False, True):
        for stream, every in enumerate(plan.streams):
            views = sorted((view for view in every if view.is_test == is_test), key=lambda view: view.time)
            name = f"landmarks_{stream}_{'test' if is_test else 'train'}.npz"
            stored = workspace.load_partial(name)
            table = LandmarkTable.from_arrays(stored) if stored else None
            if table is None or table.seen < len(views):
                keys = {(view.time_step, view.camera) for view in every}
                known = [tables[key] for key in sorted(keys & tables.keys())] if is_test else []
                table = _follow(views, known, follower, progress, done, len(plan.views))
                workspace.save_partial(name, table.arrays())
            for row, number in enumerate(table.number):
                view = views[number]
                tables[view.time_step, view.camera] = table.keep(np.array([row]))
            done += len(views)
    if progress:
        progress("landmarks", done, len(plan.views))
    return tables


def _follow(
    views: Sequence[View],
    known: Sequence[LandmarkTable],
    follower: FaceFollower,
    progress: Progress | None,
    done: int,
    total: int,
) -> LandmarkTable:
    """Landmarks of the views of one camera; those `known` of training views initialize the search in held-out views."""
    table = LandmarkTable()
    people = People()
    averages: list[Future[Any]] = []
    with Pool() as pool:
        for index, (_, frame) in enumerate(ahead(read_images(views))):
            start, last = _search_regions(table, known, frame.time)
            landmarks = follower.follow(frame.rgb, start, last)
            if landmarks is not None:
                table.add(frame, FaceObservation.of(frame.rgb, landmarks, people, start is not None))
                averages.append(pool.submit(follower.average, frame.rgb, landmarks.points))
            table.seen = index + 1
            if progress:
                progress("landmarks", done + index + 1, total)
        for row, future in enumerate(averages):
            table.points[row], table.spread[row], table.presence[row] = future.result()
    return table


def _search_regions(
    table: LandmarkTable, known: Sequence[LandmarkTable], time: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Region [4] of the face in a view near in time, None if there is none, and in the nearest view at all."""
    rows = [(abs(each.time[0] - time), each.roi[0]) for each in known]
    rows += [(abs(table.time[-1] - time), table.roi[-1])] if len(table) else []
    if not rows:
        return None, None
    gap, region = min(rows, key=lambda row: row[0])
    return (region if gap <= _MAX_GAP else None), region


def to_observation(table: LandmarkTable, view: View, center: np.ndarray) -> CameraObservation:
    """The landmarks of a view as input of the joint fit; `center` [2] is the principal point of the view's camera."""
    assert view.K is not None
    spread = np.asarray(table.spread[0], dtype=np.float64)
    points = to_square_pixels(np.asarray(table.points[0]), view.K, center)
    return CameraObservation(view.camera, points, spread, float(table.presence[0]))
