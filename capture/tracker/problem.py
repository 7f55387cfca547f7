"""The least-squares problem of one frame: pose and expression against landmarks in the image.

World axes (y up, the face along +z), a pinhole camera at the origin along -z. Residuals are in
hundredths of the clip's inter-ocular distance, so every weight below has the same meaning for every video.
Unknowns of a frame, in this order: rotation step [3] (left, `R <- exp(w) R`), translation [3] meters, expression [E].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation
from capture.tracker.indices import FACE_COUNT, point_weights
from capture.tracker.jaw import PosedLandmarks
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.linalg import apply, apply_transpose, gram

POSE = 6


@dataclass(frozen=True)
class Pinhole:
    """Focal length and principal point in pixels of the frames the landmarks are in."""

    focal: float
    cx: float
    cy: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels [...,2] of world points [...,3] meters."""
        depth = -points[..., 2]
        return np.stack(
            [self.cx + self.focal * points[..., 0] / depth, self.cy - self.focal * points[..., 1] / depth], axis=-1
        )


@dataclass(frozen=True)
class State:
    """Pose and tracked expression of one frame."""

    rotation: np.ndarray  # [3,3]
    translation: np.ndarray  # [3] meters
    expression: np.ndarray  # [E] within the model's limits

    def after_step(self, step: np.ndarray, limits: np.ndarray) -> State:
        """The state after a step [6+E]; expressions stay within `limits` [2,E]."""
        return State(
            exp_rotation(step[:3]) @ self.rotation,
            self.translation + step[3:POSE],
            np.clip(self.expression + step[POSE:], *limits),
        )


@dataclass(frozen=True)
class FitOptions:
    """Weights of the terms; residual unit is 1 % of the inter-ocular distance."""

    ridge: float = 3.0  # on expression^2
    sparsity: float = 0.6  # L1 on expression; without it expressions represent a part of the identity
    exclusion: float = 6.0  # on the product of two expressions that exclude each other
    huber: float = 4.0  # residual beyond which the loss is linear
    spread_floor: float = 1.0  # spread that halves the weight of a landmark
    attitude: float = 1e6  # precision, 1/rad^2, of the rotation measured from the depth of the landmarks


class PoseProblem(Protocol):
    """Interface of the solvers of a time step and of a clip to a problem with one or several cameras."""

    @property
    def model(self) -> LandmarkModel:
        """Landmark model of the head."""
        ...

    @property
    def options(self) -> FitOptions:
        """Weights of the terms."""
        ...

    def normal(self, state: State, target: Any, weights: Any) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of the observations at one time step."""
        ...


@dataclass(frozen=True)
class FrameProblem:
    """The problem of every frame of a clip, given identity and camera."""

    model: LandmarkModel
    neutral: np.ndarray  # [468,3] meters
    hinge: np.ndarray  # [3] meters, of the jaw
    camera: Pinhole
    unit: float  # pixels per residual unit
    options: FitOptions

    @staticmethod
    def create(
        model: LandmarkModel, identity: np.ndarray, camera: Pinhole, inter_ocular: float, options: FitOptions
    ) -> FrameProblem:
        """The problem of one person and camera.

        Args:
            model: landmark model of the head.
            identity: [S].
            camera: of the frames.
            inter_ocular: typical inter-ocular distance in pixels.
            options: weights of the terms.
        """
        hinge = model.jaw.hinge(identity)
        return FrameProblem(model, model.neutral(identity), hinge, camera, inter_ocular / 100.0, options)

    def weights(self, spread: np.ndarray | None) -> np.ndarray:
        """Weight [468] of each landmark given its `spread` [478 or 468] in pixels over jittered passes."""
        base = point_weights()
        if spread is None:
            return base
        relative = spread[:FACE_COUNT] / (self.unit * self.options.spread_floor)
        return base / (1 + relative * relative)

    def posed_landmarks(self, expression: np.ndarray) -> PosedLandmarks:
        """Landmarks in the skull frame under expressions [E], and their Jacobians."""
        moved = apply(self.model.expression_basis, expression).reshape(-1, 3)
        return self.model.jaw.pose(self.neutral + moved, self.hinge, expression)

    def points(self, state: State) -> np.ndarray:
        """World positions [468,3] of the landmarks."""
        moved = apply(self.model.expression_basis, state.expression).reshape(-1, 3)
        skull = self.model.jaw.points(self.neutral + moved, self.hinge, state.expression)
        return skull @ state.rotation.T + state.translation

    def reproject(self, state: State) -> np.ndarray:
        """Pixels [468,2] of the landmarks."""
        return self.camera.project(self.points(state))

    def normal(self, state: State, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of the landmarks `target` [468,2] with `weights` [468]."""
        return linearize(self, state, target, weights).normal()


