"""What Gaussians around an eye learn from: expressions of that eye and its brow, whatever the rest of the face does.

A clip that shows few closed eyes shows each of them with one expression of the mouth. Blendshapes depend on the
expression of the whole face, so they would learn closed lids for those faces alone. In most steps of a training on such
a clip, the Gaussians around an eye therefore have the blendshape weights of features that, beyond that eye and its
brow, are those of a random other frame. The more closed eyes a clip shows, the fewer steps are so: faces on which
closed lids do depend are then known.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.training.closures import ENOUGH, FEWEST, closed_eyes
from avatar.training.memo import Memo
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

#: Region of the Gaussians around an eye, end of the names of its expressions, and joint.
EYES: tuple[tuple[Region, str, int], ...] = (
    ("left_eye_region", "Left", LEFT_EYE),
    ("right_eye_region", "Right", RIGHT_EYE),
)
STARTS = ("eye", "brow", "cheekSquint")
MIDDLE = ("browInnerUp",)


class LidFeatures:
    """The features of both eyes of one head."""

    @staticmethod
    def of(head: HeadModel, features: Tensor, seed: int) -> LidFeatures | None:
        """None where fewer than FEWEST frames have closed eyes, and where ENOUGH have.

        Args:
            head: the baked head.
            features: [T,F] of all frames.
            seed: of the random frames.
        """
        closed = int(closed_eyes(features, head.expression_names).sum())
        share = 1 - closed / (ENOUGH * max(len(features), 1))
        return LidFeatures(head, features.shape[1], seed, share) if closed >= FEWEST and share > 0 else None

    def __init__(self, head: HeadModel, features: int, seed: int, share: float = 1.0) -> None:
        """
        Args:
            head: the baked head.
            features: number of features F.
            seed: of the random frames.
            share: 0..1 of the steps in which features are those of another frame.
        """
        names = head.expression_names
        kept = torch.zeros(len(EYES), features, dtype=torch.bool)
        for row, (_, side, joint) in zip(kept, EYES, strict=True):
            ends = (side, *MIDDLE)
            row[: len(names)] = torch.tensor([name.startswith(STARTS) and name.endswith(ends) for name in names])
            # The rotations of the jaw and of both eyes follow the expressions.
            first = len(names) + 3 * (joint - JAW)
            row[first : first + 3] = True
        self.kept = kept  # [2,F] bool, features of the eye itself
        self._around = torch.stack([head.mask(region) for region, _, _ in EYES])  # [2,V] bool
        self._seed = seed
        self._share = share
        self._rows: Memo[list[Tensor]] = Memo()

    def to(self, device: torch.device) -> None:
        """Move to the device of the avatar."""
        self.kept = self.kept.to(device)
        self._around = self._around.to(device)

    def rows(self, triangles: Tensor, count: int) -> list[Tensor]:
        """The Gaussians [n] int around each eye among the first `count`, by the vertices [N,3] of all triangles."""

        def found() -> list[Tensor]:
            left, right = self._around[:, triangles[:count]].any(2)
            return [mask.nonzero()[:, 0] for mask in (left, right & ~left)]

        return self._rows(found, triangles)

    def draw(self, count: int, rows: Tensor, number: int) -> Tensor:
        """The frames [2,B] int, of `count`, whose features the eyes have in the time steps `rows` [B] of a step."""
        return torch.tensor([self._frames(count, number, step) for step in rows.tolist()]).T.contiguous()

    def mixed(self, features: Tensor, rows: Tensor, number: int, drawn: Tensor | None = None) -> Tensor:
        """Features [2,B,F] for the Gaussians around both eyes in the time steps `rows` [B].

        Args:
            features: [S,F] of all time steps.
            rows: [B] int.
            number: of the step of training, which with the seed and the time step determines the random frames.
            drawn: these frames, from `draw`, where `features` are; None: they are drawn here.
        """
        others = self.draw(len(features), rows, number).to(features.device) if drawn is None else drawn
        return torch.where(self.kept[:, None], features[rows], features[others])

    def _frames(self, count: int, number: int, step: int) -> list[int]:
        """The frames, of `count`, that give a time step the other features of its left and of its right eye."""
        rng = np.random.default_rng((self._seed, number, step))
        other = [int(frame) for frame in rng.integers(count, size=len(EYES))]
        return [frame if rng.random() < self._share else step for frame in other]
