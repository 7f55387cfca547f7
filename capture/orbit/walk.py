"""Poses of a camera that is carried around a person who sits still.

The faces in frames seen from the front give the first poses. Points of person and room that these frames show are
triangulated; frame after frame, on both ways around, is placed by the points it shows, and shows new ones. At last all
poses, points and the focal length are adjusted together. Landmarks of the face are points, too: they close the circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation, yaw_pitch
from capture.orbit.adjust import Scene, Weights, adjust, place_camera
from capture.orbit.points import Tracks
from capture.tracker.camera import FocalPrior
from capture.tracker.frame import initial_state
from capture.tracker.indices import FACE_COUNT, NOSE, STABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import FitOptions, FrameProblem, Pinhole

#: Landmarks that are points of the scene, the yaw of the face up to which they are, and their standard deviations: in
#: the image (of its longer side), and of a person's from the mean head's (meters).
_LANDMARKS = np.union1d(STABLE_LANDMARKS, NOSE)
_FRONTAL = np.radians(45)
_LANDMARK_SIGMA = 0.006
_SHAPE_SIGMA = 0.004
#: Standard deviation of followed points, of the longer side of the image.
_POINT_SIGMA = 0.0012
#: A point is triangulated from rays of at least this angle, and used up to this many standard deviations of its error.
_ANGLE = np.radians(3.0)
_OUTLIER = 4.0
_LEAST_RAYS = 3
_REWEIGHTED = 6
#: Points that place a frame, at least; frames placed between two adjustments, and its steps.
_LEAST_POINTS = 12
_PLACED = 8
#: A camera this far (of its usual distance from the head) from the median of those of this many frames before and after
#: is beside the walk.
_ASIDE = 0.15
_NEIGHBORS = 4
_STEPS = 4
_LAST_STEPS = 20
#: Errors, in standard deviations, beyond which observations are left out, one adjustment after another.
_GATES = (12.0, 6.0, 4.0, 3.0, 2.5)
#: Standard deviation of what does not change.
_FIXED = 1e-6


@dataclass(frozen=True)
class Walk:
    """The camera in n frames."""

    world_to_cam: np.ndarray  # [n,4,4] world: about the skull frame of the head, meters
    focal: float  # pixels
    placed: np.ndarray  # [n] bool: by enough points
    error: np.ndarray  # [n] median distance of the points, pixels


def solve_walk(
    model: LandmarkModel,
    tracks: Tracks,
    faces: Mapping[int, np.ndarray],
    frames: int,
    size: tuple[int, int],
    prior: FocalPrior,
) -> Walk:
    """Poses of the camera in all frames.

    Args:
        model: landmark model of the head.
        tracks: followed points.
        faces: landmarks [478,3] by frame, of frames with a face.
        frames: number n of frames.
        size: (width, height) of the images, pixels.
        prior: of the focal length.
    """
    return _Solver(model, tracks, faces, frames, size, prior).solve()


class _Solver:
    def __init__(
        self,
        model: LandmarkModel,
        tracks: Tracks,
        faces: Mapping[int, np.ndarray],
        frames: int,
        size: tuple[int, int],
        prior: FocalPrior,
    ) -> None:
        side = max(size)
        self._center = np.array(size) / 2
        self._count = frames
        self._prior = prior
        poses = self._face_poses(model, faces, prior)
        landmarks = self._landmarks(faces, poses)
        self._tracks = Tracks.joined([landmarks, tracks])
        self._known = len(_LANDMARKS)
        self._position = model.base[_LANDMARKS]
        of_face = self._tracks.point < self._known
        self._sigma = side * np.where(of_face, _LANDMARK_SIGMA, _POINT_SIGMA)
        points = np.full((int(self._tracks.point.max()) + 1, 3), np.nan)
        points[: self._known] = self._position
        self._placed = np.zeros(frames, bool)
        rotation = np.tile(np.eye(3), (frames, 1, 1))
        translation = np.zeros((frames, 3))
        for frame, (turn, shift) in poses.items():
            rotation[frame], translation[frame] = turn, shift
            self._placed[frame] = True
        self._scene = Scene(rotation, translation, points, float(np.log(prior.focal)), self._center)

    def _face_poses(
        self, model: LandmarkModel, faces: Mapping[int, np.ndarray], prior: FocalPrior
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """World to camera of the frames with a face from the front: rotation [3,3], translation [3]."""
        flip = np.diag([1.0, -1.0, -1.0])
        camera = Pinhole(prior.focal, *self._center.tolist())
        problem = FrameProblem.create(model, np.zeros(model.identity_size), camera, 100.0, FitOptions())
        states = {
            frame: initial_state(problem, points[:FACE_COUNT, :2].astype(np.float64)) for frame, points in faces.items()
        }
        near = {frame: abs(yaw_pitch(state.rotation[None])[0, 0]) < _FRONTAL for frame, state in states.items()}
        return {
            frame: (flip @ state.rotation, flip @ state.translation) for frame, state in states.items() if near[frame]
        }

    @staticmethod
    def _landmarks(faces: Mapping[int, np.ndarray], poses: Mapping[int, object]) -> Tracks:
        rows = sorted(poses)
        pixel = np.concatenate([faces[row][_LANDMARKS, :2] for row in rows]).astype(np.float64)
        return Tracks(np.tile(np.arange(len(_LANDMARKS)), len(rows)), np.repeat(rows, len(_LANDMARKS)), pixel)

    def solve(self) -> Walk:
        self._triangulate()
        self._adjust(self._placed, _LAST_STEPS)
        self._triangulate()
        self._adjust(self._placed, _LAST_STEPS)
        waiting: list[int] = []
        while (frame := self._next()) is not None:
            self._continue(frame)
            self._place(frame)
            self._placed[frame] = True
            waiting.append(frame)
            if len(waiting) >= _PLACED:
                self._triangulate()
                self._adjust(self._near(waiting), _STEPS)
                waiting = []
        for gate in _GATES:
            self._place_lost()
            self._triangulate()
            self._adjust(self._placed, _LAST_STEPS, gate)
        return self._walk()

    def _near(self, rows: list[int]) -> np.ndarray:
        """Mask [n] of the frames near some of them in time."""
        mask = np.zeros(self._count, bool)
        for row in rows:
            mask[max(0, row - _PLACED) : row + _PLACED + 1] = True
        return mask & self._placed

    def _next(self) -> int | None:
        """The frame without a pose, beside one with, that shows most points with a position."""
        beside = np.zeros(self._count, bool)
        beside[1:] |= self._placed[:-1]
        beside[:-1] |= self._placed[1:]
        rows = np.flatnonzero(beside & ~self._placed)
        if not len(rows):
            return None
        known = np.isfinite(self._scene.points[self._tracks.point, 0])
        counts = np.bincount(self._tracks.frame[known], minlength=self._count)
        return int(rows[counts[rows].argmax()])

    def _continue(self, frame: int) -> None:
        """The pose of a frame as a walk of constant speed continues."""
        scene = self._scene
        side = 1 if frame > 0 and self._placed[frame - 1] else -1
        last, before = frame - side, frame - 2 * side
        if not (0 <= before < self._count and self._placed[before]):
            before = last
        turn = scene.rotation[last] @ scene.rotation[before].T
        scene.rotation[frame] = turn @ scene.rotation[last]
        moved = scene.translation[last] - scene.translation[before]
        scene.translation[frame] = scene.translation[last] + turn @ moved

    def _place(self, frame: int) -> None:
        """Pose of a frame by the points it shows, which count less the farther they are; as it was if they are few."""
        scene = self._scene
        used = (self._tracks.frame == frame) & np.isfinite(scene.points[self._tracks.point, 0])
        if np.count_nonzero(used) < _LEAST_POINTS:
            return
        seen, sigma = self._tracks.where(used), self._sigma[used]
        rotation, translation = place_camera(scene, seen, sigma, frame)
        scene.rotation[frame], scene.translation[frame] = rotation, translation

    def _place_lost(self) -> None:
        """Place the frames that are beside the walk of the others again, from where those before and after have it."""
        scene = self._scene
        steady = self._steady()
        rows = np.flatnonzero(steady)
        for frame in np.flatnonzero(~steady).tolist():
            before, after = rows[rows < frame], rows[rows > frame]
            first = before[-1] if len(before) else after[0]
            last = after[0] if len(after) else first
            part = (frame - first) / max(last - first, 1)
            turn = log_rotation(scene.rotation[last] @ scene.rotation[first].T)
            scene.rotation[frame] = exp_rotation(part * turn) @ scene.rotation[first]
            eyes = [-scene.rotation[row].T @ scene.translation[row] for row in (first, last)]
            scene.translation[frame] = -scene.rotation[frame] @ ((1 - part) * eyes[0] + part * eyes[1])
            self._place(frame)

    def _steady(self) -> np.ndarray:
        """Mask [n] of the frames whose camera is near those of the frames before and after."""
        eye = -np.einsum("nji,nj->ni", self._scene.rotation, self._scene.translation)
        near = np.arange(-_NEIGHBORS, _NEIGHBORS + 1) + np.arange(self._count)[:, None]
        usual = np.median(eye[near.clip(0, self._count - 1)], axis=1)
        away: np.ndarray = np.linalg.norm(eye - usual, axis=1)
        return away < _ASIDE * np.median(np.linalg.norm(eye, axis=1))

    def _triangulate(self) -> None:
        """Positions of the points that frames with a pose see from different directions; others have none.

        Followed points slide along outlines at their ends: rays that miss their point count less and less.
        """
        used = self._placed[self._tracks.frame] & (self._tracks.point >= self._known)
        tracks, sigma = self._tracks.where(used), self._sigma[used]
        scene, count = self._scene, len(self._scene.points)
        rays = np.column_stack([(tracks.pixel - self._center) / np.exp(scene.log_focal), np.ones(len(sigma))])
        rays = np.einsum("oji,oj->oi", scene.rotation[tracks.frame], rays)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        eye = -np.einsum("oji,oj->oi", scene.rotation[tracks.frame], scene.translation[tracks.frame])
        across = np.eye(3) - rays[:, :, None] * rays[:, None]
        weight = np.ones(len(sigma))
        known = np.isfinite(scene.points[:, 0])
        for _ in range(_REWEIGHTED):
            matrix, right, mean = np.zeros((count, 3, 3)), np.zeros((count, 3)), np.zeros((count, 3))
            np.add.at(matrix, tracks.point, weight[:, None, None] * across)
            np.add.at(right, tracks.point, weight[:, None] * np.einsum("oij,oj->oi", across, eye))
            np.add.at(mean, tracks.point, weight[:, None] * rays)
            total = np.bincount(tracks.point, weight, count)
            # The length of the mean of unit rays is the cosine of their typical angle from it.
            wide = (total > _LEAST_RAYS) & (np.linalg.norm(mean, axis=1) < np.cos(_ANGLE / 2) * total)
            points = np.full((count, 3), np.nan)
            rows = np.flatnonzero(wide)
            points[rows] = np.linalg.solve(matrix[rows] + 1e-9 * np.eye(3), right[rows][..., None])[..., 0]
            points = np.where(known[:, None], scene.points, points)
            error = np.linalg.norm(replace(scene, points=np.nan_to_num(points)).errors(tracks), axis=1) / sigma
            good = np.bincount(tracks.point, error < _OUTLIER, count)
            known &= (good >= _LEAST_RAYS) & (good > 0.5 * np.bincount(tracks.point, minlength=count))
            known[: self._known] = True
            weight = 1 / (1 + (error / _OUTLIER) ** 2)
        points[~known & ~((good >= _LEAST_RAYS) & wide)] = np.nan
        points[: self._known] = scene.points[: self._known]
        self._scene = replace(scene, points=points)

    def _adjust(self, free: np.ndarray, steps: int, gate: float = _GATES[0]) -> None:
        """Adjust the poses of the frames of the mask `free` [n], and what they show within `gate` standard deviations.

        Landmarks have no gate: the wrong side of a face is no outlier.
        """
        tracks, scene = self._tracks, self._scene
        used = self._placed[tracks.frame] & np.isfinite(scene.points[tracks.point, 0])
        error = np.linalg.norm(scene.errors(tracks), axis=1) / self._sigma
        used &= (error < gate) | (tracks.point < self._known)
        if not free.all():  # points that free frames show
            shown = np.zeros(len(scene.points), bool)
            shown[tracks.point[used & free[tracks.frame]]] = True
            used &= shown[tracks.point]
        numbers = np.union1d(np.unique(tracks.point[used]), np.arange(self._known))
        chosen = tracks.where(used)
        chosen = replace(chosen, point=np.searchsorted(numbers, chosen.point))
        weights = Weights(
            self._sigma[used], np.arange(self._known), self._position, _SHAPE_SIGMA, float(np.log(self._prior.focal)),
            self._prior.log_sigma,
        )  # fmt: skip
        if not (free == self._placed).all():  # that of all other frames
            weights = replace(weights, log_focal=scene.log_focal, log_focal_sigma=_FIXED)
        part = adjust(replace(scene, points=scene.points[numbers]), chosen, weights, free, steps)
        points = scene.points.copy()
        points[numbers] = part.points
        self._scene = replace(part, points=points)

    def _walk(self) -> Walk:
        scene, tracks = self._scene, self._tracks
        used = np.isfinite(scene.points[tracks.point, 0])
        size = np.linalg.norm(scene.errors(tracks.where(used)), axis=1)
        error = np.full(self._count, np.inf)
        good = np.zeros(self._count, bool)
        for frame in range(self._count):
            own = tracks.frame[used] == frame
            if own.any():
                error[frame] = np.median(size[own])
                good[frame] = np.count_nonzero(size[own] < 4 * self._sigma.min()) >= _LEAST_POINTS
        matrices = np.tile(np.eye(4), (self._count, 1, 1))
        matrices[:, :3, :3], matrices[:, :3, 3] = scene.rotation, scene.translation
        return Walk(matrices, float(np.exp(scene.log_focal)), good & self._steady(), error)
