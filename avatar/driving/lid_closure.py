"""Eyelid closure: blink and squint weights limited so that the lids meet and do not cross."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.motion.correspondence import LANDMARKS, closures, landmark_columns, neutral_landmarks

#: Openings below this fraction of the neutral opening are soft-clamped.
SOFT = 0.08
_CLOSERS = ("eyeBlink", "eyelid", "eyeSquint")
#: Weights of eyeBlink from which on, and at which, the lids meet whatever other expressions open: at rest an avatar may
#: have a weight of eyeWide, and eyes larger than those of the mean person, which a weight of 1 does not close.
CLOSING = 0.5
CLOSED = 1.0
#: Opening, as a fraction of the neutral one, at a weight of CLOSED: the rims of the lids overlap.
OVERLAP = -0.05


@dataclass(frozen=True, eq=False)
class LidClosure:
    """Effect of the expressions on the eye openings of one head.

    Squint, gaze and brows also lower the upper lid, and trackers report closed eyes as 0.7 or as 1. Added to a full
    blink, these weights would move the upper lid through the lower one.
    """

    closing: Tensor  # [2,E] right and left: fraction of the neutral opening that a weight of 1 closes
    closers: Tensor  # [2,E] bool, expressions that may be reduced
    blinks: Tensor  # [2] column of the blink, -1 without one
    extra: Tensor  # [2] column of the expression that closes what the blink leaves open

    @staticmethod
    def of(head: HeadModel) -> LidClosure | None:
        """Compute it from the landmarks of `head`; None for a head without landmarks."""
        if len(head.landmark_faces) != LANDMARKS:
            return None
        closing = closures(neutral_landmarks(head), landmark_columns(head, head.exprdirs))
        found = torch.from_numpy(closing).to(head.v_template)
        named = torch.tensor([name.startswith(_CLOSERS) for name in head.expression_names], device=found.device)
        names = head.expression_names

        def columns(name: str) -> list[int]:
            return [names.index(name + side) if name + side in names else -1 for side in ("Right", "Left")]

        blinks = torch.tensor(columns("eyeBlink"), device=found.device)
        lids = torch.tensor(columns("eyelid"), device=found.device)
        return LidClosure(found, named & (found > 0.05), blinks, torch.where(lids < 0, blinks, lids))

    @cached_property
    def _closer_effect(self) -> Tensor:
        """`closing` [2,E] of the closers, 0 elsewhere."""
        return self.closing * self.closers

    @cached_property
    def _extra_effect(self) -> Tensor:
        """[2] fraction of the neutral opening that a weight 1 of `extra` closes."""
        return self.closing.gather(1, self.extra[:, None])[:, 0].clamp_min(0.1)

    def __call__(self, expression: Tensor) -> Tensor:
        """Limit blinks and squints to the weights at which the lids meet, and make full blinks meet.

        Weights of open eyes do not change.

        Args:
            expression: [T,E] weights.

        Returns:
            [T,E].
        """
        start = expression
        for closing, closers, effect in zip(self.closing, self.closers, self._closer_effect, strict=True):
            opening = 1 - expression @ closing
            near = (opening + SOFT).clamp(0, 2 * SOFT)
            target = torch.where(opening > SOFT, opening, near * near / (4 * SOFT))
            closed = (expression * effect).clamp_min(0).sum(1)
            scale = (1 - (target - opening) / closed.clamp_min(1e-6)).clamp(0, 1)
            expression = torch.where(closers, expression * scale[:, None], expression)
        return expression if self.blinks.amin() < 0 else self._close(expression, start)

    def _close(self, expression: Tensor, start: Tensor) -> Tensor:
        """`expression` [T,E] whose lids meet where the blinks of `start` [T,E] are full."""
        t = ((start[:, self.blinks] - CLOSING) / (CLOSED - CLOSING)).clamp_(0, 1)
        gap = (1 - OVERLAP - expression @ self.closing.T).clamp_min_(0)
        extra = t * t * (3 - 2 * t) * gap / self._extra_effect
        return expression.index_add(1, self.extra, extra)
