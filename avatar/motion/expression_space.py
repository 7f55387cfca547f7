"""The expressions of a head for fitting a bridge: names, landmark motion, joint rotations, mirroring."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.types import JAW, JOINT_NAMES

from .correspondence import Correspondence, landmark_columns, mirrored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: a shape is hidden where landmarks move less than this fraction of its fastest vertex
_HIDDEN_NAME = 0.5
_HIDDEN_MODE = 0.02
#: ridge of the fits relative to the energy
RIDGE = 1e-4


def other_side(name: str) -> str:
    """The name of the mirrored shape."""
    swapped = {"Left": "Right", "Right": "Left"}
    return re.sub("Left|Right", lambda found: swapped[found[0]], name)


@dataclass(frozen=True)
class ExpressionSpace:
    """The expressions of one head, E of them."""

    names: tuple[str, ...]
    shapes: Floats  # [478,3,E] meters, displacement of the landmarks in the rest pose
    turns: Floats  # [J*3,E] radians added to the joints at weight 1
    modes: Ints  # columns of numbered components (`is_mode`)
    visible: Floats  # [E] 0..1, largest displacement of a landmark relative to that of any vertex, joints included
    motion: Floats  # [478,3,E] meters, displacement of the landmarks with the joints rotated
    arkit: bool

    @staticmethod
    def of(head: HeadModel) -> ExpressionSpace:
        """The expression space of a head model."""
        posed = head.expression_motion()
        motion = landmark_columns(head, posed)
        fastest = posed.norm(dim=1).amax(0).double().numpy()
        return ExpressionSpace(
            names=head.expression_names,
            shapes=landmark_columns(head, head.exprdirs),
            turns=head.joint_dirs.double().numpy().reshape(len(JOINT_NAMES) * 3, -1),
            modes=np.array([i for i, name in enumerate(head.expression_names) if is_mode(name)], np.int64),
            visible=np.linalg.norm(motion, axis=1).max(0) / np.maximum(fastest, 1e-9),
            motion=motion,
            arkit="arkit" in head.capabilities,
        )

    @property
    def hidden(self) -> Ints:
        """Columns whose motion landmarks hardly show: tongueOut moves the tongue much more than the lips."""
        limit = np.full(len(self.names), _HIDDEN_NAME)
        limit[self.modes] = _HIDDEN_MODE
        return np.flatnonzero(self.visible <= limit)

    @property
    def controls(self) -> Ints:
        """Columns that rotate joints."""
        return np.flatnonzero(np.abs(self.turns).max(0, initial=0) > 0)

    @property
    def compared(self) -> Floats:
        """`shapes` without the columns that rotate the jaw: how skin follows a rotating jaw differs between heads."""
        jaw = slice(3 * JAW, 3 * JAW + 3)
        return self.shapes * (np.abs(self.turns[jaw]).max(0) == 0)

    def mirror(self, to_itself: Correspondence) -> Floats:
        """The map [E,E] from weights to those of the mirrored face; an exact involution.

        Names swap sides; numbered modes are mixed so that their landmark motion is mirrored as well as possible.

        Args:
            to_itself: the correspondence of the head with itself.
        """
        count = len(self.names)
        table = np.zeros((count, count))
        for column, name in enumerate(self.names):
            if column not in self.modes:
                partner = other_side(name)
                table[self.names.index(partner) if partner in self.names else column, column] = 1
        visible = np.setdiff1d(self.modes, self.hidden)
        table[self.modes, self.modes] = 1
        if len(visible):
            table[np.ix_(visible, visible)] = _mirror_of_modes(self.shapes[:, :, visible], to_itself)
        return table


def _mirror_of_modes(shapes: Floats, to_itself: Correspondence) -> Floats:
    """The involution [U,U] that best mirrors modes [478,3,U]: a symmetric eigenproblem in the metric of the modes.

    Mirroring is a symmetric involution on the landmarks; its projection to the span of the modes is symmetric with
    eigenvalues in -1..1, and taking their signs makes it an involution again.
    """
    rows = to_itself.rows_of_target(shapes)
    image = to_itself.rows_of_target(mirrored(shapes))
    metric = rows.T @ rows
    metric += np.eye(len(metric)) * (RIDGE * np.trace(metric) / len(metric) + 1e-12)
    values, vectors = np.linalg.eigh(metric)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    crossing = inverse @ (rows.T @ image) @ inverse
    signs, axes = np.linalg.eigh((crossing + crossing.T) / 2)
    return inverse @ (axes * np.where(signs < 0, -1.0, 1.0)) @ axes.T @ root
