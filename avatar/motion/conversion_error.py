"""Error of expressions after conversion to another head and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from avatar.head.model import HeadModel

from .bridge import Bridge


@dataclass(frozen=True)
class RoundTripError:
    """One expression of A at weight 1 after conversion to B and back."""

    name: str
    weight: float  # its weight afterwards
    stray: float  # the largest absolute weight of any other expression
    error: float  # landmark error relative to the expression's landmark motion


def round_trip(there: Bridge, back: Bridge, head: HeadModel) -> list[RoundTripError]:
    """Convert each expression of head A by `there` and `back`.

    Args:
        there: from A to B.
        back: from B to A.
        head: A, to measure the landmark error.

    Returns:
        One row per expression of A.
    """
    count = len(there.names_a)
    original = torch.eye(count)
    neutral = head.neutral_params(count)
    found, rotations = back(*there(original, neutral.joint_rot))
    expected = head.landmarks(head.vertices(replace(neutral, expression=original)))
    actual = head.landmarks(head.vertices(replace(neutral, expression=found, joint_rot=rotations)))
    rest = head.landmarks(head.v_template[None])
    moved = (expected - rest).square().sum((1, 2)).sqrt()
    error = (actual - expected).square().sum((1, 2)).sqrt() / moved.clamp(min=1e-9)
    stray = (found - original).fill_diagonal_(0).abs().amax(1)
    rows = zip(there.names_a, found.diagonal().tolist(), stray.tolist(), error.tolist(), strict=True)
    return [RoundTripError(*row) for row in rows]
