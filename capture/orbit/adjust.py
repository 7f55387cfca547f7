"""Bundle adjustment: poses of a camera, positions of points and the focal length from where the points are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from avatar.geometry.numpy_rotations import cross_matrix, exp_rotation
from capture.orbit.points import Tracks

_DAMPING = 1e-3
_DAMPING_RANGE = (1e-6, 1e3)
#: Steps that place a camera, and the errors, in standard deviations, at which a point counts for a quarter in the first
#: and in the last one.
_PLACING = 14
_WIDE = (40.0, 2.5)
_NEAREST = 0.02  # meters, depth below which a point is not seen


@dataclass(frozen=True)
class Scene:
    """A camera at n frames, and P points; axes of the camera as OpenCV's."""

    rotation: np.ndarray  # [n,3,3] world -> camera
    translation: np.ndarray  # [n,3]
    points: np.ndarray  # [P,3] world
    log_focal: float  # of pixels
    center: np.ndarray  # [2] principal point, pixels

    def local(self, tracks: Tracks) -> np.ndarray:
        """Points [O,3] of the observations in the axes of their cameras."""
        turned = np.einsum("oij,oj->oi", self.rotation[tracks.frame], self.points[tracks.point])
        return turned + self.translation[tracks.frame]

    def errors(self, tracks: Tracks) -> np.ndarray:
        """Projected minus observed [O,2], pixels; large where a point is not before the camera."""
        local = self.local(tracks)
        depth = np.maximum(local[:, 2:], _NEAREST)
        error = np.exp(self.log_focal) * local[:, :2] / depth + self.center - tracks.pixel
        error[local[:, 2] < _NEAREST] = 1e4
        return error


@dataclass(frozen=True)
class Weights:
    """What observations, known points and the focal length weigh."""

    sigma: np.ndarray  # [O] pixels; errors count linearly beyond this
    known: np.ndarray  # [k] int, points whose position is known about
    position: np.ndarray  # [k,3]
    position_sigma: float  # meters
    log_focal: float
    log_focal_sigma: float


def adjust(
    scene: Scene, tracks: Tracks, weights: Weights, free: np.ndarray, iterations: int, tolerance: float = 1e-4
) -> Scene:
    """The scene after Levenberg-Marquardt with Huber weights.

    Args:
        scene: the initial one.
        tracks: observations, all in frames with a pose.
        weights: of the terms.
        free: [n] bool, frames whose pose may change.
        iterations: at most.
        tolerance: relative decrease of the cost at which it ends.
    """
    damping = _DAMPING
    problem = _Problem(tracks, weights, np.flatnonzero(free), len(free))
    cost, system = problem.linearized(scene)
    for _ in range(iterations):
        trial = problem.stepped(scene, system, damping)
        now = problem.cost(trial)
        if now < cost:
            done = cost - now < tolerance * cost
            scene, cost = trial, now
            if done:
                break
            damping = max(damping * 0.2, _DAMPING_RANGE[0])
            cost, system = problem.linearized(scene)
        else:
            damping *= 8
            if damping > _DAMPING_RANGE[1]:
                break
    return scene


