"""The gap between the lips in meters as a linear function of a head's expression weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel, is_mode
from avatar.motion.correspondence import LANDMARKS, landmark_columns, neutral_landmarks

#: landmarks of the inner edges of the upper and the lower lip, three pairs around the center
_PAIRS = ((13, 82, 312), (14, 87, 317))


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
        upper, lower = (list(edge) for edge in _PAIRS)
        fields = landmark_columns(head, head.expression_motion())[:, 1]
        points = neutral_landmarks(head)[:, 1]
        named = [not is_mode(name) for name in head.expression_names]
        opening = (fields[upper] - fields[lower]).mean(0) * named
        like = head.v_template
        return LipGap(like.new_tensor((points[upper] - points[lower]).mean()), torch.from_numpy(opening).to(like))

    def __call__(self, weights: Tensor) -> Tensor:
        """The gap [...] in meters for weights [...,E] of the head's expressions."""
        return self.at_rest + weights @ self.opening
