"""Identity (and, where the clip can determine it, focal length) from a few key frames jointly.

A joint Gauss-Newton over the key frames; pose and expression of each frame are eliminated by Schur complement, so the
normal equations have only the size of the identity (Triggs et al. 2000, "Bundle adjustment", section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatar.geometry.numpy_rotations import log_rotation
from capture.tracker.camera import FocalPrior
from capture.tracker.frame import neutral_state
from capture.tracker.indices import (
    FACE_COUNT,
    LEFT_LIDS,
    LIP_GAP,
    MOUTH_CORNERS,
    RIGHT_LIDS,
    inter_ocular,
)
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.linalg import apply_transpose, gram, solve_halved
from capture.tracker.problem import (
    POSE,
    FitOptions,
    FrameProblem,
    Linearized,
    Pinhole,
    State,
    add_attitude_prior,
    add_expression_prior,
    at_active_limit,
    linearize,
)

KEY_FRAMES = 16
#: Unit of each feature in which key frames are chosen: yaw, pitch (rad), lip gap, mouth width, lid gap.
_FEATURE_UNITS = np.array([0.12, 0.10, 0.12, 0.12, 0.06])


@dataclass(frozen=True)
class IdentityOptions:
    """Strength of the priors of the joint fit; landmark errors are smooth over the face, so not independent."""

    identity_prior: float = 80.0  # a weak prior confuses identity with pitch (15 degrees of error at 8)
    pitch_sigma: float = 0.03  # radians, of pitch measured from the depth of the landmarks
    iterations: int = 14


@dataclass(frozen=True)
class IdentityFit:
    """Result of the joint fit."""

    identity: np.ndarray  # [S]
    focal: float  # pixels
    focal_log_sigma: float
    states: tuple[State, ...]  # of the key frames


@dataclass(frozen=True)
class KeyFrame:
    """Measurements of one key frame."""

    target: np.ndarray  # [468,2] pixels, NaN where a landmark is missing
    weights: np.ndarray  # [468]
    rotation_prior: np.ndarray  # [3,3] rotation of the three-dimensional landmarks, NaN if unknown
    attitude: np.ndarray | None = None  # [3,3] the same in the head model's frame, once known


def choose_key_frames(points: np.ndarray, yaw_pitch: np.ndarray, count: int = KEY_FRAMES) -> np.ndarray:
    """Indices of `count` frames that differ in yaw, pitch, mouth and eyes; the frame nearest to the median first.

    Args:
        points: landmarks [T,478,3] pixels.
        yaw_pitch: [T,2] radians.
        count: number of key frames; all frames when there are fewer.
    """
    iod = inter_ocular(points)

    def gap(pair: tuple[int, int]) -> np.ndarray:
        return np.linalg.norm(points[:, pair[0], :2] - points[:, pair[1], :2], axis=1) / iod

    lids = np.minimum(gap(RIGHT_LIDS), gap(LEFT_LIDS))
    features = np.column_stack([yaw_pitch, gap(LIP_GAP), gap(MOUTH_CORNERS), lids]) / _FEATURE_UNITS
    # A feature whose landmarks are missing is taken for the usual one, but such a frame is no good start.
    missing = ~np.isfinite(features)
    usual = np.array([np.median(each[np.isfinite(each)]) if np.isfinite(each).any() else 0.0 for each in features.T])
    features = np.where(missing, usual, features)
    start = int(np.argmin(np.linalg.norm(features - usual, axis=1) + 1e3 * missing.sum(1)))
    chosen = [start]
    distance = np.linalg.norm(features - features[start], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return np.array(chosen)


def fit_identity(
    model: LandmarkModel,
    frames: Sequence[KeyFrame],
    camera: Pinhole,
    prior: FocalPrior,
    release_focal: bool,
    inter_ocular_px: float,
    fit_options: FitOptions,
    options: IdentityOptions,
) -> IdentityFit:
    """Identity [S] and focal length from key frames (see the module docstring).

    Args:
        model: landmark model of the head.
        frames: the key frames.
        camera: pinhole with the prior's focal.
        prior: prior on the focal length in the same pixels.
        release_focal: whether the focal length is estimated too.
        inter_ocular_px: typical inter-ocular distance of the clip, pixels.
        fit_options: weights of the per-frame terms.
        options: weights of the joint fit.
    """
    identity = np.zeros(model.identity_size)
    problem = FrameProblem.create(model, identity, camera, inter_ocular_px, fit_options)
    states = [neutral_state(problem, frame.target) for frame in frames]
    focal_weight = options.identity_prior / prior.log_sigma**2
    for _ in range(options.iterations):
        blocks = [_eliminate(problem, state, frame, options) for state, frame in zip(states, frames, strict=True)]
        matrix = sum((block.matrix for block in blocks), np.zeros((len(identity) + 1, len(identity) + 1)))
        gradient = sum((block.gradient for block in blocks), np.zeros(len(identity) + 1))
        diagonal = np.arange(len(identity))
        matrix[diagonal, diagonal] += options.identity_prior
        gradient[:-1] += options.identity_prior * identity
        matrix[-1, -1] += focal_weight
        gradient[-1] += focal_weight * np.log(problem.camera.focal / prior.focal)
        log_sigma = _marginal_sigma(matrix, options.identity_prior)
        if not release_focal:
            matrix[-1, -1] += 1e12
        step = -solve_halved(matrix, gradient)
        step[-1] = np.clip(step[-1], -0.15, 0.15)
        identity = identity + step[:-1]
        steps = [block.back_substitute(step) for block in blocks]
        states = [state.after_step(each, model.limits) for state, each in zip(states, steps, strict=True)]
        focal = float(np.clip(problem.camera.focal * np.exp(step[-1]), 0.5 * prior.focal, 2.0 * prior.focal))
        camera = replace(camera, focal=focal)
        problem = FrameProblem.create(model, identity, camera, inter_ocular_px, fit_options)
        if np.abs(step).max() < 1e-3:
            break
    return IdentityFit(identity, problem.camera.focal, log_sigma if release_focal else prior.log_sigma, tuple(states))


@dataclass(frozen=True)
class _Block:
    """Contribution of one frame to the reduced normal equations, and the terms of its back-substitution."""

    matrix: np.ndarray  # [S+1,S+1]
    gradient: np.ndarray  # [S+1]
    local: np.ndarray  # [6+E] step at the shared optimum's linearization point
    coupling: np.ndarray  # [6+E,S+1]

    def back_substitute(self, shared_step: np.ndarray) -> np.ndarray:
        return self.local - self.coupling @ shared_step


def _eliminate(problem: FrameProblem, state: State, frame: KeyFrame, options: IdentityOptions) -> _Block:
    lin = linearize(problem, state, frame.target, frame.weights)
    matrix, gradient = lin.normal()
    add_expression_prior(problem, state.expression, matrix, gradient)
    active = np.flatnonzero(at_active_limit(state.expression, gradient[POSE:], problem.model.limits)) + POSE
    matrix[active, active] += 1e9
    pitch_weight = options.identity_prior / (KEY_FRAMES * options.pitch_sigma**2)
    if np.isfinite(frame.rotation_prior).all():
        gradient[0] += pitch_weight * log_rotation(state.rotation @ frame.rotation_prior.T)[0]
        matrix[0, 0] += pitch_weight
    if frame.attitude is not None:
        add_attitude_prior(problem, state.rotation, frame.attitude, matrix, gradient)
    matrix[:POSE, :POSE] += 1e-6 * np.eye(POSE)
    shared = shared_jacobian(problem, lin)
    cross = gram(lin.jacobian, shared)
    inverse = np.linalg.inv(matrix)
    coupling = np.einsum("ij,jk->ik", inverse, cross)
    local = -inverse @ gradient
    reduced = gram(shared, shared) - np.einsum("ij,ik->jk", cross, coupling)
    return _Block(reduced, apply_transpose(shared, lin.residual) + cross.T @ local, local, coupling)


def shared_jacobian(problem: FrameProblem, lin: Linearized) -> np.ndarray:
    """Jacobian [936,S+1] with respect to identity and the logarithm of the focal."""
    basis = problem.model.identity_basis.reshape(FACE_COUNT, 3, -1)
    shapes = np.matmul(lin.rest_jacobian, basis).reshape(2 * FACE_COUNT, -1)
    depth = -lin.points[:, 2:]
    focal = lin.points[:, :2] * np.array([1.0, -1.0]) / depth * (problem.camera.focal / problem.unit)
    return np.column_stack([shapes, focal.ravel()]) * lin.row_weight[:, None]


def _marginal_sigma(matrix: np.ndarray, variance: float) -> float:
    """Standard deviation of the last unknown, all others free, when a residual's variance is `variance`."""
    unit = np.zeros(len(matrix))
    unit[-1] = 1.0
    return float(np.sqrt(variance * solve_halved(matrix, unit)[-1]))
