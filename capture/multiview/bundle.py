"""Cameras from the face alone: a bundle adjustment over its landmarks.

Unknowns: every camera's place but the first's, the head's pose at each moment, where this person's points lie, and
focal lengths that nobody stated. The first camera is FACING_CAMERA (gauge); the mean head gives the scale.

The first round takes points that expressions hardly move; then the cameras found serve to track identity and
expressions, and the next rounds take points all over the face as they were at each moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix, lil_matrix

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import mean_rotation
from capture.multiview.rig import RigCamera, RigProblem, visibility
from capture.multiview.track import Moments, fit_rig_person, track_rig
from capture.tracker.camera import FocalPrior
from capture.tracker.frame import initial_state
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, OVAL, RIGHT_CORNER, RIGID
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import FitOptions, Pinhole, State
from capture.tracker.rotation import exp_rotation

#: Moments the adjustment sees at most; moments a camera must see for its place to count as found.
_MOST, _LEAST = 32, 3
#: Rounds over the whole face, and its landmarks that these look at: no point of the oval, which slides.
_ROUNDS = 2
_SPREAD_OUT = np.setdiff1d(np.arange(0, FACE_COUNT, 4), OVAL)
#: How far (m) a person's points lie from the mean head's.
_SHAPE_SIGMA = 0.004


@dataclass(frozen=True)
class Solved:
    """Cameras found from the face."""

    cameras: tuple[RigCamera, ...]
    residual: float  # median distance of the points, fraction of the inter-ocular distance


def solve_cameras(
    model: LandmarkModel, priors: Sequence[FocalPrior], centers: np.ndarray, moments: Moments, names: Sequence[str]
) -> Solved:
    """Where the cameras stood.

    Args:
        model: landmark model of the head.
        priors: belief about each camera's focal length, pixels; one that is "given" stays.
        centers: principal points [C,2] pixels.
        moments: training moments; sightings of several cameras at one moment tie these together.
        names: of the cameras, for messages.

    Raises:
        HeadsplatError: a camera does not see the face together with the others often enough.
    """
    pinholes = [Pinhole(prior.focal, *center) for prior, center in zip(priors, centers.tolist(), strict=True)]
    poses = _poses(model, pinholes, moments)
    cameras = _chain(pinholes, poses, names)
    rows = _choose(poses, len(moments))
    chosen = moments.pick(rows)
    states = []
    for row, sightings in zip(rows, chosen.sightings, strict=True):
        first = sightings[0].camera
        states.append(cameras[first].unseen(poses[row, first]))
    base = np.repeat(model.base[None], len(rows), 0)
    cameras, residual = _adjust(model, cameras, priors, chosen, states, RIGID, base)
    for _ in range(_ROUNDS):
        person = fit_rig_person(model, cameras, chosen)
        track = track_rig(person, chosen)
        states = list(track.states)
        base = np.stack([model.skull(person.identity, state.expression) for state in states])
        cameras, residual = _adjust(model, cameras, priors, chosen, states, _SPREAD_OUT, base)
    return Solved(tuple(cameras), residual)


def _adjust(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    priors: Sequence[FocalPrior],
    moments: Moments,
    states: Sequence[State],
    landmarks: np.ndarray,
    base: np.ndarray,
) -> tuple[list[RigCamera], float]:
    """One round from `cameras` and `states`, with `landmarks` [R] at `base` [M,468,3] in the skull's frame.

    Returns:
        The cameras, and the median distance of the points as a fraction of the inter-ocular distance.
    """
    adjustment = _Adjustment.create(model, cameras, priors, moments, states, landmarks, base)
    found = least_squares(
        adjustment.residuals,
        np.zeros(adjustment.size),
        jac_sparsity=adjustment.sparsity(),
        x_scale=adjustment.scales(),
        loss="soft_l1",
        max_nfev=30,
        xtol=1e-8,
        ftol=1e-8,
    )
    distances = np.linalg.norm(adjustment.residuals(found.x)[: adjustment.observed].reshape(-1, 2), axis=1)
    return adjustment.cameras_at(found.x), float(np.median(distances)) / 100


def _poses(model: LandmarkModel, pinholes: Sequence[Pinhole], moments: Moments) -> dict[tuple[int, int], State]:
    """Pose of the mean head in each camera's axes, by (moment, camera)."""
    ready = [RigCamera(pinhole, np.eye(3), np.zeros(3)) for pinhole in pinholes]
    problem = RigProblem.create(model, np.zeros(model.identity_size), ready, [1.0] * len(ready), FitOptions())
    return {
        (row, sighting.camera): initial_state(problem.problems[sighting.camera], sighting.target)
        for row, sightings in enumerate(moments.sightings)
        for sighting in sightings
    }


