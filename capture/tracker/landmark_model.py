"""The head model reduced to its 478 landmarks: identity, expression and jaw rotation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.head.model import HeadModel
from avatar.types import LEFT_EYE, RIGHT_EYE
from capture.tracker.indices import FACE_COUNT, LEFT_IRIS, RIGHT_IRIS
from capture.tracker.jaw import Jaw

#: Expressions that no landmark measures: the eye joints represent gaze, and the tongue is not visible. eyeBlink
#: represents the lids where the head has it.
_UNTRACKED_PREFIXES = ("eyeLook", "tongueOut")
#: Expressions hardly visible from the front, and the factor of their prior: without it they compensate errors of the
#: person's profile or of the head's pitch.
_PRIOR_FACTORS = {"jawForward": 6.0}
#: Expressions that move the same points in opposite directions; the weight of one penalizes the other.
EXCLUSIVE_PAIRS = (
    ("eyeBlinkLeft", "eyeWideLeft"),
    ("eyeBlinkRight", "eyeWideRight"),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
    ("mouthSmileLeft", "mouthFrownLeft"),
    ("mouthSmileRight", "mouthFrownRight"),
    ("browDownLeft", "browOuterUpLeft"),
    ("browDownRight", "browOuterUpRight"),
    ("mouthPucker", "mouthStretchLeft"),
    ("mouthPucker", "mouthStretchRight"),
    ("mouthFunnel", "mouthRollLower"),
    ("mouthFunnel", "mouthRollUpper"),
    ("jawForward", "mouthRollLower"),
)


@dataclass(frozen=True)
class LandmarkModel:
    """Landmarks in the skull frame: `base + identity_basis @ s + expression_basis @ e`, then jaw rotation; meters."""

    base: np.ndarray  # [468,3]
    identity_basis: np.ndarray  # [1404,S]
    expression_basis: np.ndarray  # [1404,E] of the tracked expressions
    names: tuple[str, ...]  # [E] tracked expressions
    columns: np.ndarray  # [E] int, their columns in the head model's expressions
    limits: np.ndarray  # [2,E] minimum and maximum weight
    cost: np.ndarray  # [E] factor of the prior on the weight
    exclusive: np.ndarray  # [P,2] int, pairs of tracked expressions
    eye_centers: np.ndarray  # [2,3] left, right
    eye_basis: np.ndarray  # [6,S]
    iris: np.ndarray  # [2,3] rest position of the iris centers, left, right
    iris_basis: np.ndarray  # [6,S]
    jaw: Jaw

    @staticmethod
    def from_head(head: HeadModel) -> LandmarkModel:
        """Project the head's bases onto its landmark embedding (float64)."""
        faces = head.faces[head.landmark_faces].numpy()
        bary = head.landmark_bary.numpy().astype(np.float64)

        def embed(field: np.ndarray) -> np.ndarray:
            return np.einsum("lk,lkcn->lcn", bary, field[faces].astype(np.float64))

        template = embed(head.v_template.numpy()[..., None])[..., 0]
        shapes = embed(head.shapedirs.numpy())
        tracked = _tracked_columns(head.expression_names)
        names = tuple(head.expression_names[i] for i in tracked)
        exprs = embed(head.exprdirs.numpy()[..., tracked])[:FACE_COUNT]
        pairs = [(names.index(a), names.index(b)) for a, b in EXCLUSIVE_PAIRS if a in names and b in names]
        joints = head.J_regressor.numpy().astype(np.float64)[[LEFT_EYE, RIGHT_EYE]]
        irises = [LEFT_IRIS, RIGHT_IRIS]
        eye_shapes = np.einsum("jv,vcs->jcs", joints, head.shapedirs.numpy().astype(np.float64))
        return LandmarkModel(
            base=template[:FACE_COUNT],
            identity_basis=shapes[:FACE_COUNT].reshape(3 * FACE_COUNT, -1),
            expression_basis=np.ascontiguousarray(exprs.reshape(3 * FACE_COUNT, -1)),
            names=names,
            columns=np.array(tracked, dtype=np.int64),
            limits=head.expression_limits.numpy().astype(np.float64)[:, tracked],
            cost=np.array([_PRIOR_FACTORS.get(name, 1.0) for name in names]),
            exclusive=np.array(pairs, dtype=np.int64).reshape(-1, 2),
            eye_centers=joints @ head.v_template.numpy().astype(np.float64),
            eye_basis=eye_shapes.reshape(6, -1),
            iris=template[irises],
            iris_basis=shapes[irises].reshape(6, -1),
            jaw=Jaw.from_head(head, embed, tracked),
        )

    @property
    def identity_size(self) -> int:
        """Number of identity coefficients S."""
        return self.identity_basis.shape[1]

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """Neutral landmarks [468,3] of the person with coefficients `identity` [S]."""
        return self.base + (self.identity_basis @ identity).reshape(-1, 3)

    def posed_landmarks(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Landmarks [468,3] in the skull's frame for `identity` [S] and tracked expressions [E]."""
        rest = self.neutral(identity) + (self.expression_basis @ expression).reshape(-1, 3)
        return self.jaw.pose(rest, self.jaw.hinge(identity), expression).points

    def eyes(self, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotation centers [2,3] of the left and right eye and their iris centers [2,3] when looking straight ahead."""
        centers = self.eye_centers + (self.eye_basis @ identity).reshape(2, 3)
        return centers, self.iris + (self.iris_basis @ identity).reshape(2, 3)


def _tracked_columns(names: tuple[str, ...]) -> list[int]:
    untracked = _UNTRACKED_PREFIXES + (("eyelid",) if "eyeBlinkLeft" in names else ())
    return [column for column, name in enumerate(names) if not name.startswith(untracked)]
