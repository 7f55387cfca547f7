"""The least-squares problem of one moment seen by several cameras that rest: one head, every camera's landmarks.

Each camera's share is the single-camera problem (tracker.problem) in that camera's own axes; a step in the world is the
same step turned into them, so normal equations are turned back and added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capture.tracker.frame import frame_error, initial_state
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, RIGHT_CORNER
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import POSE, FitOptions, FrameProblem, Linearized, Pinhole, State, linearize

#: Camera axes of OpenCV (y down, z forward) <-> those of tracker.problem (y up, z back): its own inverse.
FLIP = np.diag([1.0, -1.0, -1.0])
#: Middle of the head in the skull's frame (m): a face's landmarks look away from it.
_HEAD_CENTER = np.array([0.0, -0.01, -0.06])
#: Cosines towards the camera between which a landmark's weight goes from the least to 1.
_TURNED_AWAY, _TURNED_TO, _LEAST_VISIBLE = 0.0, 0.6, 0.02


@dataclass(frozen=True)
class RigCamera:
    """A camera at rest, of square pixels."""

    pinhole: Pinhole
    rotation: np.ndarray  # [3,3] world -> the camera's axes, y up and looking along -z
    translation: np.ndarray  # [3]

    @staticmethod
    def create(K: np.ndarray, world_to_cam: np.ndarray) -> RigCamera:
        """From intrinsics [3,3] and an OpenCV pose [4,4]; columns are squeezed to the rows' focal length (`square`)."""
        pinhole = Pinhole(float(K[1, 1]), float(K[0, 2] * K[1, 1] / K[0, 0]), float(K[1, 2]))
        return RigCamera(pinhole, FLIP @ world_to_cam[:3, :3], FLIP @ world_to_cam[:3, 3])

    @property
    def world_to_cam(self) -> np.ndarray:
        """[4,4], OpenCV axes."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = FLIP @ self.rotation, FLIP @ self.translation
        return matrix

    @property
    def position(self) -> np.ndarray:
        """[3] of the camera in the world."""
        return -self.rotation.T @ self.translation

    def seen(self, state: State) -> State:
        """A state of the world in the camera's axes."""
        place = self.rotation @ state.translation + self.translation
        return State(self.rotation @ state.rotation, place, state.expression)

    def unseen(self, state: State) -> State:
        """A state of the camera's axes in the world."""
        place = self.rotation.T @ (state.translation - self.translation)
        return State(self.rotation.T @ state.rotation, place, state.expression)


def visibility(neutral: np.ndarray, seen: State) -> np.ndarray:
    """How far landmarks [N] at `neutral` [N,3] turn to the camera in whose axes `seen` is, 0..1.

    Of a landmark that looks away the network only guesses; a side view has many. Normals are those of a ball.
    """
    outward = neutral - _HEAD_CENTER
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    toward = -seen.rotation.T @ seen.translation
    cosine = outward @ (toward / max(float(np.linalg.norm(toward)), 1e-9))
    result: np.ndarray = np.clip((cosine - _TURNED_AWAY) / (_TURNED_TO - _TURNED_AWAY), _LEAST_VISIBLE, 1.0)
    return result


def square(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Landmarks [...,2 or 3] with columns squeezed so that the focal lengths of K [3,3] are one."""
    result = points.astype(np.float64)
    result[..., 0] *= K[1, 1] / K[0, 0]
    return result


@dataclass(frozen=True)
class Sighting:
    """What one camera saw of one moment."""

    camera: int
    points: np.ndarray  # [478,3] square pixels of the camera
    spread: np.ndarray  # [478]
    presence: float = 1.0  # 0..1, of a face

    @property
    def target(self) -> np.ndarray:
        """What the fits aim at, [468,2] pixels."""
        return np.ascontiguousarray(self.points[:FACE_COUNT, :2])


@dataclass(frozen=True)
class RigProblem:
    """Everything the moments of a clip share once identity and cameras are known (a `Fittable`)."""

    cameras: tuple[RigCamera, ...]
    problems: tuple[FrameProblem, ...]  # of each camera, in its own axes

    @staticmethod
    def create(
        model: LandmarkModel,
        identity: np.ndarray,
        cameras: Sequence[RigCamera],
        distances: Sequence[float],
        options: FitOptions,
    ) -> RigProblem:
        """The problem for the person `identity` [S]; `distances` (m) from cameras to head set what a pixel means."""
        neutral = model.neutral(identity)
        eyes = float(np.linalg.norm(neutral[RIGHT_CORNER] - neutral[LEFT_CORNER]))
        problems = [
            FrameProblem.create(model, identity, camera.pinhole, camera.pinhole.focal * eyes / distance, options)
            for camera, distance in zip(cameras, distances, strict=True)
        ]
        return RigProblem(tuple(cameras), tuple(problems))

    @property
    def model(self) -> LandmarkModel:
        """Landmark model of the head."""
        return self.problems[0].model

    @property
    def options(self) -> FitOptions:
        """Weights of the terms."""
        return self.problems[0].options

    def weights(self, sightings: Sequence[Sighting]) -> list[np.ndarray]:
        """Weights [468] of each sighting's landmarks."""
        return [self.problems[sighting.camera].weights(sighting.spread) for sighting in sightings]

    def linearize(self, state: State, sighting: Sighting, weights: np.ndarray) -> Linearized:
        """One camera's share, its Jacobian with respect to steps in the world."""
        camera = self.cameras[sighting.camera]
        seen = camera.seen(state)
        facing = visibility(self.problems[0].neutral, seen)
        lin = linearize(self.problems[sighting.camera], seen, sighting.target, weights * facing)
        for start in (0, 3):
            lin.jacobian[:, start : start + 3] = lin.jacobian[:, start : start + 3] @ camera.rotation
        return lin

    def normal(
        self, state: State, target: Sequence[Sighting], weights: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of one moment, summed over its sightings."""
        size = POSE + len(state.expression)
        matrix, gradient = np.zeros((size, size)), np.zeros(size)
        for sighting, own in zip(target, weights, strict=True):
            part, slope = self.linearize(state, sighting, own).normal()
            matrix += part
            gradient += slope
        return matrix, gradient

    def error(self, state: State, sighting: Sighting) -> np.ndarray:
        """Distance [468] of each landmark, as a fraction of the inter-ocular distance at the head's typical place."""
        camera = self.cameras[sighting.camera]
        return frame_error(self.problems[sighting.camera], camera.seen(state), sighting.target)

    def mean_error(self, state: State, sightings: Sequence[Sighting]) -> float:
        """Mean of `error` over the sightings of a moment."""
        return float(np.mean([self.error(state, sighting).mean() for sighting in sightings]))

    def initial_state(self, sightings: Sequence[Sighting]) -> State:
        """A neutral face in the pose that one of the cameras proposes and all of them like best."""
        proposals = [
            self.cameras[sighting.camera].unseen(initial_state(self.problems[sighting.camera], sighting.target))
            for sighting in sightings
        ]
        return min(proposals, key=lambda state: self.mean_error(state, sightings))
