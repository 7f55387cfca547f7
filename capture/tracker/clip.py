"""Head parameters of a clip from its landmarks; training frames first, independent of held-out frames.

`fit_person` and `track_training` use training frames only; `track_held_out` keeps their results fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.geometry.rotations import mean_rotation
from avatar.geometry.similarity import fit_similarity
from capture.tracker.camera import FocalPrior, may_release_focal
from capture.tracker.frame import frame_error, initial_state, solve_frame
from capture.tracker.gaze import eye_angles, smooth_angles
from capture.tracker.identity import IdentityFit, IdentityOptions, KeyFrame, choose_key_frames, fit_identity
from capture.tracker.indices import FACE_COUNT, STABLE_LANDMARKS, inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.lids import usual_openings, with_closed_lids
from capture.tracker.problem import FitOptions, FrameProblem, Pinhole, State
from capture.tracker.smooth import SmoothOptions, smooth_clip

#: Reprojection (fraction of the inter-ocular distance) beyond which a warm start is discarded.
_LOST = 0.06
#: Repetitions of the joint fit from the focal length found before; the first must reduce the error to this fraction.
#: They end where the focal length changes less than this.
_REFITS = 4
_CLEARLY_BETTER = 0.95
_FOCAL_STEP = 0.02
_FIRST_ITERATIONS = 30
_NEXT_ITERATIONS = 3
_PREVIOUS_WEIGHT = 2.0


@dataclass(frozen=True)
class Observations:
    """Landmarks of T frames, in pixels of the stored frames."""

    points: np.ndarray  # [T,478,3], z in the scale of x
    spread: np.ndarray  # [T,478] standard deviation over jittered passes
    presence: np.ndarray  # [T] 0..1
    time: np.ndarray  # [T] seconds

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: np.ndarray) -> Observations:
        return Observations(self.points[rows], self.spread[rows], self.presence[rows], self.time[rows])

    @property
    def targets(self) -> np.ndarray:
        """Landmarks the fits minimize the distance to, [T,468,2] pixels."""
        return np.ascontiguousarray(self.points[:, :FACE_COUNT, :2], dtype=np.float64)


@dataclass(frozen=True)
class TrackerOptions:
    """Weights of every stage."""

    fit: FitOptions = field(default_factory=FitOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    smooth: SmoothOptions = field(default_factory=SmoothOptions)


@dataclass(frozen=True)
class Person:
    """The parameters that all frames share, estimated from the training frames."""

    model: LandmarkModel
    identity: np.ndarray  # [S]
    camera: Pinhole
    focal_log_sigma: float
    focal_released: bool
    inter_ocular: float  # pixels, typical of the training frames
    key_frames: np.ndarray  # indices into the training frames
    attitude_offset: np.ndarray  # [3,3] rotation from the head model's axes to the landmark network's
    options: TrackerOptions

    def attitudes(self, observations: Observations) -> np.ndarray:
        """Rotations [T,3,3] of the skull measured from the depth of the landmarks."""
        return network_rotations(self.model, observations, self.camera) @ self.attitude_offset

    def problem(self) -> FrameProblem:
        """The per-frame problem with identity and camera frozen."""
        return FrameProblem.create(self.model, self.identity, self.camera, self.inter_ocular, self.options.fit)


@dataclass(frozen=True)
class ClipTrack:
    """Tracked frames."""

    states: tuple[State, ...]  # [T]
    raw_gaze: np.ndarray  # [T,2] yaw, pitch before smoothing
    gaze: np.ndarray  # [T,2] radians
    reprojection: np.ndarray  # [T,468] fraction of the inter-ocular distance
    unsmoothed_states: tuple[State, ...]  # [T] before smoothing

    def openness(self, model: LandmarkModel) -> np.ndarray:
        """Openness of the eyes [T], 0..1, from the blink weights."""
        return _openness(model, self.states)


def network_rotations(model: LandmarkModel, observations: Observations, camera: Pinhole) -> np.ndarray:
    """Rotation [T,3,3] of the skull from the depth that the landmark network estimates.

    That depth is orthographic: pixels relative to the center of the face. Under perspective nearer points appear
    larger, so each point moves along its camera ray to the depth of focal length plus its landmark depth.
    """
    template = model.base[STABLE_LANDMARKS]
    rotations = np.empty((len(observations), 3, 3))
    for index, points in enumerate(observations.points):
        chosen = points[STABLE_LANDMARKS].astype(np.float64)
        farther = 1 + (chosen[:, 2] - chosen[:, 2].mean()) / camera.focal
        rays = np.column_stack(
            [chosen[:, 0] - camera.cx, camera.cy - chosen[:, 1], np.full(len(chosen), -camera.focal)]
        )
        rotations[index], _ = fit_similarity(template, rays * farther[:, None])
    return rotations


def fit_person(
    model: LandmarkModel,
    training: Observations,
    prior: FocalPrior,
    principal_point: tuple[float, float],
    options: TrackerOptions | None = None,
) -> Person:
    """Identity and camera from training frames.

    Args:
        model: landmark model of the head.
        training: landmarks of training frames only.
        prior: prior on the focal length, pixels of the same frames.
        principal_point: (x, y) pixels.
        options: weights of every stage.

    Returns:
        The person; `key_frames` are rows of `training`.
    """
    options = options or TrackerOptions()
    camera = Pinhole(prior.focal, *principal_point)
    typical = float(np.median(inter_ocular(training.points)))
    rotations = network_rotations(model, training, camera)
    angles = yaw_pitch(rotations)
    keys = choose_key_frames(training.points, angles)
    release = prior.origin != "given" and may_release_focal(angles[:, 0])
    shared = _KeyFrames(model, training[keys], typical, prior, release, options)
    joint = shared.fit(camera, rotations[keys])
    if release:
        joint = shared.refit(joint)
    log_sigma = joint.fit.focal_log_sigma
    return Person(model, joint.fit.identity, joint.camera, log_sigma, release, typical, keys, joint.offset, options)


@dataclass(frozen=True)
class _JointFit:
    """A fit of the key frames."""

    fit: IdentityFit
    camera: Pinhole
    offset: np.ndarray  # [3,3] rotation from the head model's axes to the landmark network's
    error: float  # mean reprojection, fraction of the inter-ocular distance


@dataclass(frozen=True)
class _KeyFrames:
    """The joint problem of the key frames."""

    model: LandmarkModel
    seen: Observations  # of the key frames
    inter_ocular: float  # pixels
    prior: FocalPrior
    release: bool  # whether the focal length is estimated
    options: TrackerOptions

    def fit(self, camera: Pinhole, rotations: np.ndarray) -> _JointFit:
        """Identity and focal length, with `rotations` [K,3,3] measured from the depth of the landmarks for `camera`."""
        seen = self.seen
        options = self.options
        problem = FrameProblem.create(
            self.model, np.zeros(self.model.identity_size), camera, self.inter_ocular, options.fit
        )
        frames = [
            KeyFrame(target, problem.weights(spread), rotation)
            for target, spread, rotation in zip(seen.targets, seen.spread, rotations, strict=True)
        ]
        shared = (camera, self.prior, self.release, self.inter_ocular, options.fit, options.identity)
        fit = fit_identity(self.model, frames, *shared)
        relative = [frame.rotation_prior.T @ state.rotation for frame, state in zip(frames, fit.states, strict=True)]
        offset = mean_rotation(torch.from_numpy(np.stack(relative))).numpy()
        # The first fit gives the rotation between the network's frame and the head's; the second uses those rotations.
        frames = [replace(frame, attitude=frame.rotation_prior @ offset) for frame in frames]
        fit = fit_identity(self.model, frames, *shared)
        pinhole = replace(camera, focal=fit.focal)
        problem = FrameProblem.create(self.model, fit.identity, pinhole, self.inter_ocular, options.fit)
        errors = [frame_error(problem, *pair).mean() for pair in zip(fit.states, seen.targets, strict=True)]
        return _JointFit(fit, pinhole, offset, float(np.mean(errors)))

    def refit(self, first: _JointFit) -> _JointFit:
        """`first`, or a fit whose rotations are measured with the focal length of the last one, again and again.

        Away from the middle of the frame the rotations depend on the focal length: measured with a wrong one they hold
        the fit near it. The landmarks of a head in the middle hardly tell the fits apart; then `first` stays.
        """
        best = first
        for _ in range(_REFITS):
            fit = self.fit(best.camera, network_rotations(self.model, self.seen, best.camera))
            if fit.error > (_CLEARLY_BETTER * first.error if best is first else best.error):
                break
            moved = abs(np.log(fit.camera.focal / best.camera.focal))
            best = fit
            if moved < _FOCAL_STEP:
                break
        return best


def track_training(
    person: Person, training: Observations, progress: Callable[[int, int], None] | None = None
) -> ClipTrack:
    """Pose, expression and gaze of the training frames; smoothing uses training frames only."""
    problem = person.problem()
    targets = training.targets
    weights = np.stack([problem.weights(spread) for spread in training.spread])
    states: list[State] = []
    attitudes = person.attitudes(training)
    for index, target in enumerate(targets):
        previous = states[-1] if states else None
        states.append(_next_state(problem, previous, target, weights[index], attitudes[index]))
        if progress:
            progress(index + 1, len(targets))
    smoothed = smooth_clip(problem, states, targets, weights, training.time, None, person.options.smooth, attitudes)
    usual = usual_openings(problem, smoothed, training.points)
    smoothed = with_closed_lids(problem, smoothed, training.points, usual)
    raw = eye_angles(person.model, person.identity, person.camera, smoothed, training.points)
    gaze = smooth_angles(raw, _openness(person.model, smoothed), training.time)
    return _finish(problem, targets, smoothed, states, raw, gaze)


def track_held_out(person: Person, training: Observations, track: ClipTrack, held_out: Observations) -> ClipTrack:
    """Pose, expression and gaze of held-out frames; the person and the track of the training frames stay fixed.

    Each frame starts from the solved frame nearest in time; smoothing couples held-out frames with each other and with
    the fixed training frames.

    Args:
        person: from `fit_person`.
        training: landmarks of the training frames.
        track: from `track_training`.
        held_out: landmarks of the held-out frames.
    """
    problem = person.problem()
    targets = held_out.targets
    weights = np.stack([problem.weights(spread) for spread in held_out.spread])
    times = list(training.time)
    solved = list(track.states)
    attitudes = person.attitudes(held_out)
    states: list[State] = []
    for index, target in enumerate(targets):
        nearest = int(np.argmin(np.abs(np.asarray(times) - held_out.time[index])))
        states.append(_next_state(problem, solved[nearest], target, weights[index], attitudes[index]))
        times.append(held_out.time[index])
        solved.append(states[-1])
    order = np.argsort(np.concatenate([training.time, held_out.time]), kind="stable")
    fixed = order < len(training)
    time = np.concatenate([training.time, held_out.time])[order]
    all_states = [*track.states, *states]
    all_weights = np.concatenate([np.zeros((len(training), FACE_COUNT)), weights])[order]
    all_targets = np.concatenate([training.targets, targets])[order]
    all_attitudes = np.concatenate([person.attitudes(training), attitudes])[order]
    start = [all_states[k] for k in order]
    smoothed = smooth_clip(problem, start, all_targets, all_weights, time, fixed, person.options.smooth, all_attitudes)
    smoothed = [smoothed[row] for row in np.flatnonzero(~fixed)]
    usual = usual_openings(problem, track.states, training.points)
    smoothed = with_closed_lids(problem, smoothed, held_out.points, usual)
    raw = eye_angles(person.model, person.identity, person.camera, smoothed, held_out.points)
    gaze = smooth_angles(
        np.concatenate([track.raw_gaze, raw]),
        np.concatenate([track.openness(person.model), _openness(person.model, smoothed)]),
        np.concatenate([training.time, held_out.time]),
    )[len(training) :]
    return _finish(problem, targets, smoothed, states, raw, gaze)


def _next_state(
    problem: FrameProblem, previous: State | None, target: np.ndarray, weights: np.ndarray, attitude: np.ndarray
) -> State:
    """Solve one frame from the previous one, or from PnP where there is none or the warm start fails."""
    if previous is not None:
        state = solve_frame(problem, previous, target, weights, _NEXT_ITERATIONS, _PREVIOUS_WEIGHT, attitude)
        if frame_error(problem, state, target).mean() < _LOST:
            return state
    return solve_frame(problem, initial_state(problem, target), target, weights, _FIRST_ITERATIONS, attitude=attitude)


def _openness(model: LandmarkModel, states: list[State] | tuple[State, ...]) -> np.ndarray:
    blinks = [column for column, name in enumerate(model.names) if name.startswith(("eyeBlink", "eyelid"))]
    if not blinks:
        return np.ones(len(states))
    return np.array([1.0 - state.expression[blinks].mean() for state in states])


def _finish(
    problem: FrameProblem,
    targets: np.ndarray,
    states: list[State],
    unsmoothed_states: list[State],
    raw_gaze: np.ndarray,
    gaze: np.ndarray,
) -> ClipTrack:
    errors = np.stack([frame_error(problem, state, target) for state, target in zip(states, targets, strict=True)])
    return ClipTrack(tuple(states), raw_gaze, gaze, errors, tuple(unsmoothed_states))
