"""Lids that meet and go no further."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.motion.correspondence import LANDMARKS, closures, landmark_columns, neutral_landmarks

#: Share of an eye's opening over which lids that come together slow down.
_SOFT = 0.08
_CLOSERS = ("eyeBlink", "eyelid", "eyeSquint")


@dataclass(frozen=True, eq=False)
class Lids:
    """How expressions close the eyes of one head.

    Squint, gaze and brows lower lids too, and people are tracked with closed eyes at 0.7 or at 1: added to a full blink
    all that drives the upper lid through the lower one.
    """

    closing: Tensor  # [2,E] right and left: the part of the opening that a weight of 1 closes
    closers: Tensor  # [2,E] bool, what may be held back

    @staticmethod
    def of(head: HeadModel) -> Lids | None:
        """Read off a head with landmarks; None without."""
        if len(head.landmark_faces) != LANDMARKS:
            return None
        closing = closures(neutral_landmarks(head), landmark_columns(head, head.exprdirs))
        found = torch.from_numpy(closing).to(head.v_template)
        named = torch.tensor([name.startswith(_CLOSERS) for name in head.expression_names], device=found.device)
        return Lids(found, named & (found > 0.05))

    @cached_property
    def _held(self) -> Tensor:
        """`closing` [2,E] of the closers alone."""
        return self.closing * self.closers

    def __call__(self, expression: Tensor) -> Tensor:
        """Expression weights [T,E] with blinks and squints held where the lids meet; open eyes keep theirs."""
        for closing, closers, held in zip(self.closing, self.closers, self._held, strict=True):
            opening = 1 - expression @ closing
            near = (opening + _SOFT).clamp(0, 2 * _SOFT)
            wanted = torch.where(opening > _SOFT, opening, near * near / (4 * _SOFT))
            shutting = (expression * held).clamp_min(0).sum(1)
            share = (1 - (wanted - opening) / shutting.clamp_min(1e-6)).clamp(0, 1)
            expression = torch.where(closers, expression * share[:, None], expression)
        return expression
