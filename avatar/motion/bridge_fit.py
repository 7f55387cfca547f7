"""Fitting a bridge: which expressions pair by name, and the normal equations of all the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES

from .bounded_least_squares import Boxed
from .correspondence import LANDMARKS, Correspondence
from .expression_space import RIDGE, Space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """Arrays of a bridge from A (E expressions) to B (F expressions, N of them fitted, C of them turning joints)."""

    named: Floats  # [F,E] 1 where an expression of A is the same one in B
    turns_a: Floats  # [J*3,E] radians that A's expressions add to the joints, those paired by name left out
    controls: Ints  # [C] columns of B that turn joints and may be driven by them
    turns_b: Floats  # [J*3,C]
    fitted: Ints  # [N] columns of B that are fitted
    hessian: Floats  # [N,N]
    coupling: Floats  # [N,E] right-hand side for weights of A
    undone: Floats  # [N,C] right-hand side that B's joint controls have used up
    lower: Floats  # [N]
    upper: Floats  # [N]
    size: Floats  # [E] how far each expression of A moves the landmarks of B's face, weighted, in eye distances
    missed: Floats  # [E] what is left of it after the bridge

    def solve(self, weights: Floats, joint_rot: Floats) -> tuple[Floats, Floats]:
        """Weights [T,F] and joint rotations [T,J*3] of B from those of A, [T,E] and [T,J*3]."""
        result = weights @ self.named.T
        turned = joint_rot + weights @ self.turns_a.T
        targets = weights @ self.coupling.T
        if len(self.controls):
            driven = self._controls(turned)
            turned = turned - driven @ self.turns_b.T
            targets = targets - driven @ self.undone.T
            result[:, self.controls] += driven
        if len(self.fitted):
            result[:, self.fitted] += self._boxed(targets)
        return result, turned

    @cached_property
    def _controls(self) -> Controls:
        return Controls(self.turns_b)

    @cached_property
    def _boxed(self) -> Boxed:
        return Boxed(self.hessian, self.lower, self.upper)

    def is_between(self, count_a: int, count_b: int) -> bool:
        """Whether all arrays have the shapes of a bridge from E = `count_a` to F = `count_b`, without NaN."""
        turns, drives, columns = self.turns_a.shape[:1], self.controls.shape, self.fitted.shape
        a, b = (count_a,), (count_b,)
        shapes = {
            "named": b + a, "turns_a": (3 * len(JOINT_NAMES), *a), "turns_b": turns + drives, "hessian": columns * 2,
            "coupling": columns + a, "undone": columns + drives, "lower": columns, "upper": columns, "size": a,
            "missed": a,
        }  # fmt: skip
        picks = (self.controls, self.fitted)
        tables = {name: getattr(self, name) for name in shapes}
        return (
            all(pick.ndim == 1 and pick.dtype == np.int64 and np.isin(pick, np.arange(count_b)).all() for pick in picks)
            and all(table.shape == shapes[name] and table.dtype == np.float64 for name, table in tables.items())
            and not any(np.isnan(table).any() for table in tables.values())
        )


@dataclass(frozen=True, eq=False)
class Controls:
    """C expressions that turn joints, driven by how far the joints turn."""

    turns: Floats  # [J*3,C] radians that a weight of 1 adds

    def __call__(self, turned: Floats) -> Floats:
        """Weights [T,C] in 0..1 whose turns come nearest to `turned` [T,J*3]."""
        return self._boxed(turned @ self.turns)

    @cached_property
    def _boxed(self) -> Boxed:
        normal = self.turns.T @ self.turns
        count = len(normal)
        ridge = 1e-9 * np.trace(normal) / count
        return Boxed(normal + ridge * np.eye(count), np.zeros(count), np.ones(count))


def fit_bridge(a: HeadModel, b: HeadModel) -> Fit:
    """Fit the bridge from head `a` to head `b`.

    Raises:
        HeadsplatError: a head has no embedding of the 478 landmarks.
    """
    for head in (a, b):
        _check_landmarks(head)
    space_a, space_b, between = Space.of(a), Space.of(b), Correspondence.of(a, b)
    named = _pairs_by_name(space_a, space_b)
    alone = ~named.any(0)
    controls = np.zeros(0, np.int64) if space_a.arkit and space_b.arkit else space_b.controls
    fitted = _fitted_columns(space_b, named)
    rows_a = between.rows_of_source(space_a.compared) * alone
    rows_b = between.rows_of_target(space_b.compared)
    mirror_a, mirror_b = space_a.mirror(Correspondence.of(a, a)), space_b.mirror(Correspondence.of(b, b))
    hessian = _symmetric(rows_b.T @ rows_b, mirror_b, mirror_b)
    coupling = _symmetric(rows_b.T @ rows_a, mirror_b, mirror_a)
    modes = np.isin(fitted, space_b.modes)
    inner = hessian[np.ix_(fitted, fitted)]
    ridge = _ridge(inner, modes, mirror_b[np.ix_(fitted, fitted)])
    part = Fit(
        named=named,
        turns_a=space_a.turns * alone,
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
    return _measured(part, space_a, space_b, between)


def _check_landmarks(head: HeadModel) -> None:
    if len(head.landmark_faces) != LANDMARKS:
        raise HeadsplatError(
            f"head {head.name}: a bridge needs its {LANDMARKS} landmarks, found {len(head.landmark_faces)}; "
            "load the head with its landmark embedding"
        )


def _pairs_by_name(a: Space, b: Space) -> Floats:
    """[F,E], 1 where the same expression is in both.

    Between two ARKit heads a name is a promise: what it shows is each head's own affair. Between others only shapes
    that no landmark sees go by name.
    """
    table = np.zeros((len(b.names), len(a.names)))
    for column, name in enumerate(a.names):
        if name in b.names and column not in a.modes:
            row = b.names.index(name)
            table[row, column] = (a.arkit and b.arkit) or (column in a.hidden and row in b.hidden)
    return table


def _fitted_columns(b: Space, named: Floats) -> Ints:
    """Columns of B left to the fit: landmarks see them, no joint drives them, no A drives them by name.

    FLAME's extra lid shapes do what eyeBlink does: a space that has both is driven through eyeBlink.
    """
    blinks = {name.removeprefix("eyeBlink") for name in b.names if name.startswith("eyeBlink")}
    doubles = [i for i, name in enumerate(b.names) if name in {f"eyelid{side}" for side in blinks}]
    taken = np.concatenate([np.flatnonzero(named.any(1)), b.controls, b.hidden, np.array(doubles, np.int64)])
    return np.setdiff1d(np.arange(len(b.names)), taken)


def _symmetric(matrix: Floats, left: Floats, right: Floats) -> Floats:
    """The part of a bilinear form that does not change when both sides are mirrored."""
    return (matrix + left.T @ matrix @ right) / 2


def _ridge(hessian: Floats, modes: NDArray[np.bool_], mirror: Floats) -> Floats:
    """What keeps weights small: for a named shape a share of its own energy, for a mode one of the modes' mean."""
    energy = np.diag(hessian).copy()
    if modes.any():
        energy[modes] = energy[modes].mean()
    return _symmetric(np.diag(RIDGE * energy), mirror, mirror)


def _measured(part: Fit, a: Space, b: Space, between: Correspondence) -> Fit:
    """The fit with `size` and `missed` filled in: each expression of A alone at weight 1."""
    weights = np.eye(len(a.names))
    found, _ = part.solve(weights, np.zeros((len(weights), len(part.turns_a))))
    size = np.linalg.norm(between.rows_of_source(a.motion), axis=0)
    shown = between.rows_of_source(a.shapes)
    missed = np.linalg.norm(shown - between.rows_of_target(b.shapes) @ found.T, axis=0)
    # Of what landmarks do not see nothing survives, unless it goes by name or by a joint.
    kept = part.named.any(0) | (np.abs(part.turns_a).max(0) > 0)
    lost = np.setdiff1d(a.hidden, np.flatnonzero(kept))
    missed[lost] = size[lost] - a.shown[lost] * np.maximum(size[lost] - missed[lost], 0)
    return replace(part, size=size, missed=missed)
