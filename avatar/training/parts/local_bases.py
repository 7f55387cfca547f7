"""Local bases: each part of the face has bases of its own, which depend on the expressions of that part only.

A raised brow then cannot change the mouth, however the two were combined in the training video (parts times few bases,
as in pruned local blendshapes for bodies). The result is an ordinary reduced basis with zeros outside of each part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.training.config import TrainConfig
from avatar.training.parts.part import PartTraining, Training

#: The parts of the face: starts of the names of their expressions, joints (rows of the features after the expressions,
#: by three), and share of the bases.
PARTS: dict[str, tuple[tuple[str, ...], tuple[int, ...], float]] = {
    "brows": (("brow",), (), 0.2),
    "eyes": (("eye", "cheekSquint"), (1, 2), 0.3),
    "mouth": (("jaw", "mouth", "cheekPuff", "noseSneer", "tongue"), (0,), 0.5),
}
MIN_BASES = len(PARTS)


class LocalBasesTraining(PartTraining):
    """Keeps every basis within its part of the face."""

    key = "local"

    @classmethod
    def build(cls, avatar: Avatar, frames: TrainingFrames, config: TrainConfig) -> None:
        """Cut the initial weights off from features of other parts."""
        if config.mode == "local":
            keep_local(avatar.blendshapes)

    @classmethod
    def of(cls, training: Training) -> LocalBasesTraining | None:
        """None for bases of the whole face."""
        return cls(training) if training.config.mode == "local" else None

    def limit(self) -> None:
        """See `keep_local`."""
        keep_local(self.training.avatar.blendshapes)

    def finish(self) -> None:
        """See `keep_local`."""
        keep_local(self.training.avatar.blendshapes)


@dataclass(frozen=True)
class FacePart:
    """One part of the face."""

    features: Tensor  # [n] int, indices of its blendshape features
    bases: int


def face_parts(expression_names: tuple[str, ...], bases: int) -> list[FacePart]:
    """The parts of a face whose expressions have ARKit's names, in the order of PARTS.

    Args:
        expression_names: [E] of the head.
        bases: K, divided among the parts; each has one at least.

    Raises:
        HeadsplatError: too few bases, or expressions without names by which to divide them.
    """
    if bases < MIN_BASES:
        raise HeadsplatError(f"bases: local blendshapes need {MIN_BASES} or more, one for each part; got {bases}")
    parts = []
    count = len(expression_names)
    for names, joints, share in PARTS.values():
        chosen = [index for index, name in enumerate(expression_names) if name.startswith(names)]
        if not chosen:
            raise HeadsplatError(
                f"mode: local blendshapes need expressions with ARKit's names, such as {names[0]}...; this head has "
                f"{', '.join(expression_names[:3])} and others: use --mode reduced"
            )
        chosen += [count + 3 * joint + axis for joint in joints for axis in range(3)]
        parts.append(FacePart(torch.tensor(chosen), max(1, round(share * bases))))
    last = parts.pop()
    return [*parts, FacePart(last.features, bases - sum(part.bases for part in parts))]


def local_mask(parts: list[FacePart], motion: Tensor) -> Tensor:
    """Mask [K,M]: 1 where a basis may act on a Gaussian, 0 elsewhere.

    Args:
        parts: of the face.
        motion: [F,M] 0..1, how far each feature moves the mesh at each Gaussian, relative to its largest motion.
    """
    rows = [(motion[part.features].amax(0) > 0).float().expand(part.bases, -1) for part in parts]
    return torch.cat(rows).contiguous()


@torch.no_grad()
def keep_local(blendshapes: Blendshapes) -> None:
    """Set what training has moved outside of the parts back to zero, in place.

    Args:
        blendshapes: reduced ones with the mask of `local_mask`; others stay as they are.
    """
    mask = blendshapes.mask
    if blendshapes.mode != "reduced" or not bool((mask == 0).any()):
        return
    inside = (blendshapes.components != 0).float()
    same = inside.T @ inside > 0  # bases that share features
    blendshapes.mix.mul_(same)
    for basis, row in zip(blendshapes.basis, mask, strict=True):
        basis.index_fill_(0, (row == 0).nonzero()[:, 0], 0.0)
