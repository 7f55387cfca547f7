"""Photos of one person solved together: identity, and a pose, an expression and a focal length for each.

The landmarks of a network lie a few percent of the face beside those of the head model, differently in each view: alone
they place a head 2 to 5 degrees wrong and do not determine a focal length. What two photos show of the same skin
(`Match`) has no such error. Landmarks remain with a small weight: they place the surface of the head model on the face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from capture.tracker.frame import initial_state
from capture.tracker.identity import shared_jacobian
from capture.tracker.indices import inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import (
    POSE,
    FitOptions,
    FrameProblem,
    Pinhole,
    State,
    add_expression_prior,
    at_active_limit,
    linearize,
    projection_jacobian,
)

#: Largest change of the logarithm of a focal length in one step.
_FOCAL_STEP = 0.15
_POSE_FLOOR = 1e-6
_AT_LIMIT = 1e9
_CONVERGED = 2e-3


@dataclass(frozen=True)
class Surface:
    """Points of the face, in the skull frame: `base + identity_basis @ s + expression_basis @ e`, meters."""

    base: np.ndarray  # [N,3]
    identity_basis: np.ndarray  # [N,3,S]
    expression_basis: np.ndarray  # [N,3,E] of the tracked expressions

    def points(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[N,3] for `identity` [S] and `expression` [E]."""
        return self.base + self.identity_basis @ identity + self.expression_basis @ expression

    def pick(self, rows: np.ndarray) -> Surface:
        """Its points `rows` [n]."""
        return Surface(self.base[rows], self.identity_basis[rows], self.expression_basis[rows])


@dataclass(frozen=True)
class Match:
    """Where two photos show the same skin."""

    photos: tuple[int, int]
    points: np.ndarray  # [N] points of the surface near it
    pixels: np.ndarray  # [N,2,2] in the first and in the second photo
    weights: np.ndarray  # [N] 0..1


@dataclass(frozen=True)
class PhotoOptions:
    """Weights of the joint fit; residual unit is 1 % of the inter-ocular distance."""

    fit: FitOptions = field(default_factory=FitOptions)
    identity_prior: float = 2.0
    landmarks: float = 0.006  # weight
    match_sigma: float = 0.5  # of a match in either photo
    surface_sigma: float = 0.003  # meters, of skin from the surface of the head model
    mobility: float = 0.1  # of skin that expressions move, in either photo, relative to the root sum square of these
    match_huber: float = 3.0  # standard deviations beyond which the loss is linear
    typical: float = 0.3  # median residual of exact matches, standard deviations
    rounds: int = 3  # of matches; each starts from the fit of the one before
    iterations: int = 25


@dataclass(frozen=True)
class PhotoFit:
    """Result of the joint fit of K photos."""

    identity: np.ndarray  # [S]
    cameras: tuple[Pinhole, ...]  # [K]
    focal_log_sigmas: np.ndarray  # [K]
    states: tuple[State, ...]  # [K]
    matches: tuple[Match, ...] = ()
    match_error: float = 0.0  # median distance of matches from the surface, percent of the inter-ocular distance


def fit_photos(
    model: LandmarkModel,
    surface: Surface,
    points: np.ndarray,
    spread: np.ndarray,
    cameras: Sequence[Pinhole],
    focal_log_sigmas: np.ndarray,
    find_matches: Callable[[PhotoFit], Sequence[Match]],
    options: PhotoOptions | None = None,
) -> PhotoFit:
    """Solve K photos of one person.

    Args:
        model: landmark model of the head.
        surface: of the same head.
        points: landmarks [K,478,3] pixels; NaN where one is missing.
        spread: [K,478] their standard deviations over jittered passes.
        cameras: with the prior's focal lengths.
        focal_log_sigmas: of the priors [K].
        find_matches: the matches between photos, given a fit.
        options: weights.

    Returns:
        The fit; without matches where there are none, and then no better than the landmarks.
    """
    options = options or PhotoOptions()
    adjustment = _Adjustment(model, surface, points, spread, tuple(cameras), focal_log_sigmas, options)
    fit = adjustment.solve(adjustment.start(), ())
    for _ in range(options.rounds):
        matches = tuple(find_matches(fit))
        if not matches:
            return fit
        fit = adjustment.solve(fit, matches)
    return fit


