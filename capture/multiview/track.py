"""A person and a track from what several cameras saw: one head a moment, training moments first and on their own.

The counterpart of tracker.clip for cameras with known places. Views of different sides determine depth and rotation, so
the landmark network's own depth, on which the single-camera tracker leans, is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from capture.multiview.rig import RigCamera, RigProblem, Sighting
from capture.tracker.frame import solve_frame
from capture.tracker.gaze import eye_angles, smooth_angles
from capture.tracker.identity import IdentityOptions, choose_key_frames, shared_jacobian
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.linalg import gram, pull
from capture.tracker.problem import POSE, FitOptions, State, add_expression_prior, outward
from capture.tracker.rotation import yaw_pitch
from capture.tracker.smooth import SmoothOptions, smooth_clip

_LOST = 0.06
_FIRST_ITERATIONS, _NEXT_ITERATIONS, _PREVIOUS_WEIGHT = 30, 3, 2.0
#: Cosine of the angle between face and camera below which a camera does not see the gaze, unless no other does.
_FRONTAL = 0.5


@dataclass(frozen=True)
class Moments:
    """What was seen when: T moments in order of time."""

    sightings: tuple[tuple[Sighting, ...], ...]  # [T], one at least each
    time: np.ndarray  # [T] seconds

    def __len__(self) -> int:
        return len(self.time)

    def pick(self, rows: Sequence[int] | np.ndarray) -> Moments:
        """The moments `rows`."""
        return Moments(tuple(self.sightings[row] for row in rows), self.time[np.asarray(rows, dtype=np.int64)])


@dataclass(frozen=True)
class RigOptions:
    """Weights of every stage; with several views depth is as sure as the other directions."""

    fit: FitOptions = field(default_factory=FitOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    smooth: SmoothOptions = field(default_factory=lambda: SmoothOptions(depth=SmoothOptions.sideways))


@dataclass(frozen=True)
class RigPerson:
    """What the training moments settle once and for all."""

    problem: RigProblem
    identity: np.ndarray  # [S]
    key_moments: np.ndarray  # indices into the training moments
    options: RigOptions


@dataclass(frozen=True)
class RigTrack:
    """Tracked moments."""

    states: tuple[State, ...]  # [T]
    frame_states: tuple[State, ...]  # [T] before smoothing
    raw_gaze: np.ndarray  # [T,2] yaw, pitch before smoothing
    gaze: np.ndarray  # [T,2] radians


def head_distances(problem_cameras: Sequence[RigCamera], places: np.ndarray) -> list[float]:
    """Typical distance (m) of each camera from head positions [T,3]."""
    return [max(float(np.median(np.linalg.norm(places - c.position, axis=1))), 1e-3) for c in problem_cameras]


def fit_rig_person(
    model: LandmarkModel, cameras: Sequence[RigCamera], training: Moments, options: RigOptions | None = None
) -> RigPerson:
    """Identity from training moments.

    Args:
        model: landmark model of the head.
        cameras: all cameras, calibrated, meters.
        training: training moments only.
        options: weights.
    """
    options = options or RigOptions()
    neutral = np.zeros(model.identity_size)
    problem = RigProblem.create(model, neutral, cameras, [1.0] * len(cameras), options.fit)
    states = [problem.initial_state(sightings) for sightings in training.sightings]
    distances = head_distances(cameras, np.stack([state.translation for state in states]))
    problem = RigProblem.create(model, neutral, cameras, distances, options.fit)
    front = [_most_frontal(problem, state, seen) for state, seen in zip(states, training.sightings, strict=True)]
    angles = yaw_pitch(np.stack([state.rotation for state in states]))
    keys = choose_key_frames(np.stack([sighting.points for sighting in front]), angles)
    identity = _fit_identity(problem, training.pick(keys), [states[key] for key in keys], distances, options)
    return RigPerson(RigProblem.create(model, identity, cameras, distances, options.fit), identity, keys, options)


def track_rig(person: RigPerson, training: Moments, progress: Callable[[int], None] | None = None) -> RigTrack:
    """Pose, expression and gaze of the training moments, smoothed among themselves."""
    problem = person.problem
    weights = [problem.weights(sightings) for sightings in training.sightings]
    states: list[State] = []
    for row, sightings in enumerate(training.sightings):
        states.append(_next_state(problem, states[-1] if states else None, sightings, weights[row]))
        if progress:
            progress(row + 1)
    smoothed = smooth_clip(problem, states, training.sightings, weights, training.time, None, person.options.smooth)
    raw = _gaze(person, smoothed, training)
    return RigTrack(tuple(smoothed), tuple(states), raw, smooth_angles(raw, _openness(person, smoothed), training.time))


def track_rig_held_out(person: RigPerson, training: Moments, track: RigTrack, held_out: Moments) -> RigTrack:
    """The same of held-out moments; the person and the training moments' track stay as they are."""
    problem = person.problem
    weights = [problem.weights(sightings) for sightings in held_out.sightings]
    times, solved = list(training.time), list(track.states)
    states: list[State] = []
    for row, sightings in enumerate(held_out.sightings):
        nearest = int(np.argmin(np.abs(np.asarray(times) - held_out.time[row])))
        states.append(_next_state(problem, solved[nearest], sightings, weights[row]))
        times.append(held_out.time[row])
        solved.append(states[-1])
    time = np.concatenate([training.time, held_out.time])
    order = np.argsort(time, kind="stable")
    fixed = order < len(training)
    start = [*track.states, *states]
    seen = [*training.sightings, *held_out.sightings]
    every = [*([[]] * len(training)), *weights]
    smoothed = smooth_clip(
        problem,
        [start[k] for k in order],
        [seen[k] for k in order],
        [every[k] for k in order],
        time[order],
        fixed,
        person.options.smooth,
    )
    smoothed = [smoothed[place] for place in np.flatnonzero(~fixed)]
    raw = _gaze(person, smoothed, held_out)
    openness = np.concatenate([_openness(person, track.states), _openness(person, smoothed)])
    gaze = smooth_angles(np.concatenate([track.raw_gaze, raw]), openness, time)[len(training) :]
    return RigTrack(tuple(smoothed), tuple(states), raw, gaze)


