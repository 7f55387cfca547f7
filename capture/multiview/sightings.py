"""Landmarks of every view, camera by camera; training views first, and nothing flows back from held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from capture.faces.people import People
from capture.layouts import View
from capture.layouts.views import images
from capture.multiview.plan import ViewPlan
from capture.multiview.rig import Sighting, square
from capture.options import Progress
from capture.stages.landmarks import FaceFollower, LandmarkTable
from capture.stages.landmarks import Sighting as FaceSighting
from capture.stages.workers import Pool, ahead
from capture.workspace import Workspace

#: Views this far apart (s) are not followed from one to the next: the face is searched for again.
_FOLLOWED = 0.5


def find_sightings(
    plan: ViewPlan, follower: FaceFollower, workspace: Workspace, progress: Progress | None
) -> dict[tuple[int, int], LandmarkTable]:
    """Landmarks (source pixels) by (time step, camera), one row each; views without the face have none.

    Args:
        plan: the views; held-out ones are looked at after all training views.
        follower: finds the face.
        workspace: keeps each camera's landmarks for a run that is continued.
        progress: told after every view.
    """
    found: dict[tuple[int, int], LandmarkTable] = {}
    done = 0
    for is_test in (False, True):
        for camera in range(len(plan.cameras)):
            views = [view for view in plan.views if view.camera == camera and view.is_test == is_test]
            name = f"landmarks_{camera}_{'test' if is_test else 'train'}.npz"
            stored = workspace.load_partial(name)
            table = LandmarkTable.from_arrays(stored) if stored else None
            if table is None or table.seen < len(views):
                known = [found[key] for key in sorted(found) if key[1] == camera] if is_test else []
                table = _follow(views, known, follower, progress, done, len(plan.views))
                workspace.save_partial(name, table.arrays())
            for row, step in enumerate(table.number):
                found[int(step), camera] = table.keep(np.array([row]))
            done += len(views)
    if progress:
        progress("landmarks", done, len(plan.views))
    return found


def _follow(
    views: Sequence[View],
    known: Sequence[LandmarkTable],
    follower: FaceFollower,
    progress: Progress | None,
    done: int,
    total: int,
) -> LandmarkTable:
    """Landmarks of one camera's views; `known` training ones say where a held-out face is looked for first."""
    table, people = LandmarkTable(), People()
    waiting: list[Future[Any]] = []
    with Pool() as pool:
        for place, (_, frame) in enumerate(ahead(images(views))):
            start, last = _start(table, known, frame.time)
            found = follower.follow(frame.rgb, start, last)
            if found is not None:
                table.add(frame, FaceSighting.of(frame.rgb, found, people, start is not None))
                waiting.append(pool.submit(follower.average, frame.rgb, found.points))
            table.seen = place + 1
            if progress:
                progress("landmarks", done + place + 1, total)
        for row, future in enumerate(waiting):
            table.points[row], table.spread[row], table.presence[row] = future.result()
    return table


def _start(
    table: LandmarkTable, known: Sequence[LandmarkTable], time: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Region [4] to begin with, of a view near in time, and the region where the face was last seen."""
    rows = [(abs(each.time[0] - time), each.roi[0]) for each in known]
    rows += [(abs(table.time[-1] - time), table.roi[-1])] if len(table) else []
    if not rows:
        return None, None
    gap, region = min(rows, key=lambda row: row[0])
    return (region if gap <= _FOLLOWED else None), region


def as_sighting(table: LandmarkTable, view: View) -> Sighting:
    """The landmarks of a view as the joint fit takes them."""
    assert view.K is not None
    spread = np.asarray(table.spread[0], dtype=np.float64)
    return Sighting(view.camera, square(np.asarray(table.points[0]), view.K), spread, float(table.presence[0]))
