"""The track of a capture by several cameras: their places in our world, the person, and the head of every moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.layouts import View, ViewSet
from capture.layouts.grouping import FACING
from capture.multiview.bundle import solve_cameras
from capture.multiview.canvas import Canvas, choose_canvases
from capture.multiview.fit import HeadFit, fit_head
from capture.multiview.output import Row, project_head
from capture.multiview.plan import LEAST_IMAGES, ViewPlan
from capture.multiview.rig import RigCamera
from capture.multiview.sightings import as_sighting
from capture.multiview.track import Moments
from capture.multiview.world import Similarity, assumed_meters, find_similarity
from capture.options import CaptureOptions, Progress
from capture.stages.landmarks import LandmarkTable
from capture.tracker.camera import FocalPrior, focal_prior
from capture.tracker.landmark_model import LandmarkModel
from capture.video.decoding import open_video


class TrackStage:
    """Cameras in our world, and the head of every moment."""

    fit: HeadFit
    similarity: Similarity
    training: Moments
    held_out: Moments

    def __init__(
        self, plan: ViewPlan, views: ViewSet, options: CaptureOptions, model: LandmarkModel, name: str
    ) -> None:
        self._plan, self._views, self._options, self._model, self._name = plan, views, options, model, name
        self._found: dict[tuple[int, int], LandmarkTable] = {}
        self._steps: dict[bool, list[int]] = {}
        self._chosen = list(plan.views)  # with the intrinsics that hold, known or found
        self._cameras: list[RigCamera] = []
        self.warnings: list[str] = []

    def run(self, found: dict[tuple[int, int], LandmarkTable], progress: Progress | None) -> None:
        """Fit cameras where they are not known, then the person, then every moment."""
        self._found = found
        priors = self._assume_intrinsics()
        self._gather()
        self._settle_cameras(priors)
        self._gather()
        total = len(self.training) + len(self.held_out)

        def told(done: int) -> None:
            if progress:
                progress("track", done, total)

        self.fit = fit_head(self._model, self._cameras, self.training, self.held_out, told)
        told(total)

    def _assume_intrinsics(self) -> list[FocalPrior]:
        """Give every view intrinsics; returns what is believed of each camera's focal length."""
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

    def _gather(self) -> None:
        """What was seen at training and at held-out moments."""
        by_step: dict[int, list[View]] = {}
        for view in self._chosen:
            if self._plan.tracks(view) and (view.time_step, view.camera) in self._found:
                by_step.setdefault(view.time_step, []).append(view)
        moments = []
        for is_test, steps in ((False, self._plan.training_steps), (True, self._plan.held_out_steps)):
            self._steps[is_test] = [step for step in steps if step in by_step]
            seen = [
                tuple(as_sighting(self._found[step, view.camera], view) for view in by_step[step])
                for step in self._steps[is_test]
            ]
            time = np.array([by_step[step][0].time for step in self._steps[is_test]], dtype=np.float64)
            moments.append(Moments(tuple(seen), time))
        self.training, self.held_out = moments
        images_seen = sum(len(sightings) for sightings in self.training.sightings)
        if images_seen < LEAST_IMAGES:
            raise HeadsplatError(
                f"{self._name}: {images_seen} training images show the face, at least {LEAST_IMAGES} are needed; "
                "give more images of the face"
            )
        self._only_one_camera()

    def _only_one_camera(self) -> None:
        """Where one camera sees the face while training, moments that it did not see cannot be placed."""
        seen = {s.camera for sightings in self.training.sightings for s in sightings}
        if len(seen) > 1:
            return
        which = next(iter(seen))
        kept = [k for k, sightings in enumerate(self.held_out.sightings) if any(s.camera == which for s in sightings)]
        self.held_out = self.held_out.pick(kept)
        self._steps[True] = [self._steps[True][k] for k in kept]

    def _settle_cameras(self, priors: Sequence[FocalPrior]) -> None:
        """Cameras in meters, y up."""
        names = self._plan.cameras
        if len(names) > 1 and (self._options.solve_cameras or not self._views.calibrated):
            self._solve(priors)
            return
        matrices = []
        for camera in range(len(names)):
            view = next(view for view in self._chosen if view.camera == camera)
            pose = FACING if len(names) == 1 or view.world_to_cam is None else view.world_to_cam
            assert view.K is not None
            matrices.append(RigCamera.create(view.K, pose))
        seen = {s.camera for sightings in self.training.sightings for s in sightings}
        together = any(len(sightings) > 1 for sightings in self.training.sightings)
        if len(seen) > 1 and together:
            self.similarity = find_similarity(self._model, matrices, self.training, self._name)
        else:
            self.similarity = assumed_meters()
            if len(names) > 1:
                self.warnings.append(f"{self._name}: one camera sees the face; its world is taken to be in meters")
        self._cameras = [self.similarity.camera(camera) for camera in matrices]

    def _solve(self, priors: Sequence[FocalPrior]) -> None:
        """Cameras from the face; focal lengths nobody stated change with them."""
        firsts = [next(view for view in self._chosen if view.camera == c) for c in range(len(self._plan.cameras))]
        first_guess = [RigCamera.create(_known(view.K), FACING) for view in firsts]
        centers = np.array([[camera.pinhole.cx, camera.pinhole.cy] for camera in first_guess])
        solved = solve_cameras(self._model, priors, centers, self.training, self._plan.cameras)
        self._cameras = list(solved.cameras)
        self.similarity = Similarity(1.0, np.eye(3), np.zeros(3), "found from the face", None)
        for index, (camera, view) in enumerate(zip(solved.cameras, firsts, strict=True)):
            K = _known(view.K).copy()
            K[0, 0] *= camera.pinhole.focal / K[1, 1]
            K[1, 1] = camera.pinhole.focal
            self._chosen = [replace(each, K=K) if each.camera == index else each for each in self._chosen]
        self.warnings.append(
            f"{self._name}: the cameras were found from the face (points within {solved.residual:.1%} of the "
            "inter-ocular distance); the mean head gives the scale"
        )

    def rows(self) -> tuple[list[Row], int]:
        """Rows of the capture in order of their numbers, and how many views are left out."""
        states = {}
        for is_test, track in ((False, self.fit.training), (True, self.fit.held_out)):
            if track is not None:
                for step, state, gaze in zip(self._steps[is_test], track.states, track.gaze, strict=True):
                    states[step] = (state, gaze)
        place = {step: index for index, step in enumerate(sorted(states))}
        rows = []
        for view in self._chosen:
            table = self._found.get((view.time_step, view.camera))
            if view.time_step in states and (table is not None or view.mask is not None):
                sighting = None if table is None else as_sighting(table, view)
                rows.append(
                    Row(self._plan.number(view), view, place[view.time_step], *states[view.time_step], sighting)
                )
        return sorted(rows, key=lambda row: row.number), len(self._chosen) - len(rows)

    def canvases(self, max_size: int) -> list[Canvas]:
        """What is stored of each camera's images, by the head at training moments."""
        firsts = [next(view for view in self._chosen if view.camera == c) for c in range(len(self._plan.cameras))]
        heads = [
            np.stack([project_head(self.fit, state, view) for state in self.fit.training.states]) for view in firsts
        ]
        return choose_canvases(heads, [view.size for view in firsts], max_size)

    def camera_metadata(self, canvases: Sequence[Canvas]) -> list[dict[str, Any]]:
        """The cameras as capture.json states them."""
        facts = []
        for index, (name, canvas) in enumerate(zip(self._plan.cameras, canvases, strict=True)):
            view = next(view for view in self._chosen if view.camera == index)
            K = canvas.intrinsics(_known(view.K))
            facts.append(
                {
                    "name": name,
                    "K": K.tolist(),
                    "world_to_cam": self._cameras[index].world_to_cam.tolist(),
                    "axes": "world: meters, y up; camera: OpenCV, x right, y down, z forward, pixel centers at +0.5",
                    "focal_px": float(K[1, 1]),
                    "crop": {"x": canvas.x, "y": canvas.y, "width": canvas.width, "height": canvas.height},
                }
            )
        return facts


def _known(K: np.ndarray | None) -> np.ndarray:
    assert K is not None
    return K
