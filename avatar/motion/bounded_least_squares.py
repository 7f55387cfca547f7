"""Least squares under box constraints, for thousands of frames at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Floats = NDArray[np.float64]

_CHUNK = 256  # rows at a time: T N N numbers are made for each
_SWEEPS = 25
_FULL_EXCHANGES, _SINGLE_EXCHANGES = 12, 1000
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Boxed:
    """Minimizes `x H x / 2 - b x` with lower <= x <= upper for rows b; what the rows share is worked out once.

    Unbounded variables are eliminated exactly; for the others coordinate descent guesses which sit on a bound, and
    block principal pivoting (Judice and Pires 1994) makes that guess exact; all rows side by side.
    """

    hessian: Floats  # [N,N] symmetric, positive definite
    lower: Floats  # [N], -inf where there is no bound
    upper: Floats  # [N], inf where there is none

    def __call__(self, targets: Floats) -> Floats:
        """Solutions [T,N] for `targets` [T,N], within the bounds to the bit."""
        solution = np.zeros_like(targets)
        if len(self._held):
            inner_targets = targets[:, self._held]
            if len(self._free):
                inner_targets = inner_targets - targets[:, self._free] @ self._coupling
            bounds = self.lower[self._held], self.upper[self._held]
            solution[:, self._held] = _bounded(self._inner, inner_targets, bounds)
        if len(self._free):
            rest = targets[:, self._free] - solution[:, self._held] @ self._between
            solution[:, self._free] = cho_solve(self._factor, rest.T, check_finite=False).T
        return solution

    @cached_property
    def _free(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.isneginf(self.lower) & np.isposinf(self.upper))

    @cached_property
    def _held(self) -> NDArray[np.int64]:
        return np.flatnonzero(~(np.isneginf(self.lower) & np.isposinf(self.upper)))

    @cached_property
    def _between(self) -> Floats:
        """Of the hessian, from held to free variables."""
        return self.hessian[np.ix_(self._held, self._free)]

    @cached_property
    def _factor(self) -> tuple[Floats, bool]:
        return cho_factor(self.hessian[np.ix_(self._free, self._free)])

    @cached_property
    def _coupling(self) -> Floats:
        return np.asarray(cho_solve(self._factor, self._between.T))

    @cached_property
    def _inner(self) -> Floats:
        """The hessian of the held variables once the free ones are eliminated."""
        inner = self.hessian[np.ix_(self._held, self._held)]
        if len(self._free):
            inner = inner - self._between @ self._coupling
        return (inner + inner.T) / 2


def _bounded(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats]) -> Floats:
    """Solutions where every variable has a bound."""
    start = np.clip(np.linalg.solve(hessian, targets.T).T, *bounds)
    solution = _descend(hessian, targets, bounds, start)
    for first in range(0, len(targets), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        solution[chunk] = _pivot(hessian, targets[chunk], bounds, solution[chunk])
    return solution


def _descend(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats], start: Floats) -> Floats:
    """Coordinate descent from `start` [T,N]; rows that have come to rest are left alone."""
    lower, upper = bounds
    solution, wanted = np.ascontiguousarray(start.T), np.ascontiguousarray(targets.T)
    moving = np.arange(len(targets))
    for _ in range(_SWEEPS):
        current, goal = solution[:, moving], wanted[:, moving]
        before = current.copy()
        for row in range(len(hessian)):
            gradient = hessian[row] @ current - goal[row]
            step = current[row] - gradient / hessian[row, row]
            current[row] = np.minimum(np.maximum(step, lower[row]), upper[row])  # np.clip costs more than all of it
        solution[:, moving] = current
        moving = moving[np.abs(current - before).max(0) > _TOLERANCE]
        if not len(moving):
            break
    return solution.T


def _pivot(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats], start: Floats) -> Floats:
    """Exchange variables between free and bound until none wants to; `start` [T,N] says which are where.

    All at once at first; rows that go round in circles then exchange only their last variable that wants to, which
    ends (Murty 1974).
    """
    lower, upper = bounds
    solution = start.copy()
    low, high = start <= lower, start >= upper
    rows = np.arange(len(targets))
    for turn in range(_FULL_EXCHANGES + _SINGLE_EXCHANGES):
        free = ~(low[rows] | high[rows])
        held = np.where(low[rows], lower, np.where(high[rows], upper, 0.0))
        system = hessian * (free[:, :, None] & free[:, None, :]) + np.eye(len(hessian)) * ~free[:, :, None]
        inside = np.linalg.solve(system, ((targets[rows] - held @ hessian) * free)[:, :, None])[:, :, 0]
        found = np.where(free, inside, held)
        gradient = found @ hessian - targets[rows]
        to_low, to_high = free & (found < lower), free & (found > upper)
        loose = (low[rows] & (gradient < 0)) | (high[rows] & (gradient > 0))
        wanting = to_low | to_high | loose
        if turn >= _FULL_EXCHANGES:
            wanting &= np.cumsum(wanting[:, ::-1], 1)[:, ::-1] == 1
        low[rows] = np.where(wanting, to_low, low[rows])
        high[rows] = np.where(wanting, to_high, high[rows])
        settled = ~wanting.any(1)
        solution[rows[settled]] = found[settled]
        rows = rows[~settled]
        if not len(rows):
            break
    return solution