@dataclass(frozen=True)
class _Adjustment:
    """The joint problem; arguments as for `fit_photos`.

    Unknowns in this order: identity [S], and for each photo pose [6], expression [E], logarithm of the focal length.
    """

    model: LandmarkModel
    surface: Surface
    points: np.ndarray
    spread: np.ndarray
    priors: tuple[Pinhole, ...]
    focal_log_sigmas: np.ndarray
    options: PhotoOptions

    def start(self) -> PhotoFit:
        """Neutral faces of the mean identity."""
        identity = np.zeros(self.model.identity_size)
        problems = self._problems(identity, self.priors)
        states = [initial_state(*pair) for pair in zip(problems, self._targets, strict=True)]
        return PhotoFit(identity, self.priors, self.focal_log_sigmas, tuple(states))

    def solve(self, fit: PhotoFit, matches: tuple[Match, ...]) -> PhotoFit:
        """Gauss-Newton steps from `fit`."""
        for _ in range(self.options.iterations):
            matrix, gradient = self._normal(fit, matches)
            step = -np.linalg.solve(matrix, gradient)
            fit = self._after(fit, step)
            if np.abs(step).max() < _CONVERGED:
                break
        variance = np.diag(np.linalg.inv(matrix))
        sigmas = np.array([np.sqrt(variance[self._block(row).stop - 1]) for row in range(len(self.priors))])
        return replace(fit, focal_log_sigmas=sigmas, matches=matches, match_error=self._match_error(fit, matches))

    def _match_error(self, fit: PhotoFit, matches: tuple[Match, ...]) -> float:
        errors = []
        for match in matches:
            points = self.surface.pick(match.points)
            for side, row in enumerate(match.photos):
                state = fit.states[row]
                world = points.points(fit.identity, state.expression) @ state.rotation.T + state.translation
                distance = np.linalg.norm(fit.cameras[row].project(world) - match.pixels[:, side], axis=1)
                errors.append(distance / float(inter_ocular(self.points[row][None])[0]))
        return 100 * float(np.median(np.concatenate(errors))) if errors else 0.0

    @property
    def _targets(self) -> np.ndarray:
        return self.points[:, : len(self.model.base), :2].astype(np.float64)

    @property
    def _size(self) -> int:
        """Number of unknowns of one photo."""
        return POSE + len(self.model.names) + 1

    def _block(self, photo: int) -> slice:
        start = self.model.identity_size + photo * self._size
        return slice(start, start + self._size)

    def _problems(self, identity: np.ndarray, cameras: Sequence[Pinhole]) -> list[FrameProblem]:
        units = inter_ocular(self.points)
        create = FrameProblem.create
        return [
            create(self.model, identity, camera, float(unit), self.options.fit)
            for camera, unit in zip(cameras, units, strict=True)
        ]

    def _after(self, fit: PhotoFit, step: np.ndarray) -> PhotoFit:
        """The fit after a step of all unknowns."""
        states = []
        cameras = []
        for row, (state, camera) in enumerate(zip(fit.states, fit.cameras, strict=True)):
            own = step[self._block(row)]
            states.append(state.after_step(own[:-1], self.model.limits))
            moved = np.clip(own[-1], -_FOCAL_STEP, _FOCAL_STEP)
            cameras.append(replace(camera, focal=float(camera.focal * np.exp(moved))))
        identity = fit.identity + step[: self.model.identity_size]
        return replace(fit, identity=identity, cameras=tuple(cameras), states=tuple(states))

    def _normal(self, fit: PhotoFit, matches: tuple[Match, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton matrix and gradient of all unknowns."""
        shared = self.model.identity_size
        count = shared + len(fit.states) * self._size
        matrix = np.zeros((count, count))
        gradient = np.zeros(count)

        def add(columns: np.ndarray, jacobian: np.ndarray, residual: np.ndarray) -> None:
            matrix[np.ix_(columns, columns)] += jacobian.T @ jacobian
            gradient[columns] += jacobian.T @ residual

        matrix[np.arange(shared), np.arange(shared)] += self.options.identity_prior
        gradient[:shared] += self.options.identity_prior * fit.identity
        problems = self._problems(fit.identity, fit.cameras)
        for row, problem in enumerate(problems):
            add(self._columns(row), *self._landmark_rows(problem, fit.states[row], row))
            self._add_priors(problem, fit.states[row], row, matrix, gradient)
        for match in matches:
            add(self._columns(*match.photos), *self._match_rows(problems, fit, match))
        for row, state in enumerate(fit.states):
            first = self._block(row).start + POSE
            active = at_active_limit(state.expression, gradient[first:][: len(state.expression)], self.model.limits)
            rows = np.flatnonzero(active) + first
            matrix[rows, rows] += _AT_LIMIT
        return matrix, gradient

    def _columns(self, *photos: int) -> np.ndarray:
        """Indices of the unknowns of identity and `photos`."""
        blocks = [np.arange(self._block(row).start, self._block(row).stop) for row in photos]
        return np.concatenate([np.arange(self.model.identity_size), *blocks])

    def _landmark_rows(self, problem: FrameProblem, state: State, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Jacobian [936,S+6+E+1] and residual [936] of the landmarks of a photo."""
        lin = linearize(problem, state, self._targets[row], problem.weights(self.spread[row]))
        shared = shared_jacobian(problem, lin)
        jacobian = np.column_stack([shared[:, :-1], lin.jacobian, shared[:, -1]])
        weight = np.sqrt(self.options.landmarks)
        return weight * jacobian, weight * lin.residual

    def _add_priors(
        self, problem: FrameProblem, state: State, row: int, matrix: np.ndarray, gradient: np.ndarray
    ) -> None:
        """Add the priors on expression and focal length of a photo, in place."""
        block = self._block(row)
        local = slice(block.start, block.stop - 1)
        own = np.zeros((self._size - 1, self._size - 1))
        slope = np.zeros(self._size - 1)
        add_expression_prior(problem, state.expression, own, slope)
        own[:POSE, :POSE] += _POSE_FLOOR * np.eye(POSE)
        matrix[local, local] += own
        gradient[local] += slope
        precision = self.focal_log_sigmas[row] ** -2
        matrix[block.stop - 1, block.stop - 1] += precision
        gradient[block.stop - 1] += precision * np.log(problem.camera.focal / self.priors[row].focal)

    def _match_rows(
        self, problems: Sequence[FrameProblem], fit: PhotoFit, match: Match
    ) -> tuple[np.ndarray, np.ndarray]:
        """Jacobian [4N,S+2(6+E+1)] and residual [4N] of a match, in standard deviations.

        A point of skin is beside that of the surface by an offset of its own, which is eliminated: it correlates the
        residuals of both photos.
        """
        options = self.options
        surface = self.surface.pick(match.points)
        shared = self.model.identity_size
        count = len(match.points)
        jacobian = np.zeros((count, 4, shared + 2 * self._size))
        residual = np.empty((count, 4))
        offsets = np.empty((count, 4, 3))  # residual per meter of a point
        for side, row in enumerate(match.photos):
            problem = problems[row]
            state = fit.states[row]
            rows = slice(2 * side, 2 * side + 2)
            start = shared + side * self._size
            rotated = surface.points(fit.identity, state.expression) @ state.rotation.T
            unit = problem.unit * options.match_sigma
            world = rotated + state.translation
            projected = problem.camera.project(world)
            per_world = projection_jacobian(problem.camera, world) / unit
            residual[:, rows] = (projected - match.pixels[:, side]) / unit
            for axis, (b, c) in enumerate(((1, 2), (2, 0), (0, 1))):
                turned = rotated[:, b, None] * per_world[:, :, c] - rotated[:, c, None] * per_world[:, :, b]
                jacobian[:, rows, start + axis] = turned
            jacobian[:, rows, start + 3 : start + POSE] = per_world
            offsets[:, rows] = per_world @ state.rotation
            jacobian[:, rows, start + POSE : start + self._size - 1] = offsets[:, rows] @ surface.expression_basis
            jacobian[:, rows, :shared] = offsets[:, rows] @ surface.identity_basis
            center = np.array([problem.camera.cx, problem.camera.cy])
            jacobian[:, rows, start + self._size - 1] = (projected - center) / unit
        covariance = np.eye(4) / match.weights[:, None, None]
        covariance += options.surface_sigma**2 * offsets @ offsets.swapaxes(1, 2)
        moved = options.mobility**2 * np.einsum("nce,nde->ncd", surface.expression_basis, surface.expression_basis)
        for side in range(2):
            rows = slice(2 * side, 2 * side + 2)
            covariance[:, rows, rows] += offsets[:, rows] @ moved @ offsets[:, rows].swapaxes(1, 2)
        whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        residual = (whiten @ residual[..., None])[..., 0]
        length = np.linalg.norm(residual, axis=1)
        # Flow over skin in changing light is less exact than that, and its errors are more alike from point to point.
        trust = min(1.0, (options.typical / max(float(np.median(length)), 1e-9)) ** 3)
        robust = np.sqrt(trust * np.minimum(1.0, options.match_huber / np.maximum(length, 1e-9)))
        whiten *= robust[:, None, None]
        return (whiten @ jacobian).reshape(4 * count, -1), (robust[:, None] * residual).ravel()