def _chain(pinholes: Sequence[Pinhole], poses: dict[tuple[int, int], State], names: Sequence[str]) -> list[RigCamera]:
    """First guess of all cameras: each hangs on one already placed that saw the face at the same moments."""
    rows = [{row for row, camera in poses if camera == index} for index in range(len(pinholes))]
    placed = {0: RigCamera(pinholes[0], np.eye(3), np.zeros(3))}
    while len(placed) < len(pinholes):
        pairs = [(len(rows[a] & rows[b]), a, b) for a in placed for b in range(len(pinholes)) if b not in placed]
        common, known, new = max(pairs)
        if common < _LEAST:
            raise HeadsplatError(
                f"--solve-cameras: the camera {names[new]} and another one see the face together at {common} moments, "
                f"at least {_LEAST} are needed; turn it to the face or leave it out"
            )
        shared = sorted(rows[known] & rows[new])
        turns = [poses[row, new].rotation @ poses[row, known].rotation.T for row in shared]
        turn = mean_rotation(torch.from_numpy(np.stack(turns))).numpy()
        shift = np.median([poses[r, new].translation - turn @ poses[r, known].translation for r in shared], axis=0)
        base = placed[known]
        placed[new] = RigCamera(pinholes[new], turn @ base.rotation, turn @ base.translation + shift)
    return [placed[index] for index in range(len(pinholes))]


def _choose(poses: dict[tuple[int, int], State], count: int) -> list[int]:
    """Moments that tie cameras together, spread evenly."""
    seen = np.bincount([row for row, _ in poses], minlength=count)
    several = np.flatnonzero(seen > 1) if (seen > 1).any() else np.flatnonzero(seen)
    return [
        int(row) for row in several[np.unique(np.linspace(0, len(several) - 1, min(_MOST, len(several))).astype(int))]
    ]