def place_camera(scene: Scene, seen: Tracks, sigma: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3,3] and translation [3] of the camera in one frame by points with positions.

    Args:
        scene: with an initial pose of the frame.
        seen: observations of the frame.
        sigma: [O] pixels, their standard deviations.
        frame: the frame.
    """
    points = scene.points[seen.point]
    rotation, translation = scene.rotation[frame], scene.translation[frame]
    focal = np.exp(scene.log_focal)
    for step, wide in enumerate(np.geomspace(*_WIDE, _PLACING)):
        local = points @ rotation.T + translation
        depth = np.maximum(local[:, 2:], _NEAREST)
        error = focal * local[:, :2] / depth + scene.center - seen.pixel
        scaled = np.linalg.norm(error, axis=1) / sigma
        # The median limits what the first steps see as outliers; Geman and McClure's weights.
        scale = max(wide, float(np.median(scaled)) if step < _PLACING // 2 else 0.0)
        weight = (1 / (1 + (scaled / scale) ** 2)) ** 2 / sigma**2
        by_camera = _by_camera(local, depth[:, 0], np.full(len(local), focal))
        matrix = np.einsum("o,oki,okj->ij", weight, by_camera, by_camera)
        slope = np.einsum("o,oki,ok->i", weight, by_camera, error)
        motion = -np.linalg.solve(matrix + 1e-9 * np.eye(6), slope)
        turn = exp_rotation(motion[:3])
        rotation, translation = turn @ rotation, turn @ translation + motion[3:]
    return _orthonormal(rotation), translation


def _orthonormal(rotation: np.ndarray) -> np.ndarray:
    """The rotations nearest to [...,3,3]: errors of rounding would double from frame to frame."""
    left, _, right = np.linalg.svd(rotation)
    return np.asarray(left @ right)


def _by_local(local: np.ndarray, depth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Derivatives [O,2,3] of projections, times `scale` [O] over the focal length, by points [O,3] of the camera."""
    result = np.zeros((len(local), 2, 3))
    result[:, 0, 0] = result[:, 1, 1] = scale / depth
    result[:, :, 2] = -(scale / depth**2)[:, None] * local[:, :2]
    return result