def _next_state(
    problem: RigProblem, previous: State | None, sightings: Sequence[Sighting], weights: Sequence[np.ndarray]
) -> State:
    if previous is not None:
        state = solve_frame(problem, previous, sightings, weights, _NEXT_ITERATIONS, _PREVIOUS_WEIGHT)
        if problem.mean_error(state, sightings) < _LOST:
            return state
    return solve_frame(problem, problem.initial_state(sightings), sightings, weights, _FIRST_ITERATIONS)


def _fit_identity(
    problem: RigProblem, keys: Moments, states: list[State], distances: Sequence[float], options: RigOptions
) -> np.ndarray:
    """Identity [S] from key moments; pose and expression of each are eliminated as in tracker.identity."""
    model, identity = problem.model, np.zeros(problem.model.identity_size)
    for _ in range(options.identity.iterations):
        blocks = [_eliminate(problem, *pair) for pair in zip(states, keys.sightings, strict=True)]
        matrix = sum(block.matrix for block in blocks) + options.identity.identity_prior * np.eye(len(identity))
        gradient = sum(block.gradient for block in blocks) + options.identity.identity_prior * identity
        step = -np.linalg.solve(matrix, gradient)
        identity = identity + step
        states = [
            state.moved(block.local - block.coupling @ step, model.limits)
            for state, block in zip(states, blocks, strict=True)
        ]
        problem = RigProblem.create(model, identity, problem.cameras, distances, options.fit)
        if np.abs(step).max() < 1e-3:
            break
    return identity


@dataclass(frozen=True)
class _Block:
    """One moment's share of the reduced normal equations, and what its own step follows from."""

    matrix: np.ndarray  # [S,S]
    gradient: np.ndarray  # [S]
    local: np.ndarray  # [6+E]
    coupling: np.ndarray  # [6+E,S]


def _eliminate(problem: RigProblem, state: State, sightings: Sequence[Sighting]) -> _Block:
    size, shared_size = POSE + len(state.expression), problem.model.identity_size
    matrix, gradient = np.zeros((size, size)), np.zeros(size)
    cross, reduced, slope = np.zeros((size, shared_size)), np.zeros((shared_size, shared_size)), np.zeros(shared_size)
    for sighting, weights in zip(sightings, problem.weights(sightings), strict=True):
        lin = problem.linearize(state, sighting, weights)
        own, own_slope = lin.normal()
        shared = np.ascontiguousarray(shared_jacobian(problem.problems[sighting.camera], lin)[:, :-1])
        matrix += own
        gradient += own_slope
        cross += gram(lin.jacobian, shared)
        reduced += gram(shared, shared)
        slope += pull(shared, lin.residual)
    add_expression_prior(problem, state.expression, matrix, gradient)
    held = np.flatnonzero(outward(state.expression, gradient[POSE:], problem.model.limits)) + POSE
    matrix[held, held] += 1e9
    matrix[:POSE, :POSE] += 1e-6 * np.eye(POSE)
    inverse = np.linalg.inv(matrix)
    coupling, local = np.einsum("ij,jk->ik", inverse, cross), -inverse @ gradient
    reduced -= np.einsum("ij,ik->jk", cross, coupling)
    return _Block(reduced, slope + cross.T @ local, local, coupling)


def _facing(problem: RigProblem, state: State, sighting: Sighting) -> float:
    """Cosine of the angle between where the face looks and where the camera is."""
    toward = problem.cameras[sighting.camera].position - state.translation
    return float(state.rotation[:, 2] @ toward / max(float(np.linalg.norm(toward)), 1e-9))


def _most_frontal(problem: RigProblem, state: State, sightings: Sequence[Sighting]) -> Sighting:
    return max(sightings, key=lambda sighting: _facing(problem, state, sighting))


def _gaze(person: RigPerson, states: Sequence[State], moments: Moments) -> np.ndarray:
    """Yaw and pitch [T,2] of the eyes, cameras averaged by how frontal they are."""
    problem, angles = person.problem, np.zeros((len(states), 2))
    for row, (state, sightings) in enumerate(zip(states, moments.sightings, strict=True)):
        facing = np.array([_facing(problem, state, sighting) for sighting in sightings])
        share = np.where(facing > _FRONTAL, facing, 0.0)
        if not share.any():
            share[facing.argmax()] = 1.0
        for sighting, weight in zip(sightings, share / share.sum(), strict=True):
            if weight > 0:
                camera = problem.cameras[sighting.camera]
                seen = [camera.seen(state)]
                own = eye_angles(problem.model, person.identity, camera.pinhole, seen, sighting.points[None])
                angles[row] += weight * own[0]
    return angles


def _openness(person: RigPerson, states: Sequence[State]) -> np.ndarray:
    names = person.problem.model.names
    blinks = [place for place, name in enumerate(names) if name.startswith(("eyeBlink", "eyelid"))]
    if not blinks:
        return np.ones(len(states))
    return np.array([1.0 - state.expression[blinks].mean() for state in states])
