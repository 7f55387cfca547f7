"""Camera calibration from the face: a bundle adjustment over its landmarks.

Unknowns: poses of all cameras but the first, pose of the head at each time step, positions of the person's landmarks,
and focal lengths that are not given. The first camera is FACING_CAMERA (gauge); the mean head gives the scale.

The first round uses landmarks that expressions hardly move. Its cameras are used to track identity and expressions;
the next rounds use landmarks of the whole face as posed at each time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, lil_matrix

from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import exp_rotation
from avatar.geometry.rotations import mean_rotation
from capture.multiview.rig import RigCamera, RigProblem, visibility
from capture.multiview.track import TimeSteps, fit_rig_person, track_rig
from capture.tracker.camera import FocalPrior
from capture.tracker.frame import initial_state
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, OVAL, RIGHT_CORNER, STABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import FitOptions, Pinhole, State

#: Maximum number of time steps in the adjustment; minimum number that two cameras must share.
_MAX_STEPS = 32
_MIN_SHARED = 3
#: Rounds with the whole face, and the landmarks they use: none of the oval, which slides.
_ROUNDS = 2
_WHOLE_FACE = np.setdiff1d(np.arange(0, FACE_COUNT, 4), OVAL)
#: Standard deviation (m) of a person's landmarks from the mean head's.
_SHAPE_SIGMA = 0.004


@dataclass(frozen=True)
class CalibrationResult:
    """Cameras estimated from the face."""

    cameras: tuple[RigCamera, ...]
    residual: float  # median distance of the landmarks, fraction of the inter-ocular distance


def solve_cameras(
    model: LandmarkModel, priors: Sequence[FocalPrior], centers: np.ndarray, steps: TimeSteps, names: Sequence[str]
) -> CalibrationResult:
    """Estimate poses and focal lengths of the cameras.

    Args:
        model: landmark model of the head.
        priors: prior on the focal length of each camera, pixels; "given" ones stay fixed.
        centers: principal points [C,2] pixels.
        steps: training time steps; those that several cameras observe determine their relative pose.
        names: of the cameras, for messages.

    Raises:
        HeadsplatError: a camera shares too few time steps with the others.
    """
    pinholes = [Pinhole(prior.focal, *center) for prior, center in zip(priors, centers.tolist(), strict=True)]
    poses = _initial_poses(model, pinholes, steps)
    cameras = _spanning_tree(pinholes, poses, names)
    rows = _choose_steps(poses, len(steps))
    chosen = steps.pick(rows)
    states = []
    for row, observations in zip(rows, chosen.observations, strict=True):
        first = observations[0].camera
        states.append(cameras[first].to_world(poses[row, first]))
    base = np.repeat(model.base[None], len(rows), 0)
    cameras, residual = _adjust(model, cameras, priors, chosen, states, STABLE_LANDMARKS, base)
    for _ in range(_ROUNDS):
        person = fit_rig_person(model, cameras, chosen)
        track = track_rig(person, chosen)
        states = list(track.states)
        base = np.stack([model.posed_landmarks(person.identity, state.expression) for state in states])
        cameras, residual = _adjust(model, cameras, priors, chosen, states, _WHOLE_FACE, base)
    return CalibrationResult(tuple(cameras), residual)


def _adjust(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    priors: Sequence[FocalPrior],
    steps: TimeSteps,
    states: Sequence[State],
    landmarks: np.ndarray,
    base: np.ndarray,
) -> tuple[list[RigCamera], float]:
    """One round, initialized with `cameras` and `states`, for `landmarks` [R] at `base` [M,468,3] in the skull frame.

    Returns:
        The cameras, and the median distance of the landmarks as a fraction of the inter-ocular distance.
    """
    adjustment = _Adjustment.create(model, cameras, priors, steps, states, landmarks, base)
    solution = least_squares(
        adjustment.residuals,
        np.zeros(adjustment.size),
        jac_sparsity=adjustment.sparsity(),
        x_scale=adjustment.scales(),
        loss="soft_l1",
        max_nfev=30,
        xtol=1e-8,
        ftol=1e-8,
    )
    distances = np.linalg.norm(adjustment.residuals(solution.x)[: adjustment.landmark_residuals].reshape(-1, 2), axis=1)
    return adjustment.cameras_at(solution.x), float(np.median(distances)) / 100


def _initial_poses(model: LandmarkModel, pinholes: Sequence[Pinhole], steps: TimeSteps) -> dict[tuple[int, int], State]:
    """Pose of the mean head in the axes of each camera, by (row of `steps`, camera)."""
    identities = [RigCamera(pinhole, np.eye(3), np.zeros(3)) for pinhole in pinholes]
    problem = RigProblem.create(model, np.zeros(model.identity_size), identities, [1.0] * len(identities), FitOptions())
    return {
        (row, observation.camera): initial_state(problem.problems[observation.camera], observation.target)
        for row, observations in enumerate(steps.observations)
        for observation in observations
    }


def _spanning_tree(
    pinholes: Sequence[Pinhole], poses: dict[tuple[int, int], State], names: Sequence[str]
) -> list[RigCamera]:
    """Initial cameras, by a spanning tree: each is placed relative to the one it shares most time steps with."""
    rows = [{row for row, camera in poses if camera == index} for index in range(len(pinholes))]
    cameras = {0: RigCamera(pinholes[0], np.eye(3), np.zeros(3))}
    while len(cameras) < len(pinholes):
        pairs = [(len(rows[a] & rows[b]), a, b) for a in cameras for b in range(len(pinholes)) if b not in cameras]
        common, known, new = max(pairs)
        if common < _MIN_SHARED:
            raise HeadsplatError(
                f"--solve-cameras: the camera {names[new]} and another one both see the face at {common} time steps, "
                f"at least {_MIN_SHARED} are needed; turn it to the face or leave it out"
            )
        shared = sorted(rows[known] & rows[new])
        rotations = [poses[row, new].rotation @ poses[row, known].rotation.T for row in shared]
        rotation = mean_rotation(torch.from_numpy(np.stack(rotations))).numpy()
        shift = np.median([poses[r, new].translation - rotation @ poses[r, known].translation for r in shared], axis=0)
        base = cameras[known]
        cameras[new] = RigCamera(pinholes[new], rotation @ base.rotation, rotation @ base.translation + shift)
    return [cameras[index] for index in range(len(pinholes))]


def _choose_steps(poses: dict[tuple[int, int], State], count: int) -> list[int]:
    """Rows of time steps that several cameras observe, spread evenly."""
    observed = np.bincount([row for row, _ in poses], minlength=count)
    several = np.flatnonzero(observed > 1) if (observed > 1).any() else np.flatnonzero(observed)
    return [
        int(row)
        for row in several[np.unique(np.linspace(0, len(several) - 1, min(_MAX_STEPS, len(several))).astype(int))]
    ]


@dataclass(frozen=True)
class _Adjustment:
    """The unknowns, in order: cameras 1.. (6 each), logarithms of focals, head poses (6 each), landmarks (3 each)."""

    base: np.ndarray  # [M,R,3] meters, skull frame, of M time steps
    cameras: tuple[RigCamera, ...]  # initial
    states: tuple[State, ...]  # initial, [M]
    log_sigmas: np.ndarray  # [C], 0 where the focal is given
    camera: np.ndarray  # [N] of each observation
    time_step: np.ndarray  # [N] 0..M-1
    targets: np.ndarray  # [N,R,2] pixels
    weights: np.ndarray  # [N,R] square roots, per pixel: a residual of 1 is 1 % of the inter-ocular distance

    @staticmethod
    def create(
        model: LandmarkModel,
        cameras: Sequence[RigCamera],
        priors: Sequence[FocalPrior],
        steps: TimeSteps,
        states: Sequence[State],
        landmarks: np.ndarray,
        base: np.ndarray,
    ) -> _Adjustment:
        """The problem of observations, their initial cameras and states.

        Args:
            model: of the landmarks.
            cameras: [C] initial cameras.
            priors: [C] of the focal lengths.
            steps: [M] observations.
            states: [M] initial states.
            landmarks: [R] indices of the landmarks that count.
            base: [M,468,3] landmarks in the skull frame, meters.
        """
        observed = [
            (row, observation) for row, observations in enumerate(steps.observations) for observation in observations
        ]
        eyes = float(np.linalg.norm(model.base[RIGHT_CORNER] - model.base[LEFT_CORNER]))
        units = []
        for row, observation in observed:
            distance = float(np.linalg.norm(states[row].translation - cameras[observation.camera].position))
            units.append(cameras[observation.camera].pinhole.focal * eyes / max(distance, 1e-3) / 100)
        facing = [
            visibility(base[row][landmarks], cameras[observation.camera].to_camera(states[row]))
            for row, observation in observed
        ]
        spread = np.stack([observation.spread[landmarks] for _, observation in observed]) / np.array(units)[:, None]
        return _Adjustment(
            base[:, landmarks],
            tuple(cameras),
            tuple(states),
            np.array([0.0 if prior.origin == "given" else prior.log_sigma for prior in priors]),
            np.array([observation.camera for _, observation in observed]),
            np.array([row for row, _ in observed]),
            np.stack([observation.points[landmarks, :2] for _, observation in observed]),
            np.sqrt(np.stack(facing) / (1 + spread**2)) / np.array(units)[:, None],
        )

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        """Number of unknowns of cameras, focal lengths, head poses and landmarks."""
        return 6 * (len(self.cameras) - 1), len(self.cameras), 6 * len(self.states), self.base[0].size

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return sum(self._counts)

    @property
    def landmark_residuals(self) -> int:
        """Number of residuals of landmarks; those of the priors follow."""
        return self.targets.size

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        ends = np.cumsum(self._counts)
        cameras, focals, heads, points = np.split(x, ends[:-1])
        all_cameras = np.concatenate([np.zeros((1, 6)), cameras.reshape(-1, 6)])
        return all_cameras, focals, heads.reshape(-1, 6), points.reshape(-1, 3)

    def scales(self) -> np.ndarray:
        """Typical size of each unknown."""
        cameras, focals, heads, points = self._counts
        step = [0.05, 0.05, 0.05, 0.02, 0.02, 0.02]
        sizes = [
            np.resize(step, cameras),
            np.full(focals, 0.1),
            np.resize(step, heads),
            np.full(points, _SHAPE_SIGMA),
        ]
        return np.concatenate(sizes)

    def cameras_at(self, x: np.ndarray) -> list[RigCamera]:
        """The cameras at the unknowns `x`."""
        steps, focals, _, _ = self._split(x)
        return [
            RigCamera(
                replace(
                    camera.pinhole, focal=camera.pinhole.focal * float(np.exp(focal)) if sigma else camera.pinhole.focal
                ),
                exp_rotation(step[:3]) @ camera.rotation,
                camera.translation + step[3:],
            )
            for camera, step, focal, sigma in zip(self.cameras, steps, focals, self.log_sigmas, strict=True)
        ]

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Residuals of the landmarks [2 R N], then of the priors on landmarks and focal lengths."""
        _, focals, heads, points = self._split(x)
        cameras = self.cameras_at(x)
        rotations = exp_rotation(heads[:, :3]) @ np.stack([state.rotation for state in self.states])
        translations = np.stack([state.translation for state in self.states]) + heads[:, 3:]
        world = (self.base + points) @ np.swapaxes(rotations, 1, 2) + translations[:, None]
        views = np.stack([camera.rotation for camera in cameras])[self.camera]
        local = world[self.time_step] @ np.swapaxes(views, 1, 2)
        local = local + np.stack([camera.translation for camera in cameras])[self.camera][:, None]
        depth = np.maximum(-local[..., 2], 1e-3)
        pinholes = np.array([[c.pinhole.focal, c.pinhole.cx, c.pinhole.cy] for c in cameras])[self.camera][:, None]
        x_pixels = pinholes[..., 1] + pinholes[..., 0] * local[..., 0] / depth
        y_pixels = pinholes[..., 2] - pinholes[..., 0] * local[..., 1] / depth
        error = (np.stack([x_pixels, y_pixels], -1) - self.targets) * self.weights[..., None]
        prior = np.where(self.log_sigmas > 0, focals / np.maximum(self.log_sigmas, 1e-9), focals)
        return np.concatenate([error.ravel(), points.ravel() / _SHAPE_SIGMA, prior])

    def sparsity(self) -> csr_matrix:
        """Which residual depends on which unknown."""
        cameras, focals, heads, points = self._counts
        count = self.base.shape[1]
        pattern = lil_matrix((self.landmark_residuals + points + focals, self.size), dtype=np.int8)
        for index, (camera, step) in enumerate(zip(self.camera, self.time_step, strict=True)):
            rows = slice(2 * count * index, 2 * count * (index + 1))
            if camera:
                pattern[rows, 6 * (camera - 1) : 6 * camera] = 1
            pattern[rows, cameras + camera] = 1
            start = cameras + focals + 6 * step
            pattern[rows, start : start + 6] = 1
            for point in range(count):
                start = cameras + focals + heads + 3 * point
                row = 2 * (count * index + point)
                pattern[row : row + 2, start : start + 3] = 1
        pattern[
            np.arange(self.landmark_residuals, self.landmark_residuals + points),
            np.arange(self.size - points, self.size),
        ] = 1
        pattern[np.arange(self.landmark_residuals + points, pattern.shape[0]), np.arange(cameras, cameras + focals)] = 1
        return pattern.tocsr()
