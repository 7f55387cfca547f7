"""Action units to emotions, valence and arousal, and back.

A score is linear in the evidence of the action units, so the part of every weight can be stated. It is the projection
of the evidence on the best of the label's faces, minus a penalty for all other evidence. The probabilities are the
softmax of the scores. Neutral and unknown depend on the strongest evidence: weak evidence is neutral, strong evidence
that fits no face is unknown. Valence and arousal are linear too: the smallest coefficients that give each face of the
table its own coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.errors import HeadsplatError
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader

Floats = NDArray[np.float64]
#: The part of the stronger side by which the other one may be weaker before the difference counts as one-sided.
ASYMMETRY = 0.3
#: Intensity up to which speech explains a unit: mouths that speak do not grimace.
SPOKEN = 0.6
#: A less probable emotion is unknown.
LEAST_CERTAIN = 0.5


@dataclass(frozen=True, eq=False)
class Affect:
    """Emotions of T frames; L labels as in `FacsTable.labels`."""

    scores: Floats  # [T,L]
    distribution: Floats  # [T,L] probabilities
    valence: Floats  # [T] -1..1
    arousal: Floats  # [T] -1..1


@dataclass(frozen=True, eq=False)
class EmotionReader:
    """Reads emotions of the action units of a table, and makes faces of emotions."""

    table: FacsTable

    def __call__(self, sides: ArrayLike, speech: ArrayLike = 0.0) -> Affect:
        """Emotions of T frames.

        Args:
            sides: [T,U,2] intensities, from `UnitReader.sides`.
            speech: [T] or a number, 0..1, the speech activity: how much mouth shapes are explained by speech.
        """
        plain = self._unspoken(self._one_sided(np.asarray(sides, np.float64)), speech)
        scores, _ = self._scored(plain * self._weighting)
        logits = self.table.scores.sharpness * (scores - scores.max(1, keepdims=True))
        odds = np.exp(logits)
        valence, arousal = np.clip((plain * self._affect_weighting) @ self.coordinates, -1, 1).T
        return Affect(scores, odds / odds.sum(1, keepdims=True), valence, arousal)

    def contributions(self, weights: ArrayLike, sides: ArrayLike, speech: ArrayLike = 0.0) -> Floats:
        """What each weight adds to the score of each label, [T,L,53]; the last column is the constant.

        The sum over the last axis is the score.

        Args:
            weights: [T,52] from which `sides` were read.
            sides: [T,U,2].
            speech: as for a call.
        """
        units = UnitReader(self.table).attribution(weights)
        evidence = self._unspoken(self._one_sided(np.asarray(sides, np.float64)), speech) * self._weighting
        _, slopes = self._scored(evidence)
        by_unit = (slopes * evidence[:, None, :]) @ np.eye(len(self.table.units))[self._column_units]
        found = np.zeros((len(evidence), len(self.table.labels), units.shape[2] + 1))
        found[..., :-1] = by_unit @ units
        found[:, -2, -1] = self.table.scores.neutral
        return found

    def face(self, name: str, intensity: float = 1.0) -> Floats:
        """Intensities [U,2] of the preset of an emotion, scaled by `intensity` 0..1."""
        if not 0 <= intensity <= 1:
            raise HeadsplatError(f"emotion {name}: expected an intensity from 0 to 1, got {intensity:g}")
        if name == "neutral":
            return np.zeros((len(self.table.units), 2))
        return np.asarray(self.table.emotion(name).faces[0] * intensity)

    def face_of(self, valence: float, arousal: float) -> Floats:
        """Intensities [U,2] of the face at a point of the valence-arousal pad; neutral at (0, 0).

        The faces of the table lie around the origin. Within the triangle of the origin and two neighbors the face is
        their weighted sum, so it changes continuously, and a call reads the same valence and arousal where no
        intensity exceeds 1. Points outside the unit circle are moved onto it.
        """
        point = np.array([valence, arousal], np.float64)
        if not np.isfinite(point).all():
            raise HeadsplatError("valence and arousal: expected numbers from -1 to 1, got NaN or infinity")
        point /= max(1.0, float(np.hypot(*point)))
        faces, places = self._ring
        angle = np.arctan2(point[1], point[0])
        after = int(np.searchsorted(np.arctan2(places[:, 1], places[:, 0]), angle)) % len(places)
        pair = [after - 1, after]
        corners = places[pair].T
        turn = corners[0, 0] * corners[1, 1] - corners[0, 1] * corners[1, 0]
        if len(places) < 2 or turn < 1e-6:  # neighbors half a turn apart or more: no triangle
            parts = np.maximum(point @ corners, 0) / np.maximum((corners**2).sum(0), 1e-9) / 2
        else:
            parts = np.maximum(np.linalg.solve(corners, point), 0)
        return np.asarray(np.clip(np.tensordot(parts, faces[pair], 1), 0, 1))

    @cached_property
    def coordinates(self) -> Floats:
        """Coefficients [V,2] of valence and arousal for the evidence."""
        places = np.array([(face.valence, face.arousal) for face in (*self.table.emotions, *self.table.affect)])
        faces = np.stack([face.faces[0] for face in (*self.table.emotions, *self.table.affect)])
        return np.asarray(np.linalg.pinv(self._one_sided(faces) * self._affect_weighting, rcond=1e-3) @ places)

    def _one_sided(self, sides: Floats) -> Floats:
        """Evidence [T,V] of both sides of each unit, then of one side of the units where that matters."""
        strong = sides.max(2)
        weak = sides.min(2)
        alone = np.maximum(strong - weak - ASYMMETRY * strong, 0) / (1 - ASYMMETRY)
        both = np.where(self._lateral, strong - alone, (strong + weak) / 2)
        return np.concatenate([both, alone[:, self._lateral]], 1)

    def _unspoken(self, plain: Floats, speech: ArrayLike) -> Floats:
        """The evidence [T,V] that speech does not explain: it explains no more than SPOKEN of an intensity."""
        activity = np.clip(np.asarray(speech, np.float64), 0, 1).reshape(-1, 1)
        return np.asarray(plain - activity * self._speech * np.minimum(plain, SPOKEN))

    def _scored(self, evidence: Floats) -> tuple[Floats, Floats]:
        """Scores [T,L], and the slopes [T,L,V] of each score by the evidence."""
        constants = self.table.scores
        rows = np.arange(len(evidence))
        strongest = evidence.argmax(1)
        slopes = np.zeros((len(evidence), len(self.table.labels), evidence.shape[1]))
        by_face = evidence @ self._slopes.T
        for label, faces in enumerate(self._faces_of):
            slopes[:, label] = self._slopes[faces][by_face[:, faces].argmax(1)]
        slopes[rows, -2, strongest] = constants.neutral_slope
        slopes[rows, -1, strongest] = constants.unknown_slope
        scores = np.einsum("tlv,tv->tl", slopes, evidence)
        scores[:, -2] += constants.neutral
        return scores, slopes

    @cached_property
    def _lateral(self) -> NDArray[np.bool_]:
        return np.array([unit.one_sided for unit in self.table.units])

    @cached_property
    def _column_units(self) -> NDArray[np.int64]:
        """[V] the unit of each column of the evidence."""
        return np.concatenate([np.arange(len(self.table.units)), np.flatnonzero(self._lateral)])

    @cached_property
    def _weighting(self) -> Floats:
        return np.array([unit.evidence for unit in self.table.units])[self._column_units]

    @cached_property
    def _affect_weighting(self) -> Floats:
        return np.array([unit.affect for unit in self.table.units])[self._column_units]

    @cached_property
    def _speech(self) -> Floats:
        return np.array([unit.speech for unit in self.table.units])[self._column_units]

    @cached_property
    def _slopes(self) -> Floats:
        """[F,V] slopes of the score of every face of every emotion."""
        faces = np.stack([face for emotion in self.table.emotions for face in emotion.faces])
        full = self._one_sided(faces) * self._weighting
        size = np.maximum((full**2).sum(1, keepdims=True), 1e-9)
        return np.asarray(full / size - self.table.scores.penalty * (full == 0))

    @cached_property
    def _faces_of(self) -> list[slice]:
        """The rows of `_slopes` of each emotion."""
        ends = np.cumsum([len(emotion.faces) for emotion in self.table.emotions]).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    @cached_property
    def _ring(self) -> tuple[Floats, Floats]:
        """Faces [K,U,2] and their places [K,2] on the pad, by angle."""
        anchors = [face for face in (*self.table.emotions, *self.table.affect) if np.hypot(face.valence, face.arousal)]
        if not anchors:
            raise HeadsplatError(
                f"{self.table.where}: every emotion is at valence 0 and arousal 0; give some their own"
            )
        anchors.sort(key=lambda face: float(np.arctan2(face.arousal, face.valence)))
        places = np.array([(face.valence, face.arousal) for face in anchors])
        return np.stack([face.faces[0] for face in anchors]), places


def chosen_labels(distribution: Floats) -> NDArray[np.int64]:
    """The label [T] of each frame: the most probable one, but unknown for an emotion below LEAST_CERTAIN.

    Args:
        distribution: [T,L], of which the last two labels are neutral and unknown.
    """
    best = distribution.argmax(1)
    unsure = (best < distribution.shape[1] - 2) & (distribution.max(1) < LEAST_CERTAIN)
    return np.where(unsure, distribution.shape[1] - 1, best)


def emotion_units(label: str, intensity: float = 1.0, table: FacsTable | None = None) -> Floats:
    """Intensities [U,2] (left, right) of the preset of an emotion, or of "neutral"."""
    return EmotionReader(table or FacsTable.load()).face(label, intensity)


def face_of(valence: float, arousal: float, table: FacsTable | None = None) -> Floats:
    """Intensities [U,2] of the face at a point of the valence-arousal pad."""
    return EmotionReader(table or FacsTable.load()).face_of(valence, arousal)
