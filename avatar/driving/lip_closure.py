"""Lips of an avatar that meet when those of the driving source do: by its neutral expression, and by mouthClose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.motion.lip_gap import LipGap

#: The quantile of the lip gap over a recording that counts as a closed mouth.
CLOSED_QUANTILE = 0.05
#: Gaps of the motion in meters up to which the avatar has the same gap, and from which on its own is not changed: lips
#: that touch, or the lower lip that touches the teeth.
TOUCHING = 0.0026
APART = 0.0045


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
        closed_gap = float((self.gap + expression @ self.opening).quantile(CLOSED_QUANTILE))
        openers = neutral * self.opening > 0
        open_gap = float((neutral * self.opening)[openers].sum())
        scale = min(max(1 - closed_gap / open_gap, 0.0), 1.0) if open_gap > 0 else 1.0
        return torch.where(openers, scale * neutral, neutral)


@dataclass(frozen=True, eq=False)
class LipContact:
    """Corrects the weights of an avatar so that its lips touch where those of the driving motion do."""

    source: LipGap  # of the head that the motion was made for
    columns: Tensor  # [E] int, columns of `source` for the motion's names
    target: LipGap  # of the avatar's head
    close: int  # column of mouthClose of the avatar's head

    @staticmethod
    def of(names: tuple[str, ...], source: HeadModel, head: HeadModel) -> LipContact | None:
        """For a motion of `names` of the head `source`; None where a head has no landmarks or no mouthClose."""
        gap = LipGap.of(source)
        own = LipGap.of(head)
        if gap is None or own is None or "mouthClose" not in head.expression_names:
            return None
        if not set(names) <= set(source.expression_names):
            return None
        columns = torch.tensor([source.expression_index(name) for name in names])
        return LipContact(gap, columns, own, head.expression_index("mouthClose"))

    def gap(self, weights: Tensor) -> Tensor:
        """The lip gap [T] in meters of the motion's `weights` [T,E]."""
        return self.source.at_rest + weights.to(self.source.opening) @ self.source.opening[self.columns]

    def __call__(self, weights: Tensor, expression: Tensor) -> Tensor:
        """The avatar's weights with mouthClose such that its lip gap is that of the motion where the lips touch.

        Args:
            weights: [T,E] of the motion.
            expression: [T,F] of the avatar.

        Returns:
            [T,F]; only mouthClose differs, and only near contacts.
        """
        wanted = self.gap(weights).to(expression)
        effect = -self.target.opening[self.close]
        if effect <= 0:
            return expression
        part = ((APART - wanted) / (APART - TOUCHING)).clamp(0, 1)
        excess = self.target(expression) - wanted
        expression = expression.clone()
        close = expression[:, self.close] + part * part * (3 - 2 * part) * excess / effect
        expression[:, self.close] = close.clamp(0, 1)
        return expression