@dataclass(frozen=True)
class PosedProblem:
    """A problem whose pose is known: its solutions keep the pose that they start from."""

    problem: FrameProblem

    @property
    def model(self) -> LandmarkModel:
        """Landmark model of the head."""
        return self.problem.model

    @property
    def options(self) -> FitOptions:
        """Weights of the terms."""
        return self.problem.options

    def normal(self, state: State, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As of the problem, without steps of the pose."""
        matrix, gradient = self.problem.normal(state, target, weights)
        matrix[:POSE] = matrix[:, :POSE] = 0.0
        matrix[np.arange(POSE), np.arange(POSE)] = 1.0
        gradient[:POSE] = 0.0
        return matrix, gradient


@dataclass(frozen=True)
class Linearized:
    """Weighted residuals [936] and Jacobian [936,6+E] of a frame, and factors from which other Jacobians follow."""

    residual: np.ndarray
    jacobian: np.ndarray
    row_weight: np.ndarray  # [936] included in the two above
    rest_jacobian: np.ndarray  # [468,2,3] residual per meter of a landmark in the skull frame, before jaw rotation
    points: np.ndarray  # [468,3] world

    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E]."""
        return gram(self.jacobian, self.jacobian), apply_transpose(self.jacobian, self.residual)


def linearize(problem: FrameProblem, state: State, target: np.ndarray, weights: np.ndarray) -> Linearized:
    """Linearize the reprojection error of the landmarks, with the Huber loss as weights.

    Args:
        problem: identity and camera.
        state: where to linearize.
        target: measured landmarks [468,2] pixels; those that are missing (NaN) have weight 0.
        weights: of the landmarks [468].
    """
    skull = problem.posed_landmarks(state.expression)
    rotated = skull.points @ state.rotation.T
    points = rotated + state.translation
    raw = (problem.camera.project(points) - target) / problem.unit
    missing = ~np.isfinite(raw).all(1)
    if missing.any():
        raw = np.where(missing[:, None], 0.0, raw)
        weights = np.where(missing, 0.0, weights)
    length = np.sqrt(np.einsum("lc,lc->l", raw, raw))
    robust = np.minimum(1.0, problem.options.huber / np.maximum(length, 1e-9))
    row_weight = np.repeat(np.sqrt(weights * robust), 2)
    per_world = projection_jacobian(problem.camera, points) / problem.unit
    per_skull = per_world @ state.rotation
    per_rest = per_skull @ skull.rest_jacobian
    jacobian = np.empty((2 * FACE_COUNT, POSE + problem.model.expression_basis.shape[1]))
    rows = jacobian.reshape(FACE_COUNT, 2, -1)
    # d(exp(w) p)/dw = -[p]x; a row vector a times -[p]x is p x a.
    for axis, (b, c) in enumerate(((1, 2), (2, 0), (0, 1))):
        rows[:, :, axis] = rotated[:, b, None] * per_world[:, :, c] - rotated[:, c, None] * per_world[:, :, b]
    rows[:, :, 3:POSE] = per_world
    basis = problem.model.expression_basis.reshape(FACE_COUNT, 3, -1)
    np.matmul(per_rest, basis, out=rows[:, :, POSE:])
    rows[:, :, POSE + problem.model.jaw.nonlinear] += per_skull @ skull.nonlinear_jacobian
    jacobian *= row_weight[:, None]
    return Linearized(raw.ravel() * row_weight, jacobian, row_weight, per_rest, points)


def projection_jacobian(camera: Pinhole, points: np.ndarray) -> np.ndarray:
    """Pixels per meter [N,2,3] of world points [N,3]."""
    inverse = -1.0 / points[:, 2]
    result = np.zeros((len(points), 2, 3))
    result[:, 0, 0] = camera.focal * inverse
    result[:, 1, 1] = -camera.focal * inverse
    result[:, 0, 2] = camera.focal * points[:, 0] * inverse * inverse
    result[:, 1, 2] = -camera.focal * points[:, 1] * inverse * inverse
    return result


def add_expression_prior(
    problem: PoseProblem, expression: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Add ridge, L1 and exclusion terms of the expressions to the problem, in place.

    Only weights that cannot be negative have L1; coefficients of a principal-component basis have the ridge only.

    Args:
        problem: has the weights of the terms.
        expression: of the state [E].
        matrix: Gauss-Newton matrix [6+E,6+E].
        gradient: [6+E].
    """
    options = problem.options
    pairs = problem.model.exclusive
    diagonal = np.arange(POSE, len(gradient))
    ridge = options.ridge * problem.model.cost
    matrix[diagonal, diagonal] += ridge
    cost = np.where(problem.model.limits[0] < 0, 0.0, options.sparsity * problem.model.cost)
    np.add.at(cost, pairs[:, 0], options.exclusion * expression[pairs[:, 1]])
    np.add.at(cost, pairs[:, 1], options.exclusion * expression[pairs[:, 0]])
    gradient[POSE:] += ridge * expression + cost


def add_attitude_prior(
    problem: PoseProblem, rotation: np.ndarray, attitude: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Add the squared angle between `rotation` [3,3] and a measured `attitude` [3,3] to the problem, in place.

    Expressions can cause the same foreshortening as pitch: from pixels only, the pitch of a clip was estimated a
    quarter too small. The depth of the landmark network does not have that ambiguity.

    Args:
        problem: has the precision of the measurement.
        rotation: of the state.
        attitude: measured; NaN where the landmarks do not determine it.
        matrix: Gauss-Newton matrix [6+E,6+E].
        gradient: [6+E].
    """
    if np.isnan(attitude).any():
        return
    precision = problem.options.attitude
    matrix[np.arange(3), np.arange(3)] += precision
    gradient[:3] += precision * log_rotation(rotation @ attitude.T)


def at_active_limit(expression: np.ndarray, gradient: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Mask [E] of expressions at one of their `limits` [2,E] which a descent along `gradient` [E] would cross."""
    return ((expression <= limits[0]) & (gradient > 0)) | ((expression >= limits[1]) & (gradient < 0))


def box_step(
    matrix: np.ndarray, gradient: np.ndarray, expression: np.ndarray, limits: np.ndarray, passes: int = 4
) -> np.ndarray:
    """Gauss-Newton step [6+E] that keeps expressions within their limits, by an active-set method.

    Args:
        matrix: Gauss-Newton matrix [6+E,6+E].
        gradient: [6+E].
        expression: current weights [E].
        limits: minimum and maximum weights [2,E].
        passes: maximum number of active-set iterations.
    """
    size = len(gradient)
    step = np.zeros(size)
    free = np.ones(size, dtype=bool)
    for _ in range(passes):
        rows = np.flatnonzero(free)
        right = gradient[rows] + matrix[np.ix_(rows, np.flatnonzero(~free))] @ step[~free]
        step[rows] = -np.linalg.solve(matrix[np.ix_(rows, rows)], right)
        target = expression + step[POSE:]
        crossed = free[POSE:] & ((target < limits[0] - 1e-9) | (target > limits[1] + 1e-9))
        if not crossed.any():
            break
        step[POSE:][crossed] = np.clip(target, *limits)[crossed] - expression[crossed]
        free[POSE:][crossed] = False
    return step
