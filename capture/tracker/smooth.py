"""A whole clip at once: every frame's landmarks, tied together by a white-noise prior on acceleration.

Each Gauss-Newton step solves one block-banded system. Rotations only ever appear as small steps in the tangent space of
neighboring frames: a rotation vector of the absolute pose would be curved and, near pi, jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.geometry.block_banded import BlockBandedMatrix, difference_weights
from capture.tracker.problem import (
    POSE,
    Fittable,
    State,
    add_attitude_prior,
    add_expression_prior,
    outward,
)
from capture.tracker.rotation import log_rotation

#: Expressions that really are as fast as they look.
_FAST = {
    **dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight", "eyelidLeft", "eyelidRight"), 0.25),
    "jawOpen": 0.10,
    "mouthClose": 0.10,
}


@dataclass(frozen=True)
class SmoothOptions:
    """Standard deviations of the second difference at 30 frames/s."""

    rotation: float = np.radians(0.15)
    sideways: float = 0.00018  # meters
    depth: float = 0.0006  # meters
    expression: float = 0.04
    iterations: int = 3


def smooth_clip(
    problem: Fittable,
    states: Sequence[State],
    targets: Sequence[Any] | np.ndarray,
    weights: Sequence[Any] | np.ndarray,
    time: np.ndarray,
    fixed: np.ndarray | None = None,
    options: SmoothOptions | None = None,
    attitudes: np.ndarray | None = None,
) -> list[State]:
    """Refit all frames together.

    Args:
        problem: identity, camera and per-frame terms.
        states: [T] where each frame starts.
        targets: landmarks [T,468,2] pixels (several cameras': what their problem takes, by moment).
        weights: [T,468].
        time: [T] seconds, increasing; steps may differ.
        fixed: mask [T] of frames that only serve as neighbors and come back untouched.
        options: how smooth.
        attitudes: measured rotations [T,3,3] to stay near.
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
            state.moved(step, limits) if move else state for state, step, move in zip(states, steps, free, strict=True)
        ]
        if np.abs(steps[:, :3]).max() < 1e-5:
            break
    return states


def _precision(problem: Fittable, options: SmoothOptions) -> np.ndarray:
    """Inverse variances [6+E] of the second difference."""
    expression = [_FAST.get(name, options.expression) for name in problem.model.names]
    sigma = [*[options.rotation] * 3, options.sideways, options.sideways, options.depth, *expression]
    return 1.0 / np.square(sigma)


def _step(
    problem: Fittable,
    states: Sequence[State],
    targets: Sequence[Any] | np.ndarray,
    weights: Sequence[Any] | np.ndarray,
    time: np.ndarray,
    free: np.ndarray,
    precision: np.ndarray,
    attitudes: np.ndarray | None,
) -> np.ndarray:
    """Joint Gauss-Newton step [T,6+E]; zero for frames that are not free."""
    count, size = len(states), len(precision)
    chain = BlockBandedMatrix.zeros(count, size)
    gradient = np.zeros((count, size))
    for index in np.flatnonzero(free):
        matrix, slope = problem.normal(states[index], targets[index], weights[index])
        add_expression_prior(problem, states[index].expression, matrix, slope)
        if attitudes is not None:
            add_attitude_prior(problem, states[index].rotation, attitudes[index], matrix, slope)
        held = np.flatnonzero(outward(states[index].expression, slope[POSE:], problem.model.limits)) + POSE
        matrix[held, held] += 1e9
        gradient[index] = slope
        chain.diagonal[index] = matrix
    chain.add_acceleration(gradient, accelerations(states, difference_weights(time)[0]), time, precision)
    chain.fix(gradient, ~free)
    return -chain.solve(gradient)


def accelerations(states: Sequence[State], coefficients: np.ndarray) -> np.ndarray:
    """Second differences [T-2,6+E] of states; rotations as tangent vectors at the middle frame."""
    rotations = np.stack([state.rotation for state in states])
    middle = np.swapaxes(rotations[1:-1], 1, 2)
    turn = coefficients[:, :1] * log_rotation(rotations[:-2] @ middle)
    turn = turn + coefficients[:, 2:] * log_rotation(rotations[2:] @ middle)
    rest = np.stack([np.concatenate([state.translation, state.expression]) for state in states])
    moved = sum(coefficients[:, k : k + 1] * rest[k : k + len(coefficients)] for k in range(3))
    return np.concatenate([turn, moved], axis=1)
