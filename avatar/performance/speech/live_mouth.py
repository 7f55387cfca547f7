"""The mouth of a face that speaks now: probabilities of phones to weights, frame by frame, without memory of more."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.speech.coarticulation import closed
from avatar.performance.speech.gestures import Array
from avatar.performance.speech.phones import FRAME_RATE, PHONES
from avatar.performance.speech.speaking import embedded_lips
from avatar.performance.speech.visemes import CONTROLS, OPENING_CONTROLS, VisemeTable

#: Seconds in which the opening and the shape of the lips follow, and in which lips meet and part.
_OPENING = 0.035
_SHAPE = 0.06
_MEET = 0.012
_PART = 0.02
#: Probability of a bilabial or a labiodental from which the lips start to touch, and at which they do.
_TOUCH = 0.25, 0.5
#: Followed touch from which they do.
_REACHED = 0.7


class LiveMouth:
    """Turns probabilities of phones into weights of the mouth, one frame of a hundredth of a second at a time.

    The weights are the mean of the visemes by probability and dominance, followed with a short delay; closures are
    solved as in `avatar.performance.speech.coarticulation`, and follow faster.
    """

    def __init__(self, table: VisemeTable | None = None, jaw: float = 1.0, lips: float = 1.0) -> None:
        """Args: the visemes, None: the built-in ones; factors of jaw and lips."""
        table = table or VisemeTable.load()
        self._lips = embedded_lips()
        self._opening = np.array([name in OPENING_CONTROLS for name in CONTROLS])
        self._factors = np.array([jaw if name.startswith("jaw") else lips for name in CONTROLS])
        self._dominance, self._targets = _matrices(table)
        self._touching = np.stack([_demanding(table, kind) for kind in ("closure", "labiodental")])
        self._contact = [_contact(table, kind) for kind in ("closure", "labiodental")]
        self._keep = np.where(self._opening, _kept(_OPENING), _kept(_SHAPE))
        self.reset()

    def reset(self) -> None:
        """Rest."""
        self._weights = np.zeros(len(CONTROLS))
        self._touch = np.zeros(2)  # closure, labiodental

    @property
    def shut(self) -> float:
        """How far the lips of the last frame are shut for m, b or p, 0..1."""
        return float(min(self._touch[0] / _REACHED, 1.0))

    def update(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next frame.

        Args:
            probabilities: [P] of each of PHONES; the sum is 1.

        Returns:
            [52] ARKit weights of the mouth; zero for the rest of the face.
        """
        strength = self._dominance * probabilities  # [2,P]
        wanted = np.where(self._opening, *((row @ self._targets) / max(row.sum(), 1e-6) for row in strength))
        self._weights = self._keep * self._weights + (1 - self._keep) * wanted
        likely = self._touching @ probabilities
        touch = ((likely - _TOUCH[0]) / (_TOUCH[1] - _TOUCH[0])).clip(0, 1)
        keep = np.where(touch > self._touch, _kept(_MEET), _kept(_PART))
        self._touch = keep * self._touch + (1 - keep) * touch
        shut, dental = (self._touch / _REACHED).clip(0, 1)
        dental *= 1 - shut
        weights = self._weights * self._factors
        contact = np.maximum(shut * self._contact[0], dental * self._contact[1])
        found = closed(weights[None], contact[None], np.array([shut]), np.array([dental]), self._lips)[0]
        weights52 = np.zeros(len(ARKIT_52), np.float32)
        for columns, value in zip(CONTROLS.values(), found, strict=True):
            weights52[list(columns)] = value
        return weights52


def _kept(seconds: float) -> float:
    """What remains after one frame of a difference that falls to 1/e in `seconds`."""
    return math.exp(-1 / FRAME_RATE / seconds)


def _matrices(table: VisemeTable) -> tuple[Array, Array]:
    """Dominance [2,P] over opening and shape, targets [P,C] of PHONES; a diphthong is the mean of its parts."""
    names = list(CONTROLS)
    dominance = np.zeros((2, len(PHONES)))
    targets = np.zeros((len(PHONES), len(names)))
    for row, phone in enumerate(PHONES):
        parts = table.phones[phone].parts or (phone,)
        for part in parts:
            kind = table.class_of(part)
            dominance[:, row] += np.array([kind.jaw, kind.lips]) / len(parts)
            for control, weight in table.phones[part].shape.items():
                targets[row, names.index(control)] += weight / len(parts)
    return dominance, targets


def _demanding(table: VisemeTable, requirement: str) -> Array:
    """[P] 1 for the phones with a requirement."""
    return np.array([float(table.phones[phone].requirement == requirement) for phone in PHONES])


def _contact(table: VisemeTable, requirement: str) -> Array:
    """[C] mean contact weights of the phones with a requirement."""
    found = [table.phones[phone].contact for phone in PHONES if table.phones[phone].requirement == requirement]
    return np.array([sum(contact.get(name, 0.0) for contact in found) / max(len(found), 1) for name in CONTROLS])
