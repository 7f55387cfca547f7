"""The jaw as landmarks feel it: expressions turn it about its hinge, and landmarks follow by their share of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avatar.head.model import HeadModel
from avatar.types import JAW
from capture.tracker.indices import FACE_COUNT
from capture.tracker.rotation import cross_matrix, exp_rotation, left_jacobian


@dataclass(frozen=True)
class Posed:
    """Landmarks after the jaw has turned, and how they answer to small changes."""

    points: np.ndarray  # [468,3] skull frame
    turn: np.ndarray  # [468,3,3] d points / d rest
    moves: np.ndarray  # [468,3,M] d points / d weight of the `movers`, what they do at rest left out


@dataclass(frozen=True)
class Jaw:
    """Linear blend skinning of the landmarks by the jaw joint alone (the skull's frame is the neck joint's)."""

    share: np.ndarray  # [468] how much of the jaw's turn a landmark follows
    center: np.ndarray  # [3] hinge of the mean person
    center_basis: np.ndarray  # [3,S]
    directions: np.ndarray  # [3,M] axis-angle for a weight of 1 of each mover
    movers: np.ndarray  # [M] int, tracked expressions that turn the jaw or bend on their way
    correctives: np.ndarray  # [1404,9] meters for the entries of R - 1; [1404,0] where the head has none
    curves: np.ndarray  # [1404,M] meters, times 4 w (1 - w)

    @staticmethod
    def from_head(head: HeadModel, embed: Callable[[np.ndarray], np.ndarray], tracked: Sequence[int]) -> Jaw:
        """The jaw of `head`; `embed` takes fields [V,3,C] to the landmarks [478,3,C], `tracked` are the expressions."""
        turning = head.joint_dirs[JAW].numpy().astype(np.float64)[:, tracked]
        columns = head.curve_columns.tolist()
        bends = np.array([column in columns for column in tracked])
        movers = np.flatnonzero(turning.any(0) | bends)
        curves = np.zeros((FACE_COUNT, 3, len(movers)))
        fields = embed(head.curvedirs.numpy())[:FACE_COUNT]
        for place, mover in enumerate(movers):
            if bends[mover]:
                curves[:, :, place] = fields[:, :, columns.index(tracked[mover])]
        weights = embed(head.lbs_weights.numpy()[:, None, JAW : JAW + 1])[:FACE_COUNT, 0, 0]
        pose = head.posedirs.numpy()[:, :, 9 * (JAW - 1) : 9 * JAW]
        correctives = embed(pose)[:FACE_COUNT]
        regressor = head.J_regressor[JAW].numpy().astype(np.float64)
        return Jaw(
            share=weights,
            center=regressor @ head.v_template.numpy().astype(np.float64),
            center_basis=np.einsum("v,vcs->cs", regressor, head.shapedirs.numpy().astype(np.float64)),
            directions=turning[:, movers],
            movers=movers,
            correctives=correctives.reshape(3 * FACE_COUNT, -1),
            curves=curves.reshape(3 * FACE_COUNT, -1),
        )

    @staticmethod
    def still(expressions: int, identities: int) -> Jaw:
        """A jaw that no expression turns."""
        return Jaw(
            share=np.zeros(FACE_COUNT),
            center=np.zeros(3),
            center_basis=np.zeros((3, identities)),
            directions=np.zeros((3, 0)),
            movers=np.zeros(0, np.int64),
            correctives=np.zeros((3 * FACE_COUNT, 0)),
            curves=np.zeros((3 * FACE_COUNT, 0)),
        )

    def hinge(self, identity: np.ndarray) -> np.ndarray:
        """The hinge [3] of the person with coefficients `identity` [S]."""
        return self.center + self.center_basis @ identity

    def points(self, rest: np.ndarray, hinge: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The landmarks [468,3] that `pose` gives, without how they answer to changes."""
        weights = expression[self.movers]
        change = exp_rotation(self.directions @ weights) - np.eye(3)
        return self._turned(rest, hinge, weights, change)[1]

    def pose(self, rest: np.ndarray, hinge: np.ndarray, expression: np.ndarray) -> Posed:
        """Landmarks with the jaw turned by the tracked expressions.

        Args:
            rest: landmarks [468,3] of identity and expressions, jaw at rest.
            hinge: [3] from `hinge`.
            expression: [E].
        """
        weights = expression[self.movers]
        vector = self.directions @ weights
        rotation = exp_rotation(vector)
        change = rotation - np.eye(3)
        entries = self.correctives.shape[1]
        arm, points = self._turned(rest, hinge, weights, change)
        share = self.share[:, None]
        # d exp(v) = [J_l(v) dv]x exp(v), the left Jacobian of SO(3) (Barfoot, State Estimation for Robotics, 7.1)
        spin = cross_matrix((left_jacobian(vector) @ self.directions).T) @ rotation
        swing = share * (arm @ spin.reshape(-1, 3).T)
        bent = self.curves * (4 * (1 - 2 * weights)) + self.correctives @ spin.reshape(-1, 9)[:, :entries].T
        turn = np.eye(3) + share[..., None] * change
        moves = swing.reshape(len(arm), -1, 3).transpose(0, 2, 1) + turn @ bent.reshape(len(arm), 3, -1)
        return Posed(points, turn, moves)

    def _turned(
        self, rest: np.ndarray, hinge: np.ndarray, weights: np.ndarray, change: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [468,3] from the hinge before they turn, and after; `change` [3,3] is the turn's R - 1."""
        bend = (
            self.curves @ (4 * weights * (1 - weights)) + self.correctives @ change.ravel()[: self.correctives.shape[1]]
        )
        arm = rest + bend.reshape(-1, 3) - hinge
        return arm, hinge + arm + self.share[:, None] * (arm @ change.T)