@dataclass(frozen=True)
class _Adjustment:
    """The unknowns, in this order: cameras 1.. (6 each), logarithms of focals, moments (6 each), points (3 each)."""

    base: np.ndarray  # [M,R,3] meters, skull frame
    cameras: tuple[RigCamera, ...]  # first guess
    states: tuple[State, ...]  # first guess, of the chosen moments
    log_sigmas: np.ndarray  # [C], 0 where the focal is given
    camera: np.ndarray  # [N] of each sighting
    moment: np.ndarray  # [N]
    targets: np.ndarray  # [N,R,2] pixels
    weights: np.ndarray  # [N,R] square roots, over pixels: a residual of 1 is 1 % of the inter-ocular distance

    @staticmethod
    def create(
        model: LandmarkModel,
        cameras: Sequence[RigCamera],
        priors: Sequence[FocalPrior],
        moments: Moments,
        states: Sequence[State],
        landmarks: np.ndarray,
        base: np.ndarray,
    ) -> _Adjustment:
        seen = [(place, sighting) for place, sightings in enumerate(moments.sightings) for sighting in sightings]
        eyes = float(np.linalg.norm(model.base[RIGHT_CORNER] - model.base[LEFT_CORNER]))
        units = []
        for place, sighting in seen:
            distance = float(np.linalg.norm(states[place].translation - cameras[sighting.camera].position))
            units.append(cameras[sighting.camera].pinhole.focal * eyes / max(distance, 1e-3) / 100)
        facing = [
            visibility(base[place][landmarks], cameras[sighting.camera].seen(states[place])) for place, sighting in seen
        ]
        spread = np.stack([sighting.spread[landmarks] for _, sighting in seen]) / np.array(units)[:, None]
        return _Adjustment(
            base[:, landmarks],
            tuple(cameras),
            tuple(states),
            np.array([0.0 if prior.origin == "given" else prior.log_sigma for prior in priors]),
            np.array([sighting.camera for _, sighting in seen]),
            np.array([place for place, _ in seen]),
            np.stack([sighting.points[landmarks, :2] for _, sighting in seen]),
            np.sqrt(np.stack(facing) / (1 + spread**2)) / np.array(units)[:, None],
        )

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        """Unknowns of cameras, focal lengths, moments and points."""
        return 6 * (len(self.cameras) - 1), len(self.cameras), 6 * len(self.states), self.base[0].size

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return sum(self._counts)

    @property
    def observed(self) -> int:
        """Number of residuals that come from landmarks; the priors' follow."""
        return self.targets.size

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        ends = np.cumsum(self._counts)
        cameras, focals, moments, points = np.split(x, ends[:-1])
        rest = np.concatenate([np.zeros((1, 6)), cameras.reshape(-1, 6)])
        return rest, focals, moments.reshape(-1, 6), points.reshape(-1, 3)

    def scales(self) -> np.ndarray:
        """Typical size of each unknown."""
        cameras, focals, moments, points = self._counts
        step = [0.05, 0.05, 0.05, 0.02, 0.02, 0.02]
        sizes = [
            np.resize(step, cameras),
            np.full(focals, 0.1),
            np.resize(step, moments),
            np.full(points, _SHAPE_SIGMA),
        ]
        return np.concatenate(sizes)

    def cameras_at(self, x: np.ndarray) -> list[RigCamera]:
        """The cameras for the unknowns `x`."""
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
        """Landmarks [2 R N], then priors of the points and of the focal lengths."""
        _, focals, moments, points = self._split(x)
        cameras = self.cameras_at(x)
        turns = exp_rotation(moments[:, :3]) @ np.stack([state.rotation for state in self.states])
        places = np.stack([state.translation for state in self.states]) + moments[:, 3:]
        world = (self.base + points) @ np.swapaxes(turns, 1, 2) + places[:, None]
        own = np.stack([camera.rotation for camera in cameras])[self.camera]
        seen = world[self.moment] @ np.swapaxes(own, 1, 2)
        seen = seen + np.stack([camera.translation for camera in cameras])[self.camera][:, None]
        depth = np.maximum(-seen[..., 2], 1e-3)
        pinholes = np.array([[c.pinhole.focal, c.pinhole.cx, c.pinhole.cy] for c in cameras])[self.camera][:, None]
        x_pixels = pinholes[..., 1] + pinholes[..., 0] * seen[..., 0] / depth
        y_pixels = pinholes[..., 2] - pinholes[..., 0] * seen[..., 1] / depth
        off = (np.stack([x_pixels, y_pixels], -1) - self.targets) * self.weights[..., None]
        believed = np.where(self.log_sigmas > 0, focals / np.maximum(self.log_sigmas, 1e-9), focals)
        return np.concatenate([off.ravel(), points.ravel() / _SHAPE_SIGMA, believed])

    def sparsity(self) -> csr_matrix:
        """Which residual depends on which unknown."""
        cameras, focals, moments, points = self._counts
        rigid = self.base.shape[1]
        pattern = lil_matrix((self.observed + points + focals, self.size), dtype=np.int8)
        for index, (camera, moment) in enumerate(zip(self.camera, self.moment, strict=True)):
            rows = slice(2 * rigid * index, 2 * rigid * (index + 1))
            if camera:
                pattern[rows, 6 * (camera - 1) : 6 * camera] = 1
            pattern[rows, cameras + camera] = 1
            start = cameras + focals + 6 * moment
            pattern[rows, start : start + 6] = 1
            for point in range(rigid):
                start = cameras + focals + moments + 3 * point
                row = 2 * (rigid * index + point)
                pattern[row : row + 2, start : start + 3] = 1
        pattern[np.arange(self.observed, self.observed + points), np.arange(self.size - points, self.size)] = 1
        pattern[np.arange(self.observed + points, pattern.shape[0]), np.arange(cameras, cameras + focals)] = 1
        return pattern.tocsr()
