"""The least-squares problem of one time step with several static cameras: one head, the landmarks of every camera.

The term of each camera is the single-camera problem (tracker.problem) in the axes of that camera. A step in the world
is rotated into these axes; the normal equations are rotated back and summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capture.tracker.frame import frame_error, initial_state
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, RIGHT_CORNER
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import POSE, FitOptions, FrameProblem, Linearized, Pinhole, State, linearize

#: Camera axes of OpenCV (y down, z forward) <-> those of tracker.problem (y up, z back); an involution.
FLIP = np.diag([1.0, -1.0, -1.0])
#: Center of the head in the skull frame (m): normals of the face's landmarks point away from it.
HEAD_CENTER = np.array([0.0, -0.01, -0.06])
#: Cosines of normal and camera direction between which a landmark's weight rises to 1, and the minimum weight.
_COSINE_LOW = 0.0
_COSINE_HIGH = 0.6
_MIN_VISIBILITY = 0.02


@dataclass(frozen=True)
class RigCamera:
    """A static camera with square pixels."""

    pinhole: Pinhole
    rotation: np.ndarray  # [3,3] world -> the camera's axes, y up and looking along -z
    translation: np.ndarray  # [3]

    @staticmethod
    def create(K: np.ndarray, world_to_cam: np.ndarray) -> RigCamera:
        """From intrinsics [3,3] and an OpenCV pose [4,4]; x is scaled to the focal length of y (`to_square_pixels`)."""
        pinhole = Pinhole(float(K[1, 1]), float(K[0, 2] * K[1, 1] / K[0, 0]), float(K[1, 2]))
        return RigCamera(pinhole, FLIP @ world_to_cam[:3, :3], FLIP @ world_to_cam[:3, 3])

    @property
    def world_to_cam(self) -> np.ndarray:
        """[4,4], OpenCV axes."""
        matrix = np.eye(4)
        matrix[:3, :3] = FLIP @ self.rotation
        matrix[:3, 3] = FLIP @ self.translation
        return matrix

    @property
    def position(self) -> np.ndarray:
        """Position [3] in the world."""
        return -self.rotation.T @ self.translation

    def to_camera(self, state: State) -> State:
        """A state in the world, in the axes of the camera."""
        translation = self.rotation @ state.translation + self.translation
        return State(self.rotation @ state.rotation, translation, state.expression)

    def to_world(self, state: State) -> State:
        """A state in the axes of the camera, in the world."""
        translation = self.rotation.T @ (state.translation - self.translation)
        return State(self.rotation.T @ state.rotation, translation, state.expression)


def visibility(neutral: np.ndarray, local: State) -> np.ndarray:
    """Weight [N], 0..1, of landmarks at `neutral` [N,3] by how much they face the camera in whose axes `local` is.

    Landmarks that face away are guesses of the network; a side view has many. Normals are those of a sphere.
    """
    outward = neutral - HEAD_CENTER
    outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
    toward = -local.rotation.T @ local.translation
    cosine = outward @ (toward / max(float(np.linalg.norm(toward)), 1e-9))
    result: np.ndarray = np.clip((cosine - _COSINE_LOW) / (_COSINE_HIGH - _COSINE_LOW), _MIN_VISIBILITY, 1.0)
    return result


def to_square_pixels(points: np.ndarray, K: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Landmarks of one image as the camera of all images of its kind sees them.

    Args:
        points: [...,2 or 3] pixels of an image.
        K: [3,3] of this image; images of one camera may be different crops, with different principal points.
        center: [2] principal point of the camera, pixels before the scaling.

    Returns:
        The points relative to that principal point, with x scaled so that both focal lengths are equal.
    """
    result = points.astype(np.float64)
    result[..., :2] += center - K[:2, 2]
    result[..., 0] *= K[1, 1] / K[0, 0]
    return result


def from_square_pixels(points: np.ndarray, K: np.ndarray, pinhole: Pinhole) -> np.ndarray:
    """The inverse of `to_square_pixels` for the camera `pinhole` of an image with the intrinsics K [3,3]."""
    result = points.astype(np.float64)
    result[..., 0] = (result[..., 0] - pinhole.cx) * (K[0, 0] / K[1, 1]) + K[0, 2]
    result[..., 1] += K[1, 2] - pinhole.cy
    return result


@dataclass(frozen=True)
class CameraObservation:
    """Landmarks that one camera observed at one time step."""

    camera: int
    points: np.ndarray  # [478,3] square pixels of the camera
    spread: np.ndarray  # [478]
    presence: float = 1.0  # 0..1, of a face

    @property
    def target(self) -> np.ndarray:
        """Landmarks the fits minimize the distance to, [468,2] pixels."""
        return np.ascontiguousarray(self.points[:FACE_COUNT, :2])


@dataclass(frozen=True)
class RigProblem:
    """The problem of every time step of a clip, given identity and cameras (a `PoseProblem`)."""

    cameras: tuple[RigCamera, ...]
    problems: tuple[FrameProblem, ...]  # of each camera, in its axes

    @staticmethod
    def create(
        model: LandmarkModel,
        identity: np.ndarray,
        cameras: Sequence[RigCamera],
        distances: Sequence[float],
        options: FitOptions,
    ) -> RigProblem:
        """The problem of one person and all cameras.

        Args:
            model: landmark model of the head.
            identity: [S].
            cameras: calibrated, meters.
            distances: typical distance (m) of each camera from the head; it gives the residual unit in pixels.
            options: weights of the terms.
        """
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

    def weights(self, observations: Sequence[CameraObservation]) -> list[np.ndarray]:
        """Weights [468] of the landmarks of each observation."""
        return [self.problems[observation.camera].weights(observation.spread) for observation in observations]

    def linearize(self, state: State, observation: CameraObservation, weights: np.ndarray) -> Linearized:
        """The term of one camera, its Jacobian with respect to steps in the world."""
        camera = self.cameras[observation.camera]
        local = camera.to_camera(state)
        facing = visibility(self.problems[0].neutral, local)
        lin = linearize(self.problems[observation.camera], local, observation.target, weights * facing)
        for start in (0, 3):
            lin.jacobian[:, start : start + 3] = lin.jacobian[:, start : start + 3] @ camera.rotation
        return lin

    def normal(
        self, state: State, target: Sequence[CameraObservation], weights: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of one time step, summed over its observations."""
        size = POSE + len(state.expression)
        matrix = np.zeros((size, size))
        gradient = np.zeros(size)
        for observation, each in zip(target, weights, strict=True):
            block, slope = self.linearize(state, observation, each).normal()
            matrix += block
            gradient += slope
        return matrix, gradient

    def error(self, state: State, observation: CameraObservation) -> np.ndarray:
        """Distance [468] of each landmark, as a fraction of the inter-ocular distance at the head's typical depth."""
        camera = self.cameras[observation.camera]
        return frame_error(self.problems[observation.camera], camera.to_camera(state), observation.target)

    def mean_error(self, state: State, observations: Sequence[CameraObservation]) -> float:
        """Mean of `error` over the observations of a time step."""
        return float(np.mean([self.error(state, observation).mean() for observation in observations]))

    def initial_state(self, observations: Sequence[CameraObservation]) -> State:
        """A neutral face in that of the poses estimated by each camera with the lowest error over all cameras."""
        proposals = [
            self.cameras[observation.camera].to_world(
                initial_state(self.problems[observation.camera], observation.target)
            )
            for observation in observations
        ]
        return min(proposals, key=lambda state: self.mean_error(state, observations))
