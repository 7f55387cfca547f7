"""Expression weights to action units and back.

Most units are one weight for each side, so their intensity is that weight over its factor. Units that share weights are
solved together by non-negative least squares; a unit whose rule is "all" takes the smallest of its parts first. The jaw
is one weight for three units (AU25 by the gap between the lips, AU26 and AU27 by ranges of jawOpen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.head.arkit import ARKIT_52
from avatar.motion.bounded_least_squares import BoxConstrainedSolver
from avatar.performance.facs.table import LEFT, RIGHT, FacsTable, Unit

Floats = NDArray[np.float64]
_RIDGE = 1e-6  # of the least squares: units that cannot be told apart share the intensity


def arkit_columns(names: Sequence[str]) -> NDArray[np.int64]:
    """For each of ARKit's 52 expressions its column in `names`; `len(names)` for one that is missing."""
    where = {name: column for column, name in enumerate(names)}
    return np.array([where.get(name, len(names)) for name in ARKIT_52])


def arkit_weights(weights: ArrayLike, columns: NDArray[np.int64]) -> Floats:
    """Weights [T,E] in the order of ARKIT_52, [T,52] limited to 0..1; missing and non-finite ones are 0."""
    values = np.asarray(weights, np.float64)
    padded = np.concatenate([values, np.zeros((len(values), 1))], 1)[:, columns]
    return np.clip(np.nan_to_num(padded, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class UnitReader:
    """Converts between ARKit's 52 weights and the U action units of a table."""

    table: FacsTable

    def __call__(self, weights: ArrayLike) -> Floats:
        """Intensities [T,U] of weights [T,52]: of both sides the stronger one."""
        return self.sides(weights).max(2)

    def sides(self, weights: ArrayLike) -> Floats:
        """Intensities [T,U,2] 0..1 of the left and the right side of the person, for weights [T,52] 0..1."""
        given = np.clip(np.asarray(weights, np.float64), 0.0, 1.0)
        found = np.zeros((len(given), len(self.table.units), 2))
        rest = given.copy()
        for row, columns, factors in self._joint:
            found[:, row] = np.clip((rest[:, columns] / factors).min(1), 0, 1)[:, None]
            rest[:, columns] -= found[:, row, :1] * factors
        single = rest @ self._fit
        if self._solver is not None:
            single[:, self._shared] = self._solver((rest @ self._basis)[:, self._shared])
        np.clip(single, 0, 1, out=single)
        found[:, self._rows, LEFT] = single[:, self._left]
        found[:, self._rows, RIGHT] = single[:, self._right]
        self._read_ranges(given, found)
        return found

    def gap(self, weights: ArrayLike) -> Floats:
        """Gap between the lips [T] in millimeters of headsplat's head, for weights [T,52]."""
        return np.asarray(self.table.gap_rest + np.asarray(weights, np.float64) @ self.table.gap_opening)

    def weights(self, intensities: ArrayLike) -> Floats:
        """Weights [T,52] 0..1 of intensities [T,U], or [T,U,2] for left and right."""
        given = np.clip(np.asarray(intensities, np.float64), 0.0, 1.0)
        sides = np.repeat(given[:, :, None], 2, 2) if given.ndim == 2 else given
        out = np.zeros((len(sides), len(ARKIT_52)))
        for row, unit in enumerate(self.table.units):
            if not (unit.curve or unit.gap):
                for side in (LEFT, RIGHT) if unit.sided else (LEFT,):
                    value = sides[:, row, side] if unit.sided else sides[:, row].max(1)
                    for name, factor in unit.weights[side].items():
                        out[:, ARKIT_52.index(name)] += factor * value
        for row, unit in enumerate(self.table.units):
            if unit.curve or unit.gap:  # ranges of one weight: the largest counts
                self._drive_range(unit, sides[:, row], out)
        return np.clip(out, 0.0, 1.0)

    def attribution(self, weights: ArrayLike) -> Floats:
        """The part [T,U,52] of each weight in the intensity of each unit; rows add up to 1, or to 0."""
        given = np.clip(np.asarray(weights, np.float64), 0.0, 1.0)
        parts = given[:, None, :] * self._shares
        total = parts.sum(2, keepdims=True)
        return np.asarray(parts / np.where(total > 0, total, 1.0))

    def _read_ranges(self, given: Floats, found: Floats) -> None:
        for row, unit in enumerate(self.table.units):
            if unit.gap:
                found[:, row] = _range(self.gap(given), unit.gap)[:, None]
            elif unit.curve:
                for side in (LEFT, RIGHT):
                    (name, factor), *_ = unit.weights[side].items()
                    found[:, row, side] = _range(given[:, ARKIT_52.index(name)] / factor, unit.curve)
        for row, columns in self._excluding:
            scored = found[:, row].max(1) >= self.table.threshold
            found[np.ix_(scored, columns)] = 0

    def _drive_range(self, unit: Unit, values: Floats, out: Floats) -> None:
        for side in (LEFT, RIGHT) if unit.sided else (LEFT,):
            value = values[:, side] if unit.sided else values.max(1)
            (name, factor), *_ = unit.weights[side].items()
            column = ARKIT_52.index(name)
            target = _inverse_range(value, unit.curve or unit.gap)
            if unit.gap:
                target = (target - self.table.gap_rest) / max(float(self.table.gap_opening[column]), 1e-6)
            driven = np.where(value > 0, np.clip(target, 0, 1) * factor, 0.0)
            out[:, column] = np.maximum(out[:, column], driven)

    @cached_property
    def _joint(self) -> list[tuple[int, NDArray[np.int64], Floats]]:
        """Row, columns and factors of the units whose rule is "all"; of one with sides both sides together."""
        found = []
        for row, unit in enumerate(self.table.units):
            if unit.rule == "all":
                merged = {**unit.weights[LEFT], **unit.weights[RIGHT]}
                columns = np.array([ARKIT_52.index(name) for name in merged])
                found.append((row, columns, np.array(list(merged.values()))))
        return found

    @cached_property
    def _excluding(self) -> list[tuple[int, list[int]]]:
        keys = self.table.keys
        units = enumerate(self.table.units)
        return [(row, [keys.index(key) for key in unit.excludes]) for row, unit in units if unit.excludes]

    @cached_property
    def _singles(self) -> list[tuple[int, int]]:
        """(unit, side) of each column of the least squares; a unit without sides has one."""
        units = enumerate(self.table.units)
        fitted = [(row, unit) for row, unit in units if unit.rule == "fit" and not (unit.curve or unit.gap)]
        return [(row, side) for row, unit in fitted for side in ((LEFT, RIGHT) if unit.sided else (LEFT,))]

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        return np.array(sorted({row for row, _ in self._singles}), np.int64)

    @cached_property
    def _left(self) -> NDArray[np.int64]:
        return np.array([self._singles.index((row, LEFT)) for row in self._rows], np.int64)

    @cached_property
    def _right(self) -> NDArray[np.int64]:
        both = [(row, RIGHT) if (row, RIGHT) in self._singles else (row, LEFT) for row in self._rows]
        return np.array([self._singles.index(pair) for pair in both], np.int64)

    @cached_property
    def _basis(self) -> Floats:
        """[52,M] weights of each single at intensity 1."""
        basis = np.zeros((len(ARKIT_52), len(self._singles)))
        for column, (row, side) in enumerate(self._singles):
            for name, factor in self.table.units[row].weights[side].items():
                basis[ARKIT_52.index(name), column] = factor
        return basis

    @cached_property
    def _fit(self) -> Floats:
        """[52,M], the intensity of each single by itself."""
        return np.asarray(self._basis / np.maximum((self._basis**2).sum(0), 1e-12))

    @cached_property
    def _shared(self) -> NDArray[np.int64]:
        """The singles that share a weight with another one."""
        gram = self._basis.T @ self._basis
        np.fill_diagonal(gram, 0)
        return np.flatnonzero(gram.any(0))

    @cached_property
    def _solver(self) -> BoxConstrainedSolver | None:
        if not len(self._shared):
            return None
        basis = self._basis[:, self._shared]
        count = len(self._shared)
        return BoxConstrainedSolver(basis.T @ basis + _RIDGE * np.eye(count), np.zeros(count), np.ones(count))

    @cached_property
    def _shares(self) -> Floats:
        """[U,52] factors of all weights of each unit."""
        shares = np.zeros((len(self.table.units), len(ARKIT_52)))
        for row, unit in enumerate(self.table.units):
            for side in (LEFT, RIGHT):
                for name, factor in unit.weights[side].items():
                    shares[row, ARKIT_52.index(name)] = factor
            if unit.gap:
                shares[row] = np.maximum(self.table.gap_opening, 0)
        return shares


def _range(values: Floats, pairs: Sequence[tuple[float, float]]) -> Floats:
    """Intensity by a piecewise linear curve that starts at the origin."""
    at, intensity = zip(*((0.0, 0.0), *pairs), strict=True)
    return np.asarray(np.interp(values, at, intensity))


def _inverse_range(values: Floats, pairs: Sequence[tuple[float, float]]) -> Floats:
    at, intensity = zip(*((0.0, 0.0), *pairs), strict=True)
    return np.asarray(np.interp(values, intensity, at))


def to_weights(intensities: ArrayLike, table: FacsTable | None = None) -> Floats:
    """Weights [T,52] 0..1 of intensities [T,U], or [T,U,2] for the left and the right side."""
    return UnitReader(table or FacsTable.load()).weights(intensities)


def head_units(angles: ArrayLike, table: FacsTable) -> Floats:
    """Intensities [T,H] of the head's positions, for yaw, pitch and roll [T,3] in degrees from the mean pose.

    Positive are: yaw to the left of the person, pitch up, roll toward the right shoulder.
    """
    degrees = np.asarray(angles, np.float64)
    axes = [("yaw", "pitch", "roll").index(unit.axis) for unit in table.head]
    return np.asarray(np.clip(degrees[:, axes] / np.array([unit.degrees for unit in table.head]), 0, 1))
