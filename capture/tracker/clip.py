"""Head parameters of a clip from its landmarks; training frames first, independent of held-out frames.

`fit_person` and `track_training` use training frames only; `track_held_out` keeps their results fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.geometry.rotations import mean_rotation
from capture.tracker.camera import FocalPrior, may_release_focal
from capture.tracker.frame import frame_error, initial_state, solve_frame
from capture.tracker.gaze import eye_angles, smooth_angles
from capture.tracker.held import held_angles, held_expressions
from capture.tracker.identity import IdentityFit, IdentityOptions, KeyFrame, choose_key_frames, fit_identity
from capture.tracker.indices import FACE_COUNT, HIDEABLE_LANDMARKS, STABLE_LANDMARKS, inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.lids import usual_openings, with_closed_lids
from capture.tracker.problem import FitOptions, FrameProblem, Pinhole, PosedProblem, State
from capture.tracker.robust import fit_without_outliers, inliers, rotation_between, trimmed_mean, without
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
#: Distance (m) of a stable landmark from the mean face up to which it is never an outlier.
_STABLE_DISTANCE = 0.02
#: Joint fits without the outliers of the one before, at most; Gauss-Newton steps of a key frame alone.
_TRIMMED_FITS = 3
_ALONE_ITERATIONS = 10


@dataclass(frozen=True)
class Observations:
    """Landmarks of T frames, in pixels of the stored frames."""

    points: np.ndarray  # [T,478,3], z in the scale of x; NaN where a landmark is missing
    spread: np.ndarray  # [T,478] standard deviation over jittered passes
    presence: np.ndarray  # [T] 0..1
    time: np.ndarray  # [T] seconds
    #: mask [T] of the frames in which a region (avatar.head.arkit.HIDEABLE) is behind a hand or another thing
    hidden: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: np.ndarray) -> Observations:
        hidden = {region: mask[rows] for region, mask in self.hidden.items()}
        return Observations(self.points[rows], self.spread[rows], self.presence[rows], self.time[rows], hidden)

    @property
    def targets(self) -> np.ndarray:
        """Landmarks the fits minimize the distance to, [T,468,2] pixels."""
        return np.ascontiguousarray(self.points[:, :FACE_COUNT, :2], dtype=np.float64)

    def visible(self) -> Observations:
        """The same without the landmarks of hidden regions."""
        if not any(mask.any() for mask in self.hidden.values()):
            return self
        points = self.points.copy()
        for region, mask in self.hidden.items():
            points[np.ix_(mask, HIDEABLE_LANDMARKS[region])] = np.nan
        return replace(self, points=points)

    def without(self, kept: np.ndarray) -> Observations:
        """The same without the landmarks that the mask `kept` [T,468] leaves out."""
        if kept.all():
            return self
        rows = [without(points, mask) for points, mask in zip(self.points, kept, strict=True)]
        return replace(self, points=np.stack(rows))


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

    def solve(
        self,
        problem: FrameProblem,
        start: State | None,
        seen: Observations,
        iterations: int,
        previous_weight: float = 0.0,
        attitude: np.ndarray | None = None,
    ) -> State:
        """Pose and expression of one frame.

        Args:
            problem: of this person.
            start: initial state; None: a neutral face in the pose that fits best.
            seen: landmarks of the frame [1].
            iterations: Gauss-Newton steps, at most.
            previous_weight: weight of the squared difference from the expressions of `start`.
            attitude: measured rotation [3,3]; None: from the landmarks.
        """
        target = seen.targets[0]
        first = initial_state(problem, target) if start is None else start
        weights = problem.weights(seen.spread[0])
        attitude = self.attitudes(seen)[0] if attitude is None else attitude
        return solve_frame(problem, first, target, weights, iterations, previous_weight, attitude)


@dataclass(frozen=True)
class ClipTrack:
    """Tracked frames."""

    states: tuple[State, ...]  # [T]
    raw_gaze: np.ndarray  # [T,2] yaw, pitch before smoothing
    gaze: np.ndarray  # [T,2] radians
    reprojection: np.ndarray  # [T,468] fraction of the inter-ocular distance; NaN where a landmark is not used
    unsmoothed_states: tuple[State, ...]  # [T] before smoothing

    def openness(self, model: LandmarkModel) -> np.ndarray:
        """Openness of the eyes [T], 0..1, from the blink weights."""
        return _openness(model, self.states)


def network_rotations(model: LandmarkModel, observations: Observations, camera: Pinhole) -> np.ndarray:
    """Rotation [T,3,3] of the skull from the depth that the landmark network estimates, NaN where too few are seen.

    That depth is orthographic: pixels relative to the center of the face. Under perspective nearer points appear
    larger, so each point moves along its camera ray to the depth of focal length plus its landmark depth.
    """
    template = model.base[STABLE_LANDMARKS]
    rotations = np.empty((len(observations), 3, 3))
    for index, points in enumerate(observations.points):
        chosen = points[STABLE_LANDMARKS].astype(np.float64)
        depth = chosen[np.isfinite(chosen[:, 2]), 2]
        farther = 1 + (chosen[:, 2] - (depth.mean() if len(depth) else 0.0)) / camera.focal
        rays = np.column_stack(
            [chosen[:, 0] - camera.cx, camera.cy - chosen[:, 1], np.full(len(chosen), -camera.focal)]
        )
        rotations[index] = rotation_between(template, rays * farther[:, None], _STABLE_DISTANCE)
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
    training = training.visible()
    options = options or TrackerOptions()
    camera = Pinhole(prior.focal, *principal_point)
    typical = float(np.nanmedian(inter_ocular(training.points)))
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
        shared = (camera, self.prior, self.release, self.inter_ocular, options.fit, options.identity)

        def frames(offset: np.ndarray | None) -> list[KeyFrame]:
            columns = zip(seen.targets, seen.spread, rotations, strict=True)
            attitude = (lambda measured: None) if offset is None else (lambda measured: measured @ offset)
            return [KeyFrame(each, problem.weights(spread), turn, attitude(turn)) for each, spread, turn in columns]

        # The first fit gives the rotation between the axes of network and head; the next ones use those rotations.
        fit = fit_identity(self.model, frames(None), *shared)
        if self._trimmed(self._errors(fit, camera)) is not seen:
            seen = self._without_outliers_of(problem)
            rotations = network_rotations(self.model, seen, camera)
            fit = fit_identity(self.model, frames(None), *shared)
        for _ in range(_TRIMMED_FITS):
            offset = _mean_offset(rotations, fit.states)
            fit = fit_identity(self.model, frames(offset), *shared)
            errors = self._errors(fit, camera)
            trimmed = self._trimmed(errors)
            if np.array_equal(trimmed.points, seen.points, equal_nan=True):
                break
            seen = trimmed
            rotations = network_rotations(self.model, seen, camera)
        pinhole = replace(camera, focal=fit.focal)
        return _JointFit(fit, pinhole, offset, float(np.mean([trimmed_mean(each) for each in errors])))

    def _errors(self, fit: IdentityFit, camera: Pinhole) -> list[np.ndarray]:
        """Distances [468] of the landmarks of each key frame."""
        pinhole = replace(camera, focal=fit.focal)
        problem = FrameProblem.create(self.model, fit.identity, pinhole, self.inter_ocular, self.options.fit)
        return [frame_error(problem, *pair) for pair in zip(fit.states, self.seen.targets, strict=True)]

    def _trimmed(self, errors: list[np.ndarray]) -> Observations:
        return self.seen.without(np.stack([inliers(each) for each in errors]))

    def _without_outliers_of(self, problem: FrameProblem) -> Observations:
        """The key frames without outliers of fits to each of them alone; the joint fit turns those into identity."""

        def trimmed(points: np.ndarray, target: np.ndarray, spread: np.ndarray) -> np.ndarray:
            def fit(used: np.ndarray) -> State:
                seen = used[:FACE_COUNT, :2].astype(np.float64)
                start = initial_state(problem, seen)
                return solve_frame(problem, start, seen, problem.weights(spread), _ALONE_ITERATIONS)

            return fit_without_outliers(fit, lambda state: frame_error(problem, state, target), points)[1]

        seen = self.seen
        rows = zip(seen.points, seen.targets, seen.spread, strict=True)
        return replace(seen, points=np.stack([trimmed(*row) for row in rows]))

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


def _mean_offset(rotations: np.ndarray, states: Sequence[State]) -> np.ndarray:
    """Rotation [3,3] from the head model's axes to those of `rotations` [K,3,3]; NaN where none of them is known."""
    pairs = zip(rotations, states, strict=True)
    relative = [turn.T @ state.rotation for turn, state in pairs if np.isfinite(turn).all()]
    if not relative:
        return np.full((3, 3), np.nan)
    mean: np.ndarray = mean_rotation(torch.from_numpy(np.stack(relative))).numpy()
    return mean


