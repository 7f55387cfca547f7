"""Capture of a folder of several cameras: landmarks, one head per time step, then images and mattes.

As with one camera, training views alone determine everything that is shared (the world of the cameras, the person, the
stored rectangles) before held-out views are used. A view without a visible face is not used for tracking; it is stored
where the folder has a matte of it, since its camera is known, and left out otherwise: the matting network needs a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar.common.files import path_text
from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, Capture, frame_name, track_defaults
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from capture.faces.landmarks import HeadDetector
from capture.layouts import ViewSet, read_layout
from capture.layouts.grouping import as_walk
from capture.layouts.views import read_images, read_mask
from capture.multiview.canvas import Canvas
from capture.multiview.fit import HeadFit
from capture.multiview.landmarks import find_landmarks
from capture.multiview.output import Row, project_head, rig_quality, row_arrays
from capture.multiview.plan import ViewPlan, plan_views
from capture.multiview.stage import TrackStage
from capture.options import CaptureOptions, FaceModels, Progress
from capture.run import CaptureRun, open_workspace
from capture.sources import folder_digest
from capture.stages.landmarks import FaceFollower
from capture.stages.workers import PerThread, Pool, ahead
from capture.tracker.landmark_model import LandmarkModel

#: Views of a camera that moves around a person, at most.
MOST_VIEWS = 600
#: Cosine between face and camera from which on all within the landmarks is the person.
_FACING = 0.7


def capture_folder(
    folder: Path,
    out: Path,
    options: CaptureOptions | None = None,
    progress: Progress | None = None,
    models: FaceModels | None = None,
) -> Capture:
    """Capture a folder of several cameras in any layout that `read_layout` supports.

    Args:
        folder: the source.
        out: the folder to write.
        options: see CaptureOptions.
        progress: called as `progress(stage, done, total)`.
        models: factories of the networks.

    Raises:
        HeadsplatError: one sentence on what is wrong with the folder.
    """
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise HeadsplatError(f"{out}: is inside the folder that is captured; give -o a folder outside {folder}")
    views = read_layout(folder)
    if options is not None and options.orbit:
        views = as_walk(views, min(options.max_frames, MOST_VIEWS))
    metadata = {"name": path_text(folder.resolve().name), "sha256": folder_digest(folder)}
    return capture_views(views, metadata, out, options, progress, models)


def capture_views(
    views: ViewSet,
    source_metadata: dict[str, Any],
    out: Path,
    options: CaptureOptions | None = None,
    progress: Progress | None = None,
    models: FaceModels | None = None,
) -> Capture:
    """Capture the views of a folder.

    Args:
        views: from `read_layout`.
        source_metadata: name and hash of the folder.
        out: the folder to write.
        options: see CaptureOptions.
        progress: called as `progress(stage, done, total)`.
        models: factories of the networks.

    Raises:
        HeadsplatError: one sentence on what is wrong with the folder.
    """
    options = options or CaptureOptions()
    _check_options(views, options)
    plan = plan_views(views, options)
    workspace = open_workspace(out, source_metadata["sha256"], options)
    run = _Run(source_metadata, workspace, options, progress, models or FaceModels(), views, plan)
    run.all_stages()
    return Capture.load(out)


def _check_options(views: ViewSet, options: CaptureOptions) -> None:
    if options.mattes is not None:
        raise HeadsplatError(
            "--mattes: a folder of several cameras has its own mattes (fg_masks); leave the option out"
        )
    if not views.calibrated and not options.solve_cameras and len(views.cameras) > 1:
        raise HeadsplatError(
            f"{views.root}: the poses of the cameras are not stated; add --solve-cameras to estimate them from the face"
        )
    if options.solve_cameras and options.test_camera is not None:
        raise HeadsplatError(
            "--solve-cameras and --test-camera: the pose of a held-out camera cannot be estimated from the face; "
            "hold out time steps instead"
        )


@dataclass
class _Run(CaptureRun):
    """A capture of several cameras under way."""

    views: ViewSet
    plan: ViewPlan

    def all_stages(self) -> None:
        """Landmarks, track, images, files."""
        self.warnings += [*self.views.notes, *self.plan.warnings]
        head = load_head(self.options.head, HeadDetector(), self._add_head_note)
        follower = FaceFollower(self.models, self.options.passes)
        tables = self._time("landmarks", lambda: find_landmarks(self.plan, follower, self.workspace, self.progress))
        stage = TrackStage(self.plan, self.views, self.options, LandmarkModel.from_head(head), self.name)
        self._time("track", lambda: stage.run(tables, self.progress))
        rows, canvases = self._time("mattes", lambda: self._write_images(stage))
        self.warnings += stage.warnings
        self._finish(head, stage, rows, canvases)

    def _write_images(self, stage: TrackStage) -> tuple[list[Row], list[Canvas]]:
        """Write frames and mattes; returns the rows of the capture and the canvas of each."""
        rows, left_out = stage.rows()
        if left_out:
            self.warnings.append(
                f"{self.name}: {left_out} of {len(self.plan.views)} images do not show the face "
                "and have no matte; left out"
            )
        canvases = stage.canvases(rows)
        networks = PerThread(self.models.matting)
        done = 0
        with Pool() as pool:
            by_view = {
                (row.view.time_step, row.view.camera): (row, canvas) for row, canvas in zip(rows, canvases, strict=True)
            }
            for stream in self.plan.streams:
                stored = [by_view[key][0].view for view in stream if (key := (view.time_step, view.camera)) in by_view]
                for view, frame in ahead(read_images(stored)):
                    pool.submit(self._store, *by_view[view.time_step, view.camera], frame.rgb, stage.fit, networks)
                    done += 1
                    self._report("mattes", done, len(rows))
            pool.drain()
        return rows, canvases

    def _store(self, row: Row, canvas: Canvas, rgb: np.ndarray, fit: HeadFit, networks: PerThread[Any]) -> None:
        """Write the frame and the matte of one row."""
        from capture.matting.network import refine

        name = frame_name(row.number)
        stored = canvas.apply(rgb)
        if row.view.mask is not None:
            matte = canvas.apply(read_mask(row.view))
        else:
            face = canvas.points(project_head(fit, row.state, row.view))
            raw = networks.get().raw(stored, np.concatenate([face.min(0), face.max(0)]))
            # From the side the hull of the face covers what is before eyes and chin.
            facing = fit.problem.cameras[row.view.camera].to_camera(row.state).rotation[2, 2] > _FACING
            matte = refine(stored, raw, face if facing or not self.views.still else None)
        self.workspace.write_image(FRAMES_DIR, name, stored)
        self.workspace.write_image(MATTES_DIR, name, matte)

    def _finish(self, head: HeadModel, stage: TrackStage, rows: list[Row], canvases: list[Canvas]) -> None:
        arrays = {**track_defaults(len(rows)), **row_arrays(head, stage.fit, rows, canvases)}
        own = {
            "source": self._source_metadata(),
            "width": canvases[0].size[0],
            "height": canvases[0].size[1],
            "cameras": stage.camera_metadata(rows, canvases, arrays["is_test"]),
            "world": stage.similarity.to_dict(),
            "quality": rig_quality(stage.fit, stage.training),
        }
        if self.views.still:
            # Each frame is a time step of its own, at which head and torso are in the same pose.
            arrays |= {"time_step": np.arange(len(rows))}
            own["still"] = True
        split = {"mode": self.plan.mode, "value": self.plan.value}
        self.workspace.finish(arrays, self._metadata(head, arrays["is_test"], split, own))

    def _source_metadata(self) -> dict[str, Any]:
        times = np.unique([view.time for view in self.plan.views])
        width, height = self.plan.views[0].size
        return {
            **self.source_metadata,
            "layout": self.views.layout,
            "fps": float(1 / np.median(np.diff(times))) if len(times) > 1 else 30.0,
            "frames": len(self.plan.views),
            "width": width,
            "height": height,
            "rotation": 0,
        }
