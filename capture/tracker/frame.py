"""Fit of a single frame: initial pose by PnP, then warm-started, box-constrained Gauss-Newton."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from capture.tracker.problem import (
    POSE,
    FrameProblem,
    PoseProblem,
    State,
    add_attitude_prior,
    add_expression_prior,
    box_step,
)
from capture.tracker.robust import fit_without_outliers, inliers, without

#: World (y up, -z forward) <-> OpenCV camera axes (y down, z forward); an involution.
_FLIP = np.diag([1.0, -1.0, -1.0])
#: Landmarks that determine a pose, and pixels over which they must extend.
_MIN_POINTS = 6
_MIN_SIZE = 1.0
#: Added to the diagonal of every pose: too few landmarks leave it as it was.
_POSE_FLOOR = 1e-6
_POSE_DIAGONAL = np.arange(POSE)


def initial_state(problem: FrameProblem, target: np.ndarray) -> State:
    """A neutral face in the pose that best fits landmarks `target` [468,2] pixels (SQPnP); some may be missing."""

    def distance(state: State) -> np.ndarray:
        return frame_error(problem, state, target)

    first = neutral_state(problem, target)
    if inliers(distance(first))[np.isfinite(target).all(1)].all():
        return first
    # Neighboring outliers, as on a hand, move the whole fit, but hardly that to a half of the face without them.
    halves = [neutral_state(problem, np.where(half[:, None], target, np.nan)) for half in _halves(problem.neutral)]
    best = min([first, *halves], key=lambda state: float(np.nan_to_num(np.nanmedian(distance(state)), nan=np.inf)))
    kept = without(target, inliers(distance(best)))
    return fit_without_outliers(lambda points: neutral_state(problem, points), distance, kept)[0]


def _halves(neutral: np.ndarray) -> list[np.ndarray]:
    """Masks [468] of the left, right, upper and lower landmarks of `neutral` [468,3]."""
    above = neutral[:, :2] > np.median(neutral[:, :2], axis=0)
    return [above[:, 0], ~above[:, 0], above[:, 1], ~above[:, 1]]


def neutral_state(problem: FrameProblem, target: np.ndarray) -> State:
    """As `initial_state`, with all landmarks that are not missing."""
    camera = problem.camera
    K = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1.0]])
    seen = np.isfinite(target).all(1)
    solved = False
    if seen.sum() >= _MIN_POINTS and np.ptp(target[seen], axis=0).max() > _MIN_SIZE:
        solved, rotvec, offset = cv2.solvePnP(
            np.ascontiguousarray(problem.neutral[seen, None]),
            np.ascontiguousarray(target[seen, None], dtype=np.float64),
            K,
            None,
            flags=cv2.SOLVEPNP_SQPNP,
        )
    rotation = cv2.Rodrigues(rotvec)[0] if solved else _FLIP
    offset = offset.ravel() if solved else np.array([0.0, 0.0, camera.focal * 9e-4 / problem.unit])
    return State(_FLIP @ rotation, _FLIP @ offset, np.zeros(len(problem.model.names)))


def solve_frame(
    problem: PoseProblem,
    start: State,
    target: Any,
    weights: Any,
    iterations: int = 3,
    previous_weight: float = 0.0,
    attitude: np.ndarray | None = None,
) -> State:
    """Fit pose and expression of one frame.

    Args:
        problem: identity, camera and weights of the terms.
        start: initial state: the previous frame, or `initial_state`.
        target: landmarks [468,2] pixels; for several cameras, their observations (see `PoseProblem.normal`).
        weights: weight [468] of each landmark (`FrameProblem.weights`).
        iterations: maximum number of Gauss-Newton steps; stops earlier when the step is negligible.
        previous_weight: weight of the squared difference from the expressions of `start`.
        attitude: measured rotation [3,3], a prior on the result.
    """
    state = start
    diagonal = np.arange(POSE, POSE + len(start.expression))
    for _ in range(iterations):
        matrix, gradient = problem.normal(state, target, weights)
        matrix[_POSE_DIAGONAL, _POSE_DIAGONAL] += _POSE_FLOOR
        add_expression_prior(problem, state.expression, matrix, gradient)
        if attitude is not None:
            add_attitude_prior(problem, state.rotation, attitude, matrix, gradient)
        if previous_weight:
            matrix[diagonal, diagonal] += previous_weight
            gradient[POSE:] += previous_weight * (state.expression - start.expression)
        step = box_step(matrix, gradient, state.expression, problem.model.limits)
        state = state.after_step(step, problem.model.limits)
        if np.abs(step[:POSE]).max() < 1e-5 and np.abs(step[POSE:]).max() < 1e-3:
            break
    return state


def frame_error(problem: FrameProblem, state: State, target: np.ndarray) -> np.ndarray:
    """Distance [468] of each landmark from `target` [468,2], as a fraction of the clip's inter-ocular distance.

    NaN where it is missing.
    """
    return np.linalg.norm(problem.reproject(state) - target, axis=1) / (100 * problem.unit)