def track_training(
    person: Person, training: Observations, progress: Callable[[int, int], None] | None = None
) -> ClipTrack:
    """Pose, expression and gaze of the training frames; smoothing uses training frames only."""
    training = training.visible()
    problem = person.problem()
    attitudes = person.attitudes(training)
    states: list[State] = []
    kept = []
    for index in range(len(training)):
        seen = training[np.array([index])]
        state, points = _next_state(person, problem, states[-1] if states else None, seen, attitudes[index])
        states.append(state)
        kept.append(points)
        if progress:
            progress(index + 1, len(training))
    training, attitudes = _trimmed(person, training, kept, attitudes)
    targets = training.targets
    weights = np.stack([problem.weights(spread) for spread in training.spread])
    smoothed = smooth_clip(problem, states, targets, weights, training.time, None, person.options.smooth, attitudes)
    usual = usual_openings(problem, smoothed, training.points)
    smoothed = with_closed_lids(problem, smoothed, training.points, usual)
    smoothed = held_expressions(person.model.names, smoothed, training.hidden, training.time)
    raw = eye_angles(person.model, person.identity, person.camera, smoothed, training.points)
    raw = held_angles(raw, training.hidden, training.time)
    gaze = smooth_angles(raw, _openness(person.model, smoothed), training.time)
    return _finish(problem, targets, smoothed, states, raw, gaze)


