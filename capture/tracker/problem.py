"""The least-squares problem of one frame: pose and expression against landmarks in the image.

World axes (y up, the face looks along +z), a pinhole at the origin that looks along -z. Residuals are measured in
hundredths of the clip's inter-ocular distance, so that every weight below means the same on every video.
Unknowns of a frame, in this order: rotation step [3] (left, `R <- exp(w) R`), translation [3] meters, expression [E].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from capture.tracker.indices import FACE_COUNT, point_weights
from capture.tracker.jaw import Posed
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.linalg import gram, pull, push
from capture.tracker.rotation import exp_rotation, log_rotation

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

    def moved(self, step: np.ndarray, limits: np.ndarray) -> State:
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
    sparsity: float = 0.6  # L1 on expression: identity leaks into expression without it
    exclusion: float = 6.0  # on the product of two expressions that exclude each other
    huber: float = 4.0  # residual beyond which a landmark counts linearly
    spread_floor: float = 1.0  # spread of a landmark that halves its weight
    attitude: float = 1e6  # precision, 1/rad^2, of the landmarks' own depth as a measurement of rotation


class Fittable(Protocol):
    """What the solvers of a moment and of a clip ask of a problem, however many cameras are behind it."""

    @property
    def model(self) -> LandmarkModel:
        """Landmark model of the head."""
        ...

    @property
    def options(self) -> FitOptions:
        """Weights of the terms."""
        ...

    def normal(self, state: State, target: Any, weights: Any) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of what was seen at one moment."""
        ...


