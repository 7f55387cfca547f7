"""Jaw rotation of the landmarks: expressions rotate the jaw about its hinge; landmarks follow by skinning weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avatar.geometry.numpy_rotations import cross_matrix, exp_rotation, left_jacobian
from avatar.head.model import HeadModel
from avatar.types import JAW
from capture.tracker.indices import FACE_COUNT


@dataclass(frozen=True)
class PosedLandmarks:
    """Landmarks with the jaw rotated, and their Jacobians."""

    points: np.ndarray  # [468,3] skull frame
    rest_jacobian: np.ndarray  # [468,3,3] d points / d rest
    nonlinear_jacobian: np.ndarray  # [468,3,M] d points / d weight of `Jaw.nonlinear`, without their linear part


@dataclass(frozen=True)
class Jaw:
    """Linear blend skinning of the landmarks by the jaw joint alone (the skull's frame is the neck joint's)."""

    skinning_weights: np.ndarray  # [468] of the jaw joint
    center: np.ndarray  # [3] hinge of the mean person
    center_basis: np.ndarray  # [3,S]
    directions: np.ndarray  # [3,M] axis-angle at a weight of 1 of each expression in `nonlinear`
    nonlinear: np.ndarray  # [M] int, tracked expressions that rotate the jaw or follow a curve
    correctives: np.ndarray  # [1404,9] meters per entry of R - I; [1404,0] where the head has none
    curves: np.ndarray  # [1404,M] meters, factor of 4 w (1 - w)

    @staticmethod
    def from_head(head: HeadModel, embed: Callable[[np.ndarray], np.ndarray], tracked: Sequence[int]) -> Jaw:
        """The jaw of `head`; `embed` maps fields [V,3,C] to landmarks [478,3,C], `tracked` are expression columns."""
        directions = head.joint_dirs[JAW].numpy().astype(np.float64)[:, list(tracked)]
        curve_columns = head.curve_columns.tolist()
        curved = np.array([column in curve_columns for column in tracked])
        nonlinear = np.flatnonzero(directions.any(0) | curved)
        curves = np.zeros((FACE_COUNT, 3, len(nonlinear)))
        fields = embed(head.curvedirs.numpy())[:FACE_COUNT]
        for column, expression in enumerate(nonlinear.tolist()):
            if curved[expression]:
                curves[:, :, column] = fields[:, :, curve_columns.index(tracked[expression])]
        weights = embed(head.lbs_weights.numpy()[:, None, JAW : JAW + 1])[:FACE_COUNT, 0, 0]
        pose = head.posedirs.numpy()[:, :, 9 * (JAW - 1) : 9 * JAW]
        correctives = embed(pose)[:FACE_COUNT]
        regressor = head.J_regressor[JAW].numpy().astype(np.float64)
        return Jaw(
            skinning_weights=weights,
            center=regressor @ head.v_template.numpy().astype(np.float64),
            center_basis=np.einsum("v,vcs->cs", regressor, head.shapedirs.numpy().astype(np.float64)),
            directions=directions[:, nonlinear],
            nonlinear=nonlinear,
            correctives=correctives.reshape(3 * FACE_COUNT, -1),
            curves=curves.reshape(3 * FACE_COUNT, -1),
        )

    @staticmethod
    def fixed(expressions: int, identities: int) -> Jaw:
        """A jaw that no expression rotates."""
        return Jaw(
            skinning_weights=np.zeros(FACE_COUNT),
            center=np.zeros(3),
            center_basis=np.zeros((3, identities)),
            directions=np.zeros((3, 0)),
            nonlinear=np.zeros(0, np.int64),
            correctives=np.zeros((3 * FACE_COUNT, 0)),
            curves=np.zeros((3 * FACE_COUNT, 0)),
        )

    def hinge(self, identity: np.ndarray) -> np.ndarray:
        """The hinge [3] of the person with coefficients `identity` [S]."""
        return self.center + self.center_basis @ identity

    def points(self, rest: np.ndarray, hinge: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The landmarks [468,3] of `pose`, without the Jacobians."""
        weights = expression[self.nonlinear]
        change = exp_rotation(self.directions @ weights) - np.eye(3)
        return self._rotate(rest, hinge, weights, change)[1]

    def pose(self, rest: np.ndarray, hinge: np.ndarray, expression: np.ndarray) -> PosedLandmarks:
        """Landmarks with the jaw rotated by the tracked expressions, and their Jacobians.

        Args:
            rest: landmarks [468,3] of identity and expressions, jaw at rest.
            hinge: [3] meters, from `hinge`.
            expression: [E] weights.
        """
        weights = expression[self.nonlinear]
        vector = self.directions @ weights
        rotation = exp_rotation(vector)
        change = rotation - np.eye(3)
        entries = self.correctives.shape[1]
        arm, points = self._rotate(rest, hinge, weights, change)
        weight = self.skinning_weights[:, None]
        # d exp(v) = [J_l(v) dv]x exp(v), the left Jacobian of SO(3) (Barfoot, State Estimation for Robotics, 7.1)
        spin = cross_matrix((left_jacobian(vector) @ self.directions).T) @ rotation
        swing = weight * (arm @ spin.reshape(-1, 3).T)
        bent = self.curves * (4 * (1 - 2 * weights)) + self.correctives @ spin.reshape(-1, 9)[:, :entries].T
        rest_jacobian = np.eye(3) + weight[..., None] * change
        nonlinear_jacobian = swing.reshape(len(arm), -1, 3).transpose(0, 2, 1) + rest_jacobian @ bent.reshape(
            len(arm), 3, -1
        )
        return PosedLandmarks(points, rest_jacobian, nonlinear_jacobian)

    def _rotate(
        self, rest: np.ndarray, hinge: np.ndarray, weights: np.ndarray, change: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [468,3] relative to the hinge before the rotation, and after it; `change` [3,3] is R - I."""
        corrective = (
            self.curves @ (4 * weights * (1 - weights)) + self.correctives @ change.ravel()[: self.correctives.shape[1]]
        )
        arm = rest + corrective.reshape(-1, 3) - hinge
        return arm, hinge + arm + self.skinning_weights[:, None] * (arm @ change.T)
