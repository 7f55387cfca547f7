"""Lip closure: a neutral expression in which the avatar's lips meet when those of the driving source do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.motion.lip_gap import LipGap

#: The quantile of the lip gap over a recording that counts as a closed mouth.
_CLOSED_QUANTILE = 0.05


@dataclass(frozen=True, eq=False)
class LipClosure:
    """Corrects a neutral expression by the effect of the expressions on the lip gap of one head."""

    gap: Tensor  # [] meters at zero weights
    opening: Tensor  # [E] meters that a weight of 1 adds

    @staticmethod
    def of(head: HeadModel) -> LipClosure | None:
        """Compute it from the landmarks of `head`; None for a head without landmarks."""
        gap = LipGap.of(head)
        return None if gap is None else LipClosure(gap.at_rest, gap.opening)

    def close(self, neutral: Tensor, expression: Tensor) -> Tensor:
        """Scale down the lip-opening weights of a neutral expression until the lips meet where a recording closes them.

        A tracker measures a low value for every expression of a neutral face. Together these may open lips that the
        person keeps closed. Opening weights are only scaled down, at most to zero.

        Args:
            neutral: [E] weights of the neutral expression.
            expression: [T,E] weights of the recording with `neutral` applied.

        Returns:
            [E].
        """
        closed_gap = float((self.gap + expression @ self.opening).quantile(_CLOSED_QUANTILE))
        openers = neutral * self.opening > 0
        open_gap = float((neutral * self.opening)[openers].sum())
        scale = min(max(1 - closed_gap / open_gap, 0.0), 1.0) if open_gap > 0 else 1.0
        return torch.where(openers, scale * neutral, neutral)
