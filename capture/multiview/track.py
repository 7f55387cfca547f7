"""Person and track from several cameras: one head per time step; training first, independent of held-out time steps.

The counterpart of tracker.clip for cameras with known poses. Views from different directions determine depth and
rotation, so the depth of the landmark network, which the single-camera tracker uses, is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from avatar.geometry.numpy_rotations import yaw_pitch
from capture.multiview.rig import CameraObservation, RigCamera, RigProblem
from capture.tracker.frame import solve_frame
from capture.tracker.gaze import eye_angles, smooth_angles
from capture.tracker.identity import IdentityOptions, choose_key_frames, shared_jacobian
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.linalg import apply_transpose, gram
from capture.tracker.problem import POSE, FitOptions, State, add_expression_prior, at_active_limit
from capture.tracker.smooth import SmoothOptions, smooth_clip

_LOST = 0.06
_FIRST_ITERATIONS = 30
_NEXT_ITERATIONS = 3
_PREVIOUS_WEIGHT = 2.0
#: Cosine of the angle between face and camera below which a camera is not used for gaze, unless there is no other.
_MIN_FRONTAL = 0.5


@dataclass(frozen=True)
class TimeSteps:
    """Observations at T time steps, in order of time."""

    observations: tuple[tuple[CameraObservation, ...], ...]  # [T], at least one each
    time: np.ndarray  # [T] seconds

    def __len__(self) -> int:
        return len(self.time)

    def pick(self, rows: Sequence[int] | np.ndarray) -> TimeSteps:
        """The time steps `rows`."""
        return TimeSteps(tuple(self.observations[row] for row in rows), self.time[np.asarray(rows, dtype=np.int64)])


@dataclass(frozen=True)
class RigOptions:
    """Weights of every stage; with several views depth is as certain as the other directions."""

    fit: FitOptions = field(default_factory=FitOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    smooth: SmoothOptions = field(default_factory=lambda: SmoothOptions(depth=SmoothOptions.sideways))


@dataclass(frozen=True)
class RigPerson:
    """The parameters that all time steps share, estimated from the training time steps."""

    problem: RigProblem
    identity: np.ndarray  # [S]
    key_steps: np.ndarray  # rows of the training time steps
    options: RigOptions


@dataclass(frozen=True)
class RigTrack:
    """Tracked time steps."""

    states: tuple[State, ...]  # [T]
    unsmoothed_states: tuple[State, ...]  # [T] before smoothing
    raw_gaze: np.ndarray  # [T,2] yaw, pitch before smoothing
    gaze: np.ndarray  # [T,2] radians


def head_distances(cameras: Sequence[RigCamera], positions: np.ndarray) -> list[float]:
    """Typical distance (m) of each camera from head positions [T,3]."""
    return [max(float(np.median(np.linalg.norm(positions - c.position, axis=1))), 1e-3) for c in cameras]


def fit_rig_person(model: LandmarkModel, cameras: Sequence[RigCamera], training: TimeSteps) -> RigPerson:
    """Identity from training time steps.

    Args:
        model: landmark model of the head.
        cameras: all cameras, calibrated, meters.
        training: training time steps only.
    """
    options = RigOptions()
    neutral = np.zeros(model.identity_size)
    problem = RigProblem.create(model, neutral, cameras, [1.0] * len(cameras), options.fit)
    states = [problem.initial_state(observations) for observations in training.observations]
    distances = head_distances(cameras, np.stack([state.translation for state in states]))
    problem = RigProblem.create(model, neutral, cameras, distances, options.fit)
    front = [_most_frontal(problem, state, seen) for state, seen in zip(states, training.observations, strict=True)]
    angles = yaw_pitch(np.stack([state.rotation for state in states]))
    keys = choose_key_frames(np.stack([observation.points for observation in front]), angles)
    identity = _fit_identity(problem, training.pick(keys), [states[key] for key in keys], distances, options)
    return RigPerson(RigProblem.create(model, identity, cameras, distances, options.fit), identity, keys, options)


def track_rig(person: RigPerson, training: TimeSteps, progress: Callable[[int], None] | None = None) -> RigTrack:
    """Pose, expression and gaze of the training time steps; smoothing uses training time steps only."""
    problem = person.problem
    weights = [problem.weights(observations) for observations in training.observations]
    states: list[State] = []
    for row, observations in enumerate(training.observations):
        states.append(_next_state(problem, states[-1] if states else None, observations, weights[row]))
        if progress:
            progress(row + 1)
    smoothed = smooth_clip(problem, states, training.observations, weights, training.time, None, person.options.smooth)
    raw = _gaze(person, smoothed, training)
    return RigTrack(tuple(smoothed), tuple(states), raw, smooth_angles(raw, _openness(person, smoothed), training.time))


def track_rig_held_out(person: RigPerson, training: TimeSteps, track: RigTrack, held_out: TimeSteps) -> RigTrack:
    """Pose, expression and gaze of held-out time steps; the person and the training track stay fixed.

    Args:
        person: from `fit_rig_person`.
        training: observations at the training time steps.
        track: from `track_rig`.
        held_out: observations at the held-out time steps.
    """
    problem = person.problem
    weights = [problem.weights(observations) for observations in held_out.observations]
    times = list(training.time)
    solved = list(track.states)
    states: list[State] = []
    for row, seen in enumerate(held_out.observations):
        nearest = int(np.argmin(np.abs(np.asarray(times) - held_out.time[row])))
        states.append(_next_state(problem, solved[nearest], seen, weights[row]))
        times.append(held_out.time[row])
        solved.append(states[-1])
    time = np.concatenate([training.time, held_out.time])
    order = np.argsort(time, kind="stable")
    fixed = order < len(training)
    all_states = [*track.states, *states]
    observations = [*training.observations, *held_out.observations]
    all_weights: list[list[np.ndarray]] = [*([[]] * len(training)), *weights]
    smoothed = smooth_clip(
        problem,
        [all_states[k] for k in order],
        [observations[k] for k in order],
        [all_weights[k] for k in order],
        time[order],
        fixed,
        person.options.smooth,
    )
    smoothed = [smoothed[row] for row in np.flatnonzero(~fixed)]
    raw = _gaze(person, smoothed, held_out)
    openness = np.concatenate([_openness(person, track.states), _openness(person, smoothed)])
    gaze = smooth_angles(np.concatenate([track.raw_gaze, raw]), openness, time)[len(training) :]
    return RigTrack(tuple(smoothed), tuple(states), raw, gaze)


def _next_state(
    problem: RigProblem,
    previous: State | None,
    observations: Sequence[CameraObservation],
    weights: Sequence[np.ndarray],
) -> State:
    if previous is not None:
        state = solve_frame(problem, previous, observations, weights, _NEXT_ITERATIONS, _PREVIOUS_WEIGHT)
        if problem.mean_error(state, observations) < _LOST:
            return state
    return solve_frame(problem, problem.initial_state(observations), observations, weights, _FIRST_ITERATIONS)


def _fit_identity(
    problem: RigProblem, keys: TimeSteps, states: list[State], distances: Sequence[float], options: RigOptions
) -> np.ndarray:
    """Identity [S] from key time steps; pose and expression of each are eliminated as in tracker.identity."""
    model = problem.model
    identity = np.zeros(problem.model.identity_size)
    for _ in range(options.identity.iterations):
        blocks = [_eliminate(problem, *pair) for pair in zip(states, keys.observations, strict=True)]
        matrix = sum((block.matrix for block in blocks), np.zeros((len(identity), len(identity))))
        matrix = matrix + options.identity.identity_prior * np.eye(len(identity))
        gradient = sum((block.gradient for block in blocks), np.zeros(len(identity)))
        gradient = gradient + options.identity.identity_prior * identity
        step = -np.linalg.solve(matrix, gradient)
        identity = identity + step
        states = [
            state.after_step(block.local - block.coupling @ step, model.limits)
            for state, block in zip(states, blocks, strict=True)
        ]
        problem = RigProblem.create(model, identity, problem.cameras, distances, options.fit)
        if np.abs(step).max() < 1e-3:
            break
    return identity


@dataclass(frozen=True)
class _Block:
    """Contribution of one time step to the reduced normal equations, and the terms of its back-substitution."""

    matrix: np.ndarray  # [S,S]
    gradient: np.ndarray  # [S]
    local: np.ndarray  # [6+E]
    coupling: np.ndarray  # [6+E,S]


def _eliminate(problem: RigProblem, state: State, observations: Sequence[CameraObservation]) -> _Block:
    size = POSE + len(state.expression)
    shared_size = problem.model.identity_size
    matrix = np.zeros((size, size))
    gradient = np.zeros(size)
    cross = np.zeros((size, shared_size))
    reduced = np.zeros((shared_size, shared_size))
    slope = np.zeros(shared_size)
    for observation, weights in zip(observations, problem.weights(observations), strict=True):
        lin = problem.linearize(state, observation, weights)
        block, block_gradient = lin.normal()
        shared = np.ascontiguousarray(shared_jacobian(problem.problems[observation.camera], lin)[:, :-1])
        matrix += block
        gradient += block_gradient
        cross += gram(lin.jacobian, shared)
        reduced += gram(shared, shared)
        slope += apply_transpose(shared, lin.residual)
    add_expression_prior(problem, state.expression, matrix, gradient)
    active = np.flatnonzero(at_active_limit(state.expression, gradient[POSE:], problem.model.limits)) + POSE
    matrix[active, active] += 1e9
    matrix[:POSE, :POSE] += 1e-6 * np.eye(POSE)
    inverse = np.linalg.inv(matrix)
    coupling = np.einsum("ij,jk->ik", inverse, cross)
    local = -inverse @ gradient
    reduced -= np.einsum("ij,ik->jk", cross, coupling)
    return _Block(reduced, slope + cross.T @ local, local, coupling)


def _facing_cosine(problem: RigProblem, state: State, observation: CameraObservation) -> float:
    """Cosine of the angle between the face and the direction to the camera."""
    toward = problem.cameras[observation.camera].position - state.translation
    return float(state.rotation[:, 2] @ toward / max(float(np.linalg.norm(toward)), 1e-9))


def _most_frontal(problem: RigProblem, state: State, observations: Sequence[CameraObservation]) -> CameraObservation:
    return max(observations, key=lambda observation: _facing_cosine(problem, state, observation))


def _gaze(person: RigPerson, states: Sequence[State], steps: TimeSteps) -> np.ndarray:
    """Yaw and pitch [T,2] of the eyes, averaged over cameras with more weight for frontal ones."""
    problem = person.problem
    angles = np.zeros((len(states), 2))
    for row, (state, observations) in enumerate(zip(states, steps.observations, strict=True)):
        facing = np.array([_facing_cosine(problem, state, observation) for observation in observations])
        weights = np.where(facing > _MIN_FRONTAL, facing, 0.0)
        if not weights.any():
            weights[facing.argmax()] = 1.0
        for observation, weight in zip(observations, weights / weights.sum(), strict=True):
            if weight > 0:
                camera = problem.cameras[observation.camera]
                local = [camera.to_camera(state)]
                each = eye_angles(problem.model, person.identity, camera.pinhole, local, observation.points[None])
                angles[row] += weight * each[0]
    return angles


def _openness(person: RigPerson, states: Sequence[State]) -> np.ndarray:
    names = person.problem.model.names
    blinks = [column for column, name in enumerate(names) if name.startswith(("eyeBlink", "eyelid"))]
    if not blinks:
        return np.ones(len(states))
    return np.array([1.0 - state.expression[blinks].mean() for state in states])