@dataclass(frozen=True)
class FrameProblem:
    """Everything the frames of a clip share once identity and camera are known."""

    model: LandmarkModel
    neutral: np.ndarray  # [468,3] meters
    hinge: np.ndarray  # [3] meters, of the jaw
    camera: Pinhole
    unit: float  # pixels that make one residual unit
    options: FitOptions

    @staticmethod
    def create(
        model: LandmarkModel, identity: np.ndarray, camera: Pinhole, inter_ocular: float, options: FitOptions
    ) -> FrameProblem:
        """The problem for the person `identity` [S] seen by `camera`; `inter_ocular` is typical, in pixels."""
        hinge = model.jaw.hinge(identity)
        return FrameProblem(model, model.neutral(identity), hinge, camera, inter_ocular / 100.0, options)

    def weights(self, spread: np.ndarray | None) -> np.ndarray:
        """Weight [468] of each landmark given its `spread` [478 or 468] in pixels over jittered passes."""
        base = point_weights()
        if spread is None:
            return base
        relative = spread[:FACE_COUNT] / (self.unit * self.options.spread_floor)
        return base / (1 + relative * relative)

    def skull(self, expression: np.ndarray) -> Posed:
        """Landmarks in the skull's frame under expressions [E]."""
        moved = push(self.model.expression_basis, expression).reshape(-1, 3)
        return self.model.jaw.pose(self.neutral + moved, self.hinge, expression)

    def points(self, state: State) -> np.ndarray:
        """World positions [468,3] of the landmarks."""
        moved = push(self.model.expression_basis, state.expression).reshape(-1, 3)
        skull = self.model.jaw.points(self.neutral + moved, self.hinge, state.expression)
        return skull @ state.rotation.T + state.translation

    def reproject(self, state: State) -> np.ndarray:
        """Pixels [468,2] of the landmarks."""
        return self.camera.project(self.points(state))

    def normal(self, state: State, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E] of the landmarks `target` [468,2] with `weights` [468]."""
        return linearize(self, state, target, weights).normal()


@dataclass(frozen=True)
class Linearized:
    """A frame's weighted residuals [936] and Jacobian [936,6+E], and what other Jacobians can be made from."""

    residual: np.ndarray
    jacobian: np.ndarray
    row_weight: np.ndarray  # [936] already in the two above
    rest_jacobian: np.ndarray  # [468,2,3] pixels per meter of a landmark in the skull frame, the jaw at rest
    points: np.ndarray  # [468,3] world

    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix [6+E,6+E] and gradient [6+E]."""
        return gram(self.jacobian, self.jacobian), pull(self.jacobian, self.residual)


def linearize(problem: FrameProblem, state: State, target: np.ndarray, weights: np.ndarray) -> Linearized:
    """Linearize the reprojection of landmarks on `target` [468,2] pixels with `weights` [468], Huber by reweighting."""
    skull = problem.skull(state.expression)
    turned = skull.points @ state.rotation.T
    points = turned + state.translation
    raw = (problem.camera.project(points) - target) / problem.unit
    length = np.sqrt(np.einsum("lc,lc->l", raw, raw))
    robust = np.minimum(1.0, problem.options.huber / np.maximum(length, 1e-9))
    row_weight = np.repeat(np.sqrt(weights * robust), 2)
    per_world = projection_jacobian(problem.camera, points) / problem.unit
    per_skull = per_world @ state.rotation
    per_rest = per_skull @ skull.turn
    jacobian = np.empty((2 * FACE_COUNT, POSE + problem.model.expression_basis.shape[1]))
    rows = jacobian.reshape(FACE_COUNT, 2, -1)
    # d(exp(w) p)/dw = -[p]x; a row vector a times -[p]x is p x a.
    for axis, (b, c) in enumerate(((1, 2), (2, 0), (0, 1))):
        rows[:, :, axis] = turned[:, b, None] * per_world[:, :, c] - turned[:, c, None] * per_world[:, :, b]
    rows[:, :, 3:POSE] = per_world
    basis = problem.model.expression_basis.reshape(FACE_COUNT, 3, -1)
    np.matmul(per_rest, basis, out=rows[:, :, POSE:])
    rows[:, :, POSE + problem.model.jaw.movers] += per_skull @ skull.moves
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


def add_expression_prior(problem: Fittable, expression: np.ndarray, matrix: np.ndarray, gradient: np.ndarray) -> None:
    """Add ridge, L1 and exclusion on expressions [E] to `matrix` [6+E,6+E] and `gradient` [6+E] in place.

    L1 is for weights that cannot be negative; the coefficients of a principal-component basis have the ridge alone.
    """
    options, pairs = problem.options, problem.model.exclusive
    diagonal = np.arange(POSE, len(gradient))
    ridge = options.ridge * problem.model.cost
    matrix[diagonal, diagonal] += ridge
    cost = np.where(problem.model.limits[0] < 0, 0.0, options.sparsity * problem.model.cost)
    np.add.at(cost, pairs[:, 0], options.exclusion * expression[pairs[:, 1]])
    np.add.at(cost, pairs[:, 1], options.exclusion * expression[pairs[:, 0]])
    gradient[POSE:] += ridge * expression + cost


def add_attitude_prior(
    problem: Fittable, rotation: np.ndarray, attitude: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Pull `rotation` [3,3] towards a measured `attitude` [3,3]: adds to `matrix` and `gradient` in place.

    Expressions explain foreshortening as readily as pitch does: from pixels alone a clip's pitch came out a quarter
    too small. The landmark network's depth does not have that ambiguity.
    """
    precision = problem.options.attitude
    matrix[np.arange(3), np.arange(3)] += precision
    gradient[:3] += precision * log_rotation(rotation @ attitude.T)


def outward(expression: np.ndarray, gradient: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Mask [E] of expressions that sit on one of their `limits` [2,E] which their `gradient` [E] pushes against."""
    return ((expression <= limits[0]) & (gradient > 0)) | ((expression >= limits[1]) & (gradient < 0))


def box_step(
    matrix: np.ndarray, gradient: np.ndarray, expression: np.ndarray, limits: np.ndarray, passes: int = 4
) -> np.ndarray:
    """Gauss-Newton step [6+E] that keeps expressions within `limits` [2,E]: active set, at most `passes` rounds."""
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
