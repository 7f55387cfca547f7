"""The opening of an avatar's mouth in millimeters, measured on its own posed mesh and set there.

The gap that a motion asks for is that of another head: mouths differ in size, the resting face of the avatar opens or
closes its lips, and the soft clamp reduces wide openings. So the weights are fitted after all of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.motion.correspondence import LANDMARKS
from avatar.motion.lip_gap import PAIRS, LipGap
from avatar.types import HeadParams

#: Millimeters: a mouth that never opens further is closed.
CLOSED = 0.5
#: Weights of the widest mouth: the jaw opens it, the lips follow.
_WIDEST = {
    "jawOpen": 1.0, "mouthLowerDownLeft": 0.6, "mouthLowerDownRight": 0.6, "mouthUpperUpLeft": 0.4,
    "mouthUpperUpRight": 0.4,
}  # fmt: skip
_CLOSER = "mouthClose"
_STEPS = 24  # of the bisection: to a millionth of the way


@dataclass(frozen=True, eq=False)
class LipMeter:
    """Measures the gap between the lips of a posed head."""

    head: HeadModel
    corners: Tensor  # [K,3] int64 vertices, those of the upper lip before those of the lower
    bary: Tensor  # [K,3]
    rows: Tensor  # [R] int64, the vertices that are needed
    places: Tensor  # [K,3] int64, the corners in `rows`

    @staticmethod
    def of(head: HeadModel) -> LipMeter | None:
        """None for a head without landmarks."""
        if len(head.landmark_faces) != LANDMARKS:
            return None
        points = [*PAIRS[0], *PAIRS[1]]
        corners = head.faces[head.landmark_faces[points]]
        rows, places = torch.unique(corners, return_inverse=True)
        return LipMeter(head, corners, head.landmark_bary[points], rows, places)

    def __call__(self, params: HeadParams) -> Tensor:
        """The gap [T] in meters at the center of the lips, upward in the axes of the skull; negative where pressed."""
        height = self.edges(params)[..., 1]
        count = len(PAIRS[0])
        return (height[:, :count] - height[:, count:]).mean(1)

    def edges(self, params: HeadParams) -> Tensor:
        """The K points [T,K,3] of the edges, meters, skull frame."""
        vertices = self.head.skull_vertices(params, self.rows)
        return (vertices[:, self.places] * self.bary.to(vertices)[..., None]).sum(2)


@torch.no_grad()
def peak_opening(head: HeadModel, params: HeadParams) -> int:
    """The frame of `params` [T] in which the mouth of `head` opens furthest.

    Raises:
        HeadsplatError: the head has no landmarks or none of the expressions, or the mouth never opens.
    """
    meter = LipMeter.of(head)
    if meter is None or not set(_WIDEST) <= set(head.expression_names):
        raise HeadsplatError(
            f"--mouth-mm: the head {head.name} has no ARKit expressions that open the mouth; leave it out"
        )
    before = meter(params)
    peak = int(before.argmax())
    widest = 1000 * float(before[peak])
    if widest < CLOSED:
        raise HeadsplatError(
            f"--mouth-mm: the mouth opens by at most {max(widest, 0):.1f} mm in this motion, which cannot be scaled; "
            "leave it out, or give a motion that opens the mouth"
        )
    return peak


@torch.no_grad()
def with_peak_opening(head: HeadModel, params: HeadParams, millimeters: float) -> tuple[HeadParams, float]:
    """Frames whose mouth opens by `millimeters` at most, all openings scaled alike.

    What opens the lips is scaled down, or moved towards a wide mouth; what a closed jaw leaves open, mouthClose closes.
    Closed mouths stay as they are.

    Args:
        head: of the avatar, with its identity baked.
        params: [T].
        millimeters: of the widest opening.

    Returns:
        The frames, and their widest opening in millimeters: less than asked for where the head cannot open further.

    Raises:
        HeadsplatError: the head has no landmarks or none of the expressions, or the mouth never opens.
    """
    meter = LipMeter.of(head)
    peak = peak_opening(head, params)
    assert meter is not None  # or the line above had refused the head
    before = meter(params)
    widest = 1000 * float(before[peak])
    wanted = before * (millimeters / widest)
    way = Way.of(head, params.expression)
    low = torch.full_like(before, -1.0)
    high = torch.full_like(before, 2.0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        wider = meter(replace(params, expression=way.at(middle))) < wanted
        low = torch.where(wider, middle, low)
        high = torch.where(wider, high, middle)
    open_frames = before > 0
    fitted = torch.where(open_frames[:, None], way.at((low + high) / 2), params.expression)
    found = replace(params, expression=fitted)
    return found, 1000 * float(meter(found).max())


@dataclass(frozen=True, eq=False)
class Way:
    """Weights from a closed mouth at -1 over the given ones at 1 to a wide one at 2."""

    expression: Tensor  # [T,E]
    shut: Tensor  # [T,E] at 0: nothing opens the lips
    closed: Tensor  # [T,E] at -1: and mouthClose is 1
    wide: Tensor  # [T,E]

    @staticmethod
    def of(head: HeadModel, expression: Tensor) -> Way:
        """Of a head with landmarks."""
        gap = LipGap.of(head)
        assert gap is not None
        shut = torch.where((gap.opening > 0) & (expression > 0), 0.0, expression)
        closed = shut.clone()
        if _CLOSER in head.expression_names:
            closed[:, head.expression_index(_CLOSER)] = 1.0
        wide = expression.clone()
        for name, weight in _WIDEST.items():
            column = head.expression_index(name)
            wide[:, column] = wide[:, column].clamp_min(weight)
        if _CLOSER in head.expression_names:
            wide[:, head.expression_index(_CLOSER)] = 0.0
        return Way(expression, shut, closed, wide)

    def at(self, place: Tensor) -> Tensor:
        """Weights [T,E] at places [T], -1..2."""
        found = self.closed + (place[:, None] + 1).clamp(0, 1) * (self.shut - self.closed)
        found = found + place[:, None].clamp(0, 1) * (self.expression - self.shut)
        return found + (place[:, None] - 1).clamp(0, 1) * (self.wide - self.expression)
