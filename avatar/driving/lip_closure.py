"""Lips that come together when the driver's do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel, is_mode
from avatar.motion.correspondence import LANDMARKS, landmark_columns, neutral_landmarks

#: inner edges of the upper and the lower lip, three pairs around the middle
_PAIRS = ((13, 82, 312), (14, 87, 317))
#: The gap that this share of a take stays below counts as the driver's closed mouth.
_CLOSED = 0.05


@dataclass(frozen=True, eq=False)
class Lips:
    """How expressions part the lips of one head, as far as a straight line says it."""

    gap: Tensor  # [] meters at zero weights
    opening: Tensor  # [E] meters that a weight of 1 adds

    @staticmethod
    def of(head: HeadModel) -> Lips | None:
        """Read off a head with landmarks; None without."""
        if len(head.landmark_faces) != LANDMARKS:
            return None
        upper, lower = (list(edge) for edge in _PAIRS)
        fields = landmark_columns(head, head.expression_motion())[:, 1]
        points = neutral_landmarks(head)[:, 1]
        named = [not is_mode(name) for name in head.expression_names]
        opening = (fields[upper] - fields[lower]).mean(0) * named
        like = head.v_template
        return Lips(like.new_tensor((points[upper] - points[lower]).mean()), torch.from_numpy(opening).to(like))

    def closing(self, neutral: Tensor, meant: Tensor) -> Tensor:
        """`neutral` [E] with less of what parts the lips, so that they meet where a take of weights `meant` shuts them.

        What a tracker reads off a resting face is a low value of every expression by itself: together they may part
        lips that the person never parts at rest. Openers are scaled, down to nothing; they are never made stronger.
        """
        shut = float((self.gap + meant @ self.opening).quantile(_CLOSED))
        openers = neutral * self.opening > 0
        parted = float((neutral * self.opening)[openers].sum())
        share = min(max(1 - shut / parted, 0.0), 1.0) if parted > 0 else 1.0
        return torch.where(openers, share * neutral, neutral)