def _by_camera(local: np.ndarray, depth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The same by rotations about the camera and its translation, [O,2,6]."""
    by_local = _by_local(local, depth, scale)
    return np.concatenate([by_local @ -cross_matrix(local), by_local], 2)


@dataclass(frozen=True)
class _System:
    """Normal equations in blocks: frames and focal length, points, and between them."""

    shared: np.ndarray  # [D,D], D = 6 free frames + 1
    shared_gradient: np.ndarray  # [D]
    points: np.ndarray  # [P,3,3]
    points_gradient: np.ndarray  # [P,3]
    between: sparse.csr_matrix  # [D,3 P]


class _Problem:
    def __init__(self, tracks: Tracks, weights: Weights, free: np.ndarray, frames: int) -> None:
        self._tracks = tracks
        self._weights = weights
        self._free = free
        self._row = np.full(frames, -1)
        self._row[free] = np.arange(len(free))
        self._size = 6 * len(free) + 1

    def _prior(self, scene: Scene) -> tuple[np.ndarray, float]:
        weights = self._weights
        moved = (scene.points[weights.known] - weights.position) / weights.position_sigma
        return moved, (scene.log_focal - weights.log_focal) / weights.log_focal_sigma

    def cost(self, scene: Scene) -> float:
        """Half of the weighted sum of squares, linear for outliers."""
        size = np.linalg.norm(scene.errors(self._tracks), axis=1) / self._weights.sigma
        moved, focal = self._prior(scene)
        robust = np.where(size < 1, 0.5 * size**2, size - 0.5).sum()
        return float(robust + 0.5 * (moved**2).sum() + 0.5 * focal**2)

    def linearized(self, scene: Scene) -> tuple[float, _System]:
        """Cost and normal equations at `scene`."""
        tracks, weights = self._tracks, self._weights
        local = scene.local(tracks)
        depth = np.maximum(local[:, 2], _NEAREST)
        error = scene.errors(tracks) / weights.sigma[:, None]
        size = np.linalg.norm(error, axis=1)
        root = 1 / np.sqrt(np.maximum(size, 1.0))  # Huber
        root[local[:, 2] < _NEAREST] = 0.0
        focal = np.exp(scene.log_focal)
        scale = root / weights.sigma * focal
        by_local = _by_local(local, depth, scale)
        by_camera = _by_camera(local, depth, scale)
        by_point = by_local @ scene.rotation[tracks.frame]
        by_focal = (scale / depth)[:, None] * local[:, :2]
        residual = error * root[:, None]

        rows = self._row[tracks.frame]
        moving = rows >= 0
        size_shared = self._size
        shared = np.zeros((size_shared, size_shared))
        gradient = np.zeros(size_shared)
        blocks = np.zeros((len(self._free), 6, 6))
        slopes = np.zeros((len(self._free), 6))
        couplings = np.zeros((len(self._free), 6))
        np.add.at(blocks, rows[moving], np.einsum("oki,okj->oij", by_camera[moving], by_camera[moving]))
        np.add.at(slopes, rows[moving], np.einsum("oki,ok->oi", by_camera[moving], residual[moving]))
        np.add.at(couplings, rows[moving], np.einsum("oki,ok->oi", by_camera[moving], by_focal[moving]))
        for index in range(len(self._free)):
            part = slice(6 * index, 6 * index + 6)
            shared[part, part] = blocks[index]
        shared[-1, :-1] = shared[:-1, -1] = couplings.ravel()
        gradient[:-1] = slopes.ravel()
        moved, stretched = self._prior(scene)
        shared[-1, -1] = (by_focal**2).sum() + 1 / weights.log_focal_sigma**2
        gradient[-1] = (by_focal * residual).sum() + stretched / weights.log_focal_sigma

        count = len(scene.points)
        points = np.zeros((count, 3, 3))
        points_gradient = np.zeros((count, 3))
        np.add.at(points, tracks.point, np.einsum("oki,okj->oij", by_point, by_point))
        np.add.at(points_gradient, tracks.point, np.einsum("oki,ok->oi", by_point, residual))
        points[weights.known] += np.eye(3) / weights.position_sigma**2
        points_gradient[weights.known] += moved / weights.position_sigma

        mixed = np.einsum("oki,okj->oij", by_camera[moving], by_point[moving])
        first = (6 * rows[moving])[:, None, None] + np.arange(6)[:, None]
        second = (3 * tracks.point[moving])[:, None, None] + np.arange(3)
        last = np.einsum("ok,okj->oj", by_focal, by_point)
        indices = (
            np.concatenate([np.broadcast_to(first, mixed.shape).ravel(), np.full(last.size, size_shared - 1)]),
            np.concatenate(
                [
                    np.broadcast_to(second, mixed.shape).ravel(),
                    (3 * tracks.point[:, None] + np.arange(3)).ravel(),
                ]
            ),
        )
        between = sparse.csr_matrix(
            (np.concatenate([mixed.ravel(), last.ravel()]), indices), shape=(size_shared, 3 * count)
        )
        return self.cost(scene), _System(shared, gradient, points, points_gradient, between)

    def stepped(self, scene: Scene, system: _System, damping: float) -> Scene:
        """The scene after a damped Gauss-Newton step; points are eliminated (Schur complement)."""
        diagonal = np.einsum("pii->pi", system.points)
        damped = system.points + np.einsum("pi,ij->pij", damping * diagonal + 1e-6, np.eye(3))
        inverse = np.linalg.inv(damped)
        count = len(scene.points)
        block = sparse.bsr_matrix((inverse, np.arange(count), np.arange(count + 1)), shape=(3 * count, 3 * count))
        reducing = system.between @ block
        shared = system.shared + np.diag(damping * np.diag(system.shared) + 1e-9)
        shared = shared - (reducing @ system.between.T).toarray()
        step = -np.linalg.solve(shared, system.shared_gradient - reducing @ system.points_gradient.ravel())
        coupled = (system.between.T @ step).reshape(-1, 3)
        shift = -np.einsum("pij,pj->pi", inverse, system.points_gradient + coupled)
        motion = step[:-1].reshape(-1, 6)
        rotation, translation = scene.rotation.copy(), scene.translation.copy()
        turn = exp_rotation(motion[:, :3])
        rotation[self._free] = _orthonormal(turn @ rotation[self._free])
        translation[self._free] = (turn @ translation[self._free][..., None])[..., 0] + motion[:, 3:]
        return replace(
            scene,
            rotation=rotation,
            translation=translation,
            points=scene.points + shift,
            log_focal=scene.log_focal + float(step[-1]),
        )
