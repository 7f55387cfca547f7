"""What a head's expressions are, seen by a bridge: names, which turn joints, which mirrors which."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.head.model import HeadModel, is_mode
from avatar.types import JAW, JOINT_NAMES

from .correspondence import Correspondence, landmark_columns, mirrored

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: a shape counts as hidden where landmarks go less than this share of the way its fastest vertex goes
_HIDDEN_NAME, _HIDDEN_MODE = 0.5, 0.02
#: ridge of the fits, as a share of the energy
RIDGE = 1e-4


def other_side(name: str) -> str:
    """The name of the mirrored shape."""
    swapped = {"Left": "Right", "Right": "Left"}
    return re.sub("Left|Right", lambda found: swapped[found[0]], name)


@dataclass(frozen=True)
class Space:
    """The expressions of one head, E of them."""

    names: tuple[str, ...]
    shapes: Floats  # [478,3,E] meters, displacement of the landmarks in the rest pose
    turns: Floats  # [J*3,E] radians, what a weight of 1 adds to the joints
    modes: Ints  # columns that are only numbered
    shown: Floats  # [E] 0..1, how far landmarks go of the way that the fastest vertex goes, joints included
    motion: Floats  # [478,3,E] meters, displacement of the landmarks with the joints turned
    arkit: bool

    @staticmethod
    def of(head: HeadModel) -> Space:
        """Read off a head model."""
        posed = head.expression_motion()
        motion = landmark_columns(head, posed)
        fastest = posed.norm(dim=1).amax(0).double().numpy()
        return Space(
            names=head.expression_names,
            shapes=landmark_columns(head, head.exprdirs),
            turns=head.joint_dirs.double().numpy().reshape(len(JOINT_NAMES) * 3, -1),
            modes=np.array([i for i, name in enumerate(head.expression_names) if is_mode(name)], np.int64),
            shown=np.linalg.norm(motion, axis=1).max(0) / np.maximum(fastest, 1e-9),
            motion=motion,
            arkit="arkit" in head.capabilities,
        )

    @property
    def hidden(self) -> Ints:
        """Columns that the landmarks say little about: tongueOut moves the tongue much farther than the lips."""
        limit = np.full(len(self.names), _HIDDEN_NAME)
        limit[self.modes] = _HIDDEN_MODE
        return np.flatnonzero(self.shown <= limit)

    @property
    def controls(self) -> Ints:
        """Columns that turn joints."""
        return np.flatnonzero(np.abs(self.turns).max(0, initial=0) > 0)

    @property
    def compared(self) -> Floats:
        """`shapes` without what goes along with a turning jaw: how a jaw slides and skin follows is each head's own."""
        jaw = slice(3 * JAW, 3 * JAW + 3)
        return self.shapes * (np.abs(self.turns[jaw]).max(0) == 0)

    def mirror(self, own: Correspondence) -> Floats:
        """The map [E,E] from weights to those of the mirrored face; exactly its own inverse.

        Names swap sides; numbered modes mix so that their landmarks mirror as well as they can.

        Args:
            own: the correspondence of the head with itself.
        """
        count = len(self.names)
        table = np.zeros((count, count))
        for column, name in enumerate(self.names):
            if column not in self.modes:
                partner = other_side(name)
                table[self.names.index(partner) if partner in self.names else column, column] = 1
        seen = np.setdiff1d(self.modes, self.hidden)
        table[self.modes, self.modes] = 1
        if len(seen):
            table[np.ix_(seen, seen)] = _mirror_of_modes(self.shapes[:, :, seen], own)
        return table


def _mirror_of_modes(shapes: Floats, own: Correspondence) -> Floats:
    """The involution [U,U] that mirrors modes [478,3,U] best: a symmetric eigenproblem in the metric of the modes.

    Mirroring is symmetric and its own inverse over the landmarks; its compression to the space of the modes is
    symmetric with eigenvalues in -1..1, and their signs make it an involution again.
    """
    rows, image = own.rows_of_target(shapes), own.rows_of_target(mirrored(shapes))
    metric = rows.T @ rows
    metric += np.eye(len(metric)) * (RIDGE * np.trace(metric) / len(metric) + 1e-12)
    values, vectors = np.linalg.eigh(metric)
    root, inverse = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
    crossing = inverse @ (rows.T @ image) @ inverse
    signs, axes = np.linalg.eigh((crossing + crossing.T) / 2)
    return inverse @ (axes * np.where(signs < 0, -1.0, 1.0)) @ axes.T @ root
