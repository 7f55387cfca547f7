"""Fitting a bridge: expressions paired by name, and normal equations for all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES

from .bounded_least_squares import BoxConstrainedSolver
from .correspondence import LANDMARKS, Correspondence
from .expression_space import RIDGE, ExpressionSpace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """Arrays of a bridge from A (E expressions) to B (F expressions, N of them fitted, C of them rotating joints)."""

    named: Floats  # [F,E] 1 where an expression of A and one of B are paired by name
    turns_a: Floats  # [J*3,E] radians added to the joints by A's expressions, 0 for those paired by name
    controls: Ints  # [C] columns of B that rotate joints and are driven by joint rotations
    turns_b: Floats  # [J*3,C] radians added to the joints by these
    fitted: Ints  # [N] columns of B that are fitted
    hessian: Floats  # [N,N]
    coupling: Floats  # [N,E] right-hand side per weight of A
    undone: Floats  # [N,C] right-hand side already expressed per weight of B's controls
    lower: Floats  # [N]
    upper: Floats  # [N]
    size: Floats  # [E] weighted landmark displacement on B's face of each expression of A, in eye distances
    missed: Floats  # [E] its residual after the bridge

    def solve(self, weights: Floats, joint_rot: Floats) -> tuple[Floats, Floats]:
        """Weights [T,F] and joint rotations [T,J*3] of B from those of A, [T,E] and [T,J*3]."""
        result = weights @ self.named.T
        rotations = joint_rot + weights @ self.turns_a.T
        targets = weights @ self.coupling.T
        if len(self.controls):
            driven = self._controls(rotations)
            rotations = rotations - driven @ self.turns_b.T
            targets = targets - driven @ self.undone.T
            result[:, self.controls] += driven
        if len(self.fitted):
            result[:, self.fitted] += self._solver(targets)
        return result, rotations

    @cached_property
    def _controls(self) -> Controls:
        return Controls(self.turns_b)

    @cached_property
    def _solver(self) -> BoxConstrainedSolver:
        return BoxConstrainedSolver(self.hessian, self.lower, self.upper)

    def is_between(self, count_a: int, count_b: int) -> bool:
        """Whether all arrays have the shapes of a bridge from E = `count_a` to F = `count_b`, and possible values."""
        joints = self.turns_a.shape[:1]
        drives = self.controls.shape
        columns = self.fitted.shape
        a = (count_a,)
        b = (count_b,)
        shapes = {
            "named": b + a, "turns_a": (3 * len(JOINT_NAMES), *a), "turns_b": joints + drives, "hessian": columns * 2,
            "coupling": columns + a, "undone": columns + drives, "lower": columns, "upper": columns, "size": a,
            "missed": a,
        }  # fmt: skip
        picks = (self.controls, self.fitted)
        tables = {name: getattr(self, name) for name in shapes}
        return (
            all(pick.ndim == 1 and pick.dtype == np.int64 and np.isin(pick, np.arange(count_b)).all() for pick in picks)
            and all(table.shape == shapes[name] and table.dtype == np.float64 for name, table in tables.items())
            and all(np.isfinite(table).all() for name, table in tables.items() if name not in ("lower", "upper"))
            and not any(np.isnan(bound).any() for bound in (self.lower, self.upper))
        )


@dataclass(frozen=True, eq=False)
class Controls:
    """C expressions that rotate joints, driven by joint rotations."""

    directions: Floats  # [J*3,C] radians at weight 1

    def __call__(self, rotations: Floats) -> Floats:
        """Weights [T,C] in 0..1 with the least-squares fit to `rotations` [T,J*3]."""
        return self._solver(rotations @ self.directions)

    @cached_property
    def _solver(self) -> BoxConstrainedSolver:
        normal = self.directions.T @ self.directions
        count = len(normal)
        ridge = 1e-9 * np.trace(normal) / count
        return BoxConstrainedSolver(normal + ridge * np.eye(count), np.zeros(count), np.ones(count))


def fit_bridge(a: HeadModel, b: HeadModel) -> Fit:
    """Fit the bridge from head `a` to head `b`.

    Raises:
        HeadsplatError: a head has no embedding of the 478 landmarks.
    """
    for head in (a, b):
        _check_landmarks(head)
    space_a = ExpressionSpace.of(a)
    space_b = ExpressionSpace.of(b)
    between = Correspondence.of(a, b)
    named = _pairs_by_name(space_a, space_b)
    unpaired = ~named.any(0)
    controls = np.zeros(0, np.int64) if space_a.arkit and space_b.arkit else space_b.controls
    fitted = _fitted_columns(space_b, named)
    rows_a = between.rows_of_source(space_a.compared) * unpaired
    rows_b = between.rows_of_target(space_b.compared)
    mirror_a = space_a.mirror(Correspondence.of(a, a))
    mirror_b = space_b.mirror(Correspondence.of(b, b))
    hessian = _symmetric(rows_b.T @ rows_b, mirror_b, mirror_b)
    coupling = _symmetric(rows_b.T @ rows_a, mirror_b, mirror_a)
    modes = np.isin(fitted, space_b.modes)
    inner = hessian[np.ix_(fitted, fitted)]
    ridge = _ridge(inner, modes, mirror_b[np.ix_(fitted, fitted)])
    fit = Fit(
        named=named,
        turns_a=space_a.turns * unpaired,
        controls=controls,
        turns_b=space_b.turns[:, controls],
        fitted=fitted,
        hessian=inner + ridge,
        coupling=coupling[fitted],
        undone=hessian[np.ix_(fitted, controls)],
        lower=np.where(modes, -np.inf, 0.0),
        upper=np.where(modes, np.inf, 1.0),
        size=np.zeros(len(space_a.names)),
        missed=np.zeros(len(space_a.names)),
    )
    return _with_residuals(fit, space_a, space_b, between)


def _check_landmarks(head: HeadModel) -> None:
    if len(head.landmark_faces) != LANDMARKS:
        raise HeadsplatError(
            f"head {head.name}: a bridge needs its {LANDMARKS} landmarks, found {len(head.landmark_faces)}; "
            "load the head with its landmark embedding"
        )


def _pairs_by_name(a: ExpressionSpace, b: ExpressionSpace) -> Floats:
    """[F,E], 1 where an expression is paired by name.

    Between two ARKit heads all names are paired: ARKit defines their meaning. Between other heads only shapes that do
    not move landmarks are paired by name.
    """
    table = np.zeros((len(b.names), len(a.names)))
    for column, name in enumerate(a.names):
        if name in b.names and column not in a.modes:
            row = b.names.index(name)
            table[row, column] = (a.arkit and b.arkit) or (column in a.hidden and row in b.hidden)
    return table


def _fitted_columns(b: ExpressionSpace, named: Floats) -> Ints:
    """Columns [N] of B to fit: they move landmarks, rotate no joint and are not paired by name.

    FLAME's additional lid shapes duplicate eyeBlink: in a space that has both, eyeBlink is fitted.
    """
    blinks = {name.removeprefix("eyeBlink") for name in b.names if name.startswith("eyeBlink")}
    duplicates = [i for i, name in enumerate(b.names) if name in {f"eyelid{side}" for side in blinks}]
    excluded = np.concatenate([np.flatnonzero(named.any(1)), b.controls, b.hidden, np.array(duplicates, np.int64)])
    return np.setdiff1d(np.arange(len(b.names)), excluded)


def _symmetric(matrix: Floats, left: Floats, right: Floats) -> Floats:
    """The part of a bilinear form that is invariant under mirroring both sides."""
    return (matrix + left.T @ matrix @ right) / 2


def _ridge(hessian: Floats, modes: NDArray[np.bool_], mirror: Floats) -> Floats:
    """Ridge matrix [N,N]: proportional to a named shape's energy, for modes to the mean energy of the modes."""
    energy = np.diag(hessian).copy()
    if modes.any():
        energy[modes] = energy[modes].mean()
    return _symmetric(np.diag(RIDGE * energy), mirror, mirror)


def _with_residuals(fit: Fit, a: ExpressionSpace, b: ExpressionSpace, between: Correspondence) -> Fit:
    """The fit with `size` and `missed` filled in for each expression of A alone at weight 1."""
    weights = np.eye(len(a.names))
    found, _ = fit.solve(weights, np.zeros((len(weights), len(fit.turns_a))))
    size = np.linalg.norm(between.rows_of_source(a.motion), axis=0)
    expected = between.rows_of_source(a.shapes)
    missed = np.linalg.norm(expected - between.rows_of_target(b.shapes) @ found.T, axis=0)
    # Motion that landmarks do not show is lost unless it is paired by name or rotates a joint.
    kept = fit.named.any(0) | (np.abs(fit.turns_a).max(0) > 0)
    lost = np.setdiff1d(a.hidden, np.flatnonzero(kept))
    missed[lost] = size[lost] - a.visible[lost] * np.maximum(size[lost] - missed[lost], 0)
    return replace(fit, size=size, missed=missed)
