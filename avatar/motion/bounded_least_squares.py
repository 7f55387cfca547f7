"""Box-constrained least squares for thousands of right-hand sides at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CHUNK = 256  # rows per batch: memory is proportional to rows * N * N
_SWEEPS = 25
_FULL_EXCHANGES = 12
_SINGLE_EXCHANGES = 1000
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class BoxConstrainedSolver:
    """Minimizes `x H x / 2 - b x` subject to lower <= x <= upper for many b; factorizations are computed once.

    Unbounded variables are eliminated exactly. For the others coordinate descent estimates the active set, and block
    principal pivoting (Judice and Pires 1994) makes it exact, for all rows in parallel.
    """

    hessian: Floats  # [N,N] symmetric, positive definite
    lower: Floats  # [N], -inf without a bound
    upper: Floats  # [N], inf without a bound

    def __call__(self, targets: Floats) -> Floats:
        """Solutions [T,N] for right-hand sides `targets` [T,N], exactly within the bounds."""
        from scipy.linalg import cho_solve  # slow to import, as below: not every motion is fitted

        solution = np.zeros_like(targets)
        if len(self._bounded_ids):
            inner_targets = targets[:, self._bounded_ids]
            if len(self._free_ids):
                inner_targets = inner_targets - targets[:, self._free_ids] @ self._coupling
            bounds = self.lower[self._bounded_ids], self.upper[self._bounded_ids]
            solution[:, self._bounded_ids] = _bounded(self._inner, inner_targets, bounds)
        if len(self._free_ids):
            rest = targets[:, self._free_ids] - solution[:, self._bounded_ids] @ self._cross
            solution[:, self._free_ids] = cho_solve(self._factor, rest.T, check_finite=False).T
        return solution

    @cached_property
    def _free_ids(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.isneginf(self.lower) & np.isposinf(self.upper))

    @cached_property
    def _bounded_ids(self) -> NDArray[np.int64]:
        return np.flatnonzero(~(np.isneginf(self.lower) & np.isposinf(self.upper)))

    @cached_property
    def _cross(self) -> Floats:
        """The block of the Hessian between bounded and free variables."""
        return self.hessian[np.ix_(self._bounded_ids, self._free_ids)]

    @cached_property
    def _factor(self) -> tuple[Floats, bool]:
        from scipy.linalg import cho_factor

        return cho_factor(self.hessian[np.ix_(self._free_ids, self._free_ids)])

    @cached_property
    def _coupling(self) -> Floats:
        from scipy.linalg import cho_solve

        return np.asarray(cho_solve(self._factor, self._cross.T))

    @cached_property
    def _inner(self) -> Floats:
        """The Hessian of the bounded variables after eliminating the free ones (Schur complement)."""
        inner = self.hessian[np.ix_(self._bounded_ids, self._bounded_ids)]
        if len(self._free_ids):
            inner = inner - self._cross @ self._coupling
        return (inner + inner.T) / 2


def _bounded(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats]) -> Floats:
    """Solutions [T,N] where every variable has a bound."""
    start = np.clip(np.linalg.solve(hessian, targets.T).T, *bounds)
    solution = _descend(hessian, targets, bounds, start)
    for first in range(0, len(targets), _CHUNK):
        chunk = slice(first, first + _CHUNK)
        solution[chunk] = _pivot(hessian, targets[chunk], bounds, solution[chunk])
    return solution


def _descend(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats], start: Floats) -> Floats:
    """Coordinate descent from `start` [T,N]; converged rows are skipped."""
    lower, upper = bounds
    solution = np.ascontiguousarray(start.T)
    right_sides = np.ascontiguousarray(targets.T)
    moving = np.arange(len(targets))
    for _ in range(_SWEEPS):
        current = solution[:, moving]
        right_side = right_sides[:, moving]
        before = current.copy()
        for row in range(len(hessian)):
            gradient = hessian[row] @ current - right_side[row]
            step = current[row] - gradient / hessian[row, row]
            current[row] = np.minimum(np.maximum(step, lower[row]), upper[row])  # faster than np.clip
        solution[:, moving] = current
        moving = moving[np.abs(current - before).max(0) > _TOLERANCE]
        if not len(moving):
            break
    return solution.T


def _pivot(hessian: Floats, targets: Floats, bounds: tuple[Floats, Floats], start: Floats) -> Floats:
    """Exchange variables between free and active until the optimality conditions hold.

    All violating variables are exchanged at once at first; rows that cycle then exchange only their last violating
    variable, which terminates (Murty 1974).

    Args:
        hessian: [N,N].
        targets: [T,N] right-hand sides.
        bounds: lower and upper, [N] each.
        start: [T,N]; variables at a bound form the initial active set.

    Returns:
        Solutions [T,N].
    """
    lower, upper = bounds
    solution = start.copy()
    low = start <= lower
    high = start >= upper
    rows = np.arange(len(targets))
    for iteration in range(_FULL_EXCHANGES + _SINGLE_EXCHANGES):
        free = ~(low[rows] | high[rows])
        at_bound = np.where(low[rows], lower, np.where(high[rows], upper, 0.0))
        system = hessian * (free[:, :, None] & free[:, None, :]) + np.eye(len(hessian)) * ~free[:, :, None]
        inside = np.linalg.solve(system, ((targets[rows] - at_bound @ hessian) * free)[:, :, None])[:, :, 0]
        found = np.where(free, inside, at_bound)
        gradient = found @ hessian - targets[rows]
        to_low = free & (found < lower)
        to_high = free & (found > upper)
        released = (low[rows] & (gradient < 0)) | (high[rows] & (gradient > 0))
        violating = to_low | to_high | released
        if iteration >= _FULL_EXCHANGES:
            violating &= np.cumsum(violating[:, ::-1], 1)[:, ::-1] == 1
        low[rows] = np.where(violating, to_low, low[rows])
        high[rows] = np.where(violating, to_high, high[rows])
        solved = ~violating.any(1)
        solution[rows[solved]] = found[solved]
        rows = rows[~solved]
        if not len(rows):
            break
    return solution