def track_posed(person: Person, training: Observations, poses: Sequence[State]) -> ClipTrack:
    """Expression and gaze of training frames whose `poses` [T] are known, each by itself."""
    training = training.visible()
    problem = person.problem()
    states = []
    for index, pose in enumerate(poses):
        seen = training[np.array([index])]
        target = seen.targets[0]
        weights = problem.weights(seen.spread[0])

        def fit(points: np.ndarray, pose: State = pose, weights: np.ndarray = weights) -> State:
            posed = PosedProblem(problem)
            return solve_frame(posed, pose, points[:FACE_COUNT, :2].astype(np.float64), weights, _FIRST_ITERATIONS)

        def distance(state: State, target: np.ndarray = target) -> np.ndarray:
            return frame_error(problem, state, target)

        states.append(fit_without_outliers(fit, distance, seen.points[0])[0])
    usual = usual_openings(problem, states, training.points)
    closed = with_closed_lids(problem, states, training.points, usual)
    closed = held_expressions(person.model.names, closed, training.hidden, training.time)
    raw = eye_angles(person.model, person.identity, person.camera, closed, training.points)
    gaze = held_angles(raw, training.hidden, training.time)
    return _finish(problem, training.targets, closed, states, gaze, gaze)


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
    training, held_out = training.visible(), held_out.visible()
    problem = person.problem()
    times = list(training.time)
    solved = list(track.states)
    attitudes = person.attitudes(held_out)
    states: list[State] = []
    kept = []
    for index in range(len(held_out)):
        nearest = int(np.argmin(np.abs(np.asarray(times) - held_out.time[index])))
        seen = held_out[np.array([index])]
        state, points = _next_state(person, problem, solved[nearest], seen, attitudes[index])
        states.append(state)
        kept.append(points)
        times.append(held_out.time[index])
        solved.append(states[-1])
    held_out, attitudes = _trimmed(person, held_out, kept, attitudes)
    targets = held_out.targets
    weights = np.stack([problem.weights(spread) for spread in held_out.spread])
    all_times = np.concatenate([training.time, held_out.time])
    order = np.argsort(all_times, kind="stable")
    fixed = order < len(training)
    time = all_times[order]
    all_states = [*track.states, *states]
    all_weights = np.concatenate([np.zeros((len(training), FACE_COUNT)), weights])[order]
    all_targets = np.concatenate([training.targets, targets])[order]
    all_attitudes = np.concatenate([person.attitudes(training), attitudes])[order]
    start = [all_states[k] for k in order]
    smoothed = smooth_clip(problem, start, all_targets, all_weights, time, fixed, person.options.smooth, all_attitudes)
    smoothed = [smoothed[row] for row in np.flatnonzero(~fixed)]
    usual = usual_openings(problem, track.states, training.points)
    smoothed = with_closed_lids(problem, smoothed, held_out.points, usual)
    hidden = {region: np.concatenate([training.hidden[region], held_out.hidden[region]]) for region in held_out.hidden}
    smoothed = held_expressions(person.model.names, [*track.states, *smoothed], hidden, all_times)[len(training) :]
    raw = eye_angles(person.model, person.identity, person.camera, smoothed, held_out.points)
    raw = held_angles(np.concatenate([track.raw_gaze, raw]), hidden, all_times)[len(training) :]
    gaze = smooth_angles(
        np.concatenate([track.raw_gaze, raw]),
        np.concatenate([track.openness(person.model), _openness(person.model, smoothed)]),
        all_times,
    )[len(training) :]
    return _finish(problem, targets, smoothed, states, raw, gaze)


