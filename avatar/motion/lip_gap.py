"""The gap between the lips in meters as a linear function of a head's expression weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.motion.correspondence import LANDMARKS, neutral_landmarks

#: Landmarks of the inner edges of the upper and the lower lip, three pairs around the center
PAIRS = ((13, 82, 312), (14, 87, 317))


@dataclass(frozen=True, eq=False)
class LipGap:
    """Gap between the inner edges of the lips at their center: 0 where they meet, negative where they are pressed."""

    at_rest: Tensor  # [] meters at zero weights
    opening: Tensor  # [E] meters that a weight of 1 adds; 0 for principal components

    @staticmethod
    def of(head: HeadModel) -> LipGap | None:
        """Compute it from the landmarks of `head`; None for a head without landmarks."""
        if len(head.landmark_faces) != LANDMARKS:
            return None
        upper, lower = (list(edge) for edge in PAIRS)
        points = neutral_landmarks(head)[:, 1]
        corners = head.faces[head.landmark_faces[upper + lower]]
        moved = head.expression_motion(corners.flatten())[:, 1].unflatten(0, corners.shape)
        edges = torch.einsum("lk,lke->le", head.landmark_bary[upper + lower].double(), moved.double())
        opening = (edges[: len(upper)] - edges[len(upper) :]).mean(0)
        opening[[is_mode(name) for name in head.expression_names]] = 0
        like = head.v_template
        return LipGap(like.new_tensor((points[upper] - points[lower]).mean()), opening.to(like))

    def __call__(self, weights: Tensor) -> Tensor:
        """The gap [...] in meters for weights [...,E] of the head's expressions."""
        return self.at_rest + weights @ self.opening
