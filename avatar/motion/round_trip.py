"""How well expressions survive the way to another head and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from avatar.head.model import HeadModel

from .bridge import Bridge


@dataclass(frozen=True)
class Return:
    """One expression of A at weight 1, after the way to B and back."""

    name: str
    weight: float  # its own weight on return
    stray: float  # the largest weight, in size, of any other expression
    error: float  # how far the face is from where it was, as a share of the expression's own motion


def round_trip(there: Bridge, back: Bridge, head: HeadModel) -> list[Return]:
    """Send each expression of head A through `there` and `back`.

    Args:
        there: from A to B.
        back: from B to A.
        head: A itself, to see how far its face ends up from where it was.
    """
    count = len(there.names_a)
    sent = torch.eye(count)
    still = head.neutral_params(count).joint_rot
    found, turned = back(*there(sent, still))
    neutral = head.neutral_params(count)
    meant = head.landmarks(head.vertices(replace(neutral, expression=sent)))
    seen = head.landmarks(head.vertices(replace(neutral, expression=found, joint_rot=turned)))
    rest = head.landmarks(head.v_template[None])
    moved = (meant - rest).square().sum((1, 2)).sqrt()
    error = (seen - meant).square().sum((1, 2)).sqrt() / moved.clamp(min=1e-9)
    stray = (found - sent).fill_diagonal_(0).abs().amax(1)
    own = found.diagonal()
    return [
        Return(name, float(own[row]), float(stray[row]), float(error[row])) for row, name in enumerate(there.names_a)
    ]
