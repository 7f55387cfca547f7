"""Joint fit of all frames of a clip: landmarks of every frame and a white-noise prior on acceleration.

Each Gauss-Newton step solves one block-banded system. Rotations appear only as small steps in the tangent space of
neighboring frames: a rotation vector of the absolute pose is nonlinear in time and discontinuous at pi.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.geometry.block_banded import BlockBandedMatrix, difference_weights
from avatar.geometry.numpy_rotations import log_rotation
from capture.tracker.problem import (
    POSE,
    PoseProblem,
    State,
    add_attitude_prior,
    add_expression_prior,
    at_active_limit,
)

#: Standard deviations of expressions that really move fast.
_FAST_SIGMAS = {
    **dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight", "eyelidLeft", "eyelidRight"), 0.25),
    "jawOpen": 0.10,
    "mouthClose": 0.10,
}


@dataclass(frozen=True)
class SmoothOptions:
    """Standard deviations of the second difference at 30 fps."""

    rotation: float = np.radians(0.15)
    sideways: float = 0.00018  # meters
    depth: float = 0.0006  # meters
    expression: float = 0.04
    iterations: int = 3


def smooth_clip(
    problem: PoseProblem,
    states: Sequence[State],
    targets: Sequence[Any] | np.ndarray,
    weights: Sequence[Any] | np.ndarray,
    time: np.ndarray,
    fixed: np.ndarray | None = None,
    options: SmoothOptions | None = None,
    attitudes: np.ndarray | None = None,
) -> list[State]:
    """Refit all frames jointly.

    Args:
        problem: identity, camera and per-frame terms.
        states: [T] initial states.
        targets: landmarks [T,468,2] pixels; for several cameras, the observations of each time step.
        weights: [T,468] of the landmarks.
        time: [T] seconds, increasing; steps may be uneven.
        fixed: mask [T] of frames that only serve as neighbors and do not change.
        options: strength of the smoothing.
        attitudes: measured rotations [T,3,3], a prior on the result.

    Returns:
        The smoothed states [T].
    """
    options = options or SmoothOptions()
    states = list(states)
    if len(states) < 3:
        return states
    free = np.ones(len(states), dtype=bool) if fixed is None else ~fixed
    precision = _precision(problem, options)
    for _ in range(options.iterations):
        steps = _step(problem, states, targets, weights, np.asarray(time, dtype=np.float64), free, precision, attitudes)
        limits = problem.model.limits
        states = [
            state.after_step(step, limits) if move else state
            for state, step, move in zip(states, steps, free, strict=True)
        ]
        if np.abs(steps[:, :3]).max() < 1e-5:
            break
    return states


def _precision(problem: PoseProblem, options: SmoothOptions) -> np.ndarray:
    """Inverse variances [6+E] of the second difference."""
    expression = [_FAST_SIGMAS.get(name, options.expression) for name in problem.model.names]
    sigma = [*[options.rotation] * 3, options.sideways, options.sideways, options.depth, *expression]
    return 1.0 / np.square(sigma)


def _step(
    problem: PoseProblem,
    states: Sequence[State],
    targets: Sequence[Any] | np.ndarray,
    weights: Sequence[Any] | np.ndarray,
    time: np.ndarray,
    free: np.ndarray,
    precision: np.ndarray,
    attitudes: np.ndarray | None,
) -> np.ndarray:
    """Joint Gauss-Newton step [T,6+E]; zero for fixed frames."""
    count = len(states)
    size = len(precision)
    system = BlockBandedMatrix.zeros(count, size)
    gradient = np.zeros((count, size))
    for index in np.flatnonzero(free).tolist():
        matrix, slope = problem.normal(states[index], targets[index], weights[index])
        add_expression_prior(problem, states[index].expression, matrix, slope)
        if attitudes is not None:
            add_attitude_prior(problem, states[index].rotation, attitudes[index], matrix, slope)
        active = np.flatnonzero(at_active_limit(states[index].expression, slope[POSE:], problem.model.limits)) + POSE
        matrix[active, active] += 1e9
        gradient[index] = slope
        system.diagonal[index] = matrix
    system.add_acceleration(gradient, accelerations(states, difference_weights(time)[0]), time, precision)
    system.fix(gradient, ~free)
    return -system.solve(gradient)


def accelerations(states: Sequence[State], coefficients: np.ndarray) -> np.ndarray:
    """Second differences [T-2,6+E] of states; rotations as tangent vectors at the center frame."""
    rotations = np.stack([state.rotation for state in states])
    center = np.swapaxes(rotations[1:-1], 1, 2)
    rotation = coefficients[:, :1] * log_rotation(rotations[:-2] @ center)
    rotation = rotation + coefficients[:, 2:] * log_rotation(rotations[2:] @ center)
    linear = np.stack([np.concatenate([state.translation, state.expression]) for state in states])
    difference = sum(coefficients[:, k : k + 1] * linear[k : k + len(coefficients)] for k in range(3))
    return np.concatenate([rotation, difference], axis=1)
