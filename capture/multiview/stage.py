"""Tracking stage of a capture by several cameras: cameras in the world, the person, and the head at every time step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import exp_rotation
from capture.layouts import View, ViewSet
from capture.layouts.grouping import FACING
from capture.multiview.bundle import solve_cameras
from capture.multiview.canvas import Canvas, choose_canvases, enlargement_warnings
from capture.multiview.fit import HeadFit, fit_head
from capture.multiview.landmarks import to_observation
from capture.multiview.output import Row, project_head
from capture.multiview.plan import MIN_IMAGES, ViewPlan
from capture.multiview.rig import HEAD_CENTER, CameraObservation, RigCamera
from capture.multiview.track import TimeSteps
from capture.multiview.world import Similarity, assumed_meters, find_similarity
from capture.options import CaptureOptions, Progress
from capture.stages.landmarks import LandmarkTable
from capture.tracker.camera import FocalPrior, focal_prior
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import State
from capture.video.crop import few_pixels
from capture.video.decoding import open_video


class TrackStage:
    """Cameras in the world, and the head at every time step."""

    fit: HeadFit
    similarity: Similarity
    training: TimeSteps
    held_out: TimeSteps

    def __init__(
        self, plan: ViewPlan, views: ViewSet, options: CaptureOptions, model: LandmarkModel, name: str
    ) -> None:
        self._plan = plan
        self._views = views
        self._options = options
        self._model = model
        self._name = name
        self._tables: dict[tuple[int, int], LandmarkTable] = {}
        self._steps: dict[bool, list[int]] = {}
        self._chosen = list(plan.views)  # with intrinsics, known or estimated
        self._cameras: list[RigCamera] = []
        self.warnings: list[str] = []

    def run(self, tables: dict[tuple[int, int], LandmarkTable], progress: Progress | None) -> None:
        """Estimate cameras where they are not known, then fit the person, then every time step."""
        self._tables = tables
        priors = self._assume_intrinsics()
        self._collect()
        self._resolve_cameras(priors)
        self._collect()
        total = len(self.training) + len(self.held_out)

        def report(done: int) -> None:
            if progress:
                progress("track", done, total)

        self.fit = fit_head(self._model, self._cameras, self.training, self.held_out, report)
        report(total)

    def _assume_intrinsics(self) -> list[FocalPrior]:
        """Set intrinsics of every view; returns the prior on the focal length of each camera."""
        priors = []
        for camera in range(len(self._plan.cameras)):
            view = next(view for view in self._plan.views if view.camera == camera)
            if view.K is not None:
                priors.append(FocalPrior(float(view.K[1, 1]), 0.01, "given"))
                continue
            prior = focal_prior(*view.size, self._focal_35mm(view), self._options.focal)
            priors.append(prior)
            K = np.array([[prior.focal, 0, view.size[0] / 2], [0, prior.focal, view.size[1] / 2], [0, 0, 1.0]])
            self._chosen = [replace(each, K=K) if each.camera == camera else each for each in self._chosen]
        return priors

    @staticmethod
    def _focal_35mm(view: View) -> float | None:
        return None if view.frame is None else open_video(view.image).focal_35mm

    def _collect(self) -> None:
        """Collect the observations at training and at held-out time steps."""
        by_step: dict[int, list[View]] = {}
        for view in self._chosen:
            if self._plan.tracks(view) and (view.time_step, view.camera) in self._tables:
                by_step.setdefault(view.time_step, []).append(view)
        collected = []
        for is_test, steps in ((False, self._plan.training_steps), (True, self._plan.held_out_steps)):
            self._steps[is_test] = [step for step in steps if step in by_step]
            observations = [
                tuple(self._observation(self._tables[step, view.camera], view) for view in by_step[step])
                for step in self._steps[is_test]
            ]
            time = np.array([by_step[step][0].time for step in self._steps[is_test]], dtype=np.float64)
            collected.append(TimeSteps(tuple(observations), time))
        self.training, self.held_out = collected
        count = sum(len(observations) for observations in self.training.observations)
        if count < MIN_IMAGES:
            raise HeadsplatError(
                f"{self._name}: {count} training images show the face, at least {MIN_IMAGES} are needed; "
                "give more images of the face"
            )
        self._restrict_to_one_camera()

    def _observation(self, table: LandmarkTable, view: View) -> CameraObservation:
        return to_observation(table, view, _known_intrinsics(self._first(view.camera).K)[:2, 2])

    def _first(self, camera: int) -> View:
        """The first view of a camera; its principal point is the camera's."""
        return next(view for view in self._chosen if view.camera == camera)

    def _restrict_to_one_camera(self) -> None:
        """If only one camera sees the face in training, drop held-out time steps that it did not see."""
        seen = {s.camera for observations in self.training.observations for s in observations}
        if len(seen) > 1:
            return
        camera = next(iter(seen))
        fitted = [
            k
            for k, observations in enumerate(self.held_out.observations)
            if any(s.camera == camera for s in observations)
        ]
        self.held_out = self.held_out.pick(fitted)
        self._steps[True] = [self._steps[True][k] for k in fitted]

    def _resolve_cameras(self, priors: Sequence[FocalPrior]) -> None:
        """Set the cameras in meters, y up."""
        names = self._plan.cameras
        if len(names) > 1 and (self._options.solve_cameras or not self._views.calibrated):
            self._solve(priors)
            return
        matrices = []
        for camera in range(len(names)):
            view = self._first(camera)
            pose = FACING if len(names) == 1 or view.world_to_cam is None else view.world_to_cam
            assert view.K is not None
            matrices.append(RigCamera.create(view.K, pose))
        seen = {s.camera for observations in self.training.observations for s in observations}
        together = any(len(observations) > 1 for observations in self.training.observations)
        if len(seen) > 1 and together:
            self.similarity = find_similarity(self._model, matrices, self.training, self._name)
        else:
            self.similarity = assumed_meters()
            if len(names) > 1:
                self.warnings.append(
                    f"{self._name}: only one camera sees the face; the unit of its world is assumed to be meters"
                )
        self._cameras = [self.similarity.transform_camera(camera) for camera in matrices]

    def _solve(self, priors: Sequence[FocalPrior]) -> None:
        """Estimate the cameras from the face, with focal lengths that are not given."""
        firsts = [self._first(camera) for camera in range(len(self._plan.cameras))]
        initial = [RigCamera.create(_known_intrinsics(view.K), FACING) for view in firsts]
        centers = np.array([[camera.pinhole.cx, camera.pinhole.cy] for camera in initial])
        solved = solve_cameras(self._model, priors, centers, self.training, self._plan.cameras)
        self._cameras = list(solved.cameras)
        self.similarity = Similarity(1.0, np.eye(3), np.zeros(3), "found from the face", None)
        focals = [camera.pinhole.focal for camera in solved.cameras]
        self._chosen = [
            replace(each, K=_with_focal(_known_intrinsics(each.K), focals[each.camera])) for each in self._chosen
        ]
        self.warnings.append(
            f"{self._name}: the cameras were estimated from the face (landmarks within {solved.residual:.1%} of the "
            "inter-ocular distance); the mean head gives the scale"
        )

    def rows(self) -> tuple[list[Row], int]:
        """Rows of the capture in order of their numbers, and the number of views left out."""
        states = {}
        for is_test, track in ((False, self.fit.training), (True, self.fit.held_out)):
            if track is not None:
                for step, state, gaze in zip(self._steps[is_test], track.states, track.gaze, strict=True):
                    states[step] = (state, gaze)
        indices = {step: index for index, step in enumerate(sorted(states))}
        rows = []
        for view in self._chosen:
            table = self._tables.get((view.time_step, view.camera))
            shown = table is not None or view.mask is not None or self._views.still
            if view.time_step in states and shown:
                observation = None if table is None else self._observation(table, view)
                rows.append(
                    Row(self._plan.number(view), view, indices[view.time_step], *states[view.time_step], observation)
                )
        return sorted(rows, key=lambda row: row.number), len(self._chosen) - len(rows)

    def canvases(self, rows: Sequence[Row]) -> list[Canvas]:
        """The stored rectangle of each row; at training time steps it follows the head of training views alone."""
        if self._views.still:
            return self._canvases_of_walk(rows)
        names = self._plan.cameras
        options = self._options
        steps = self._steps[False]
        firsts = [self._first(camera) for camera in range(len(names))]
        heads = []
        for camera, first in enumerate(firsts):
            views = {view.time_step: view for view in self._chosen if view.camera == camera}
            states = zip(steps, self.fit.training.states, strict=True)
            heads.append(np.stack([project_head(self.fit, state, views.get(step, first)) for step, state in states]))
        sizes = [view.size for view in firsts]
        paths = choose_canvases(heads, steps, self.training.time, sizes, options.framing, options.max_size)
        few = few_pixels(max(path.window.face for path in paths), paths[0].size)
        self.warnings += [f"{self._name}: {text}" for text in [*enlargement_warnings(paths, names), few] if text]
        return [
            paths[row.view.camera].at(row.view.time_step, row.view.time, project_head(self.fit, row.state, row.view))
            for row in rows
        ]

    def _canvases_of_walk(self, rows: Sequence[Row]) -> list[Canvas]:
        """The rectangles of one window that follows the head through all views, as large from behind as from before."""
        heads = [project_head(self.fit, self._facing(row), row.view) for row in rows]
        training = [index for index, row in enumerate(rows) if not row.view.is_test]
        time = np.array([rows[index].view.time for index in training])
        known = np.stack([heads[index] for index in training])
        options = self._options
        (path,) = choose_canvases([known], training, time, [rows[0].view.size], options.framing, options.max_size)
        if few := few_pixels(path.window.face, path.size):
            self.warnings.append(f"{self._name}: {few}")
        return [path.at(index, row.view.time, heads[index]) for index, row in enumerate(rows)]

    def _facing(self, row: Row) -> State:
        """The head of a row turned about its vertical axis to face the camera."""
        state = row.state
        middle = state.rotation @ HEAD_CENTER + state.translation
        toward = state.rotation.T @ (self._cameras[row.view.camera].position - middle)
        turn = exp_rotation(np.array([0.0, np.arctan2(toward[0], toward[2]), 0.0]))
        rotation = state.rotation @ turn
        return State(rotation, middle - rotation @ HEAD_CENTER, state.expression)

    def camera_metadata(
        self, rows: Sequence[Row], canvases: Sequence[Canvas], is_test: np.ndarray
    ) -> list[dict[str, Any]]:
        """Entries of the cameras in capture.json, with the typical principal point of their training rows."""
        entries = []
        for index, name in enumerate(self._plan.cameras):
            own = [number for number, row in enumerate(rows) if row.view.camera == index]
            known = [number for number in own if not is_test[number]] or own
            every = [canvases[number].intrinsics(_known_intrinsics(rows[number].view.K)) for number in known]
            K = np.median(every, axis=0) if every else _known_intrinsics(self._first(index).K)
            size = (canvases[known[0]].width, canvases[known[0]].height) if known else self._first(index).size
            entries.append(
                {
                    "name": name,
                    "K": K.tolist(),
                    "world_to_cam": self._cameras[index].world_to_cam.tolist(),
                    "axes": "world: meters, y up; camera: OpenCV, x right, y down, z forward, pixel centers at +0.5",
                    "focal_px": float(K[1, 1]),
                    "crop": {"width": size[0], "height": size[1]},
                }
            )
        return entries


def _with_focal(K: np.ndarray, focal: float) -> np.ndarray:
    """Intrinsics [3,3] with another focal length, in pixels of y."""
    return np.array([[K[0, 0] * focal / K[1, 1], 0, K[0, 2]], [0, focal, K[1, 2]], [0, 0, 1.0]])


def _known_intrinsics(K: np.ndarray | None) -> np.ndarray:
    """Intrinsics, which every view has after `_assume_intrinsics`."""
    assert K is not None
    return K