def _next_state(
    person: Person, problem: FrameProblem, previous: State | None, seen: Observations, attitude: np.ndarray
) -> tuple[State, np.ndarray]:
    """Solve one frame from the previous one, or from PnP where there is none or the warm start fails.

    Returns:
        The state and the landmarks [478,3] of the frame `seen` [1] without outliers.
    """

    original = seen.points[0]
    targets = seen.targets[0]

    def trimmed(start: State | None, iterations: int, previous_weight: float) -> tuple[State, np.ndarray, np.ndarray]:
        def fit(points: np.ndarray) -> State:
            # Most frames have no outliers: their rotation is measured once.
            used, turn = (seen, attitude) if points is original else (replace(seen, points=points[None]), None)
            return person.solve(problem, start, used, iterations, previous_weight, turn)

        return fit_without_outliers(fit, lambda state: frame_error(problem, state, targets), original)

    if previous is not None:
        state, points, distances = trimmed(previous, _NEXT_ITERATIONS, _PREVIOUS_WEIGHT)
        if trimmed_mean(distances) < (_LOST if inliers(distances).all() else 0.5 * _LOST):
            return state, points
    return trimmed(None, _FIRST_ITERATIONS, 0.0)[:2]


def _trimmed(
    person: Person, seen: Observations, kept: list[np.ndarray], attitudes: np.ndarray
) -> tuple[Observations, np.ndarray]:
    """Observations with the landmarks `kept` [T] of [478,3], and their measured rotations [T,3,3]."""
    trimmed = replace(seen, points=np.stack(kept))
    changed = np.flatnonzero(
        [not np.array_equal(*pair, equal_nan=True) for pair in zip(kept, seen.points, strict=True)]
    )
    if len(changed):
        attitudes = attitudes.copy()
        attitudes[changed] = person.attitudes(trimmed[changed])
    return trimmed, attitudes


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
