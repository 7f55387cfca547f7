"""How far an avatar can be driven: what training saw, and some room beyond it.

Splats follow their triangles anywhere, but they were only ever fitted within what the training frames showed: an open
jaw that training never saw uncovers a mouth nobody drew. Inside the trained range nothing changes; beyond it a motion
slows down smoothly and never gets farther than the room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from avatar.blendshapes import Blendshapes
from avatar.driving.lids import Lids
from avatar.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.model import HeadModel, is_mode
from avatar.model import Avatar
from avatar.records import JAW, ROOT, HeadParams
from avatar.rig import TRAVEL_UNIT

#: Weight beyond the trained range that an expression may still get to, by the start of its name; the first that fits.
#: Chosen by eye on avatars of real clips: where the lips, the teeth or the skin around them begin to tear. Lids and
#: gaze are geometry, and lids are held where they meet (`Lids`).
ROOM: tuple[tuple[str, float], ...] = (
    ("eyeBlink", math.inf),
    ("eyelid", math.inf),
    ("eyeLook", math.inf),
    ("eyeWide", 0.2),
    ("eyeSquint", 0.3),
    ("mouthClose", math.inf),  # goes with jawOpen
    ("jawOpen", 0.25),
    ("jaw", 0.25),
    ("mouthLowerDown", 0.15),
    ("mouthUpperUp", 0.15),
    ("mouth", 0.2),
    ("brow", 0.35),
    ("cheek", 0.4),
    ("noseSneer", 0.4),
    ("tongue", 0.5),
)
#: the same for a principal component, in standard deviations, and for any other name
MODE_ROOM, OTHER_ROOM = 1.0, 0.3
#: radians that a jaw joint may turn beyond the trained range, on top of what jawOpen turns
JAW_ROOM = 0.1
#: Head poses: radians about each axis and metres beyond the trained range. The head is rigid; what shows is the neck.
TURN_ROOM, TRAVEL_ROOM = 0.2, 0.1


def eased(values: Tensor, low: Tensor, high: Tensor, room: Tensor) -> Tensor:
    """`values` [...,N] themselves between `low` and `high` [N], beyond that at most `room` [N] farther; C2, monotonic.

    Where the room is infinite nothing changes.
    """
    finite = torch.where(room.isinf(), torch.ones_like(room), room).clamp_min(1e-9)
    above, below = (values - high).clamp_min(0), (low - values).clamp_min(0)
    inside = torch.minimum(torch.maximum(values, low), high)
    soft = inside + finite * torch.tanh(above / finite) - finite * torch.tanh(below / finite)
    return torch.where(room.isinf(), values, soft)


def room_of(name: str) -> float:
    """How far beyond the trained range the expression `name` may get."""
    if is_mode(name):
        return MODE_ROOM
    return next((room for start, room in ROOM if name.startswith(start)), OTHER_ROOM)


@dataclass(frozen=True, eq=False)
class Reach:
    """The range of one avatar: of its E expressions, its jaw and its head's pose."""

    head: HeadModel
    low: Tensor  # [E] least and greatest weights of the training frames
    high: Tensor  # [E]
    jaw: Tensor  # [2,3] radians, of the jaw joint
    turn: Tensor  # [3] radians from the mean pose, either way
    travel: Tensor  # [3] metres
    mean_rotation: Tensor  # [3,3] of the skull
    pivot: Tensor  # [3] of the skull frame, what the head turns about
    mean_place: Tensor  # [3] metres, where the pivot is on average

    @staticmethod
    def of(avatar: Avatar) -> Reach:
        """What the file of `avatar` keeps of its training."""
        shapes: Blendshapes = avatar.blendshapes
        torso, count = avatar.rig.torso, len(avatar.head.expression_names)
        return Reach(
            head=avatar.head,
            low=shapes.low[:count],
            high=shapes.high[:count],
            jaw=torch.stack([shapes.low[count : count + 3], shapes.high[count : count + 3]]),
            turn=torso.limit[1:4],
            travel=torso.limit[4:] * TRAVEL_UNIT,
            mean_rotation=torso.mean_rotation,
            pivot=torso.pivot,
            mean_place=torso.mean_rotation @ torso.pivot + torso.mean_translation,
        )

    @cached_property
    def room(self) -> Tensor:
        """Room [E] of each expression."""
        return self.low.new_tensor([room_of(name) for name in self.head.expression_names])

    @cached_property
    def lids(self) -> Lids | None:
        """Where the lids meet; None for a head whose lids are not known."""
        return Lids.of(self.head)

    def __call__(self, params: HeadParams) -> HeadParams:
        """`params` of the avatar within reach."""
        expression = eased(params.expression, self.low, self.high, self.room)
        expression = self._with_the_jaw(params.expression, expression)
        if self.lids is not None:
            expression = self.lids(expression)
        joint_rot = params.joint_rot.clone()
        jaw_room = joint_rot.new_full((3,), JAW_ROOM)
        joint_rot[:, JAW] = eased(joint_rot[:, JAW], self.jaw[0], self.jaw[1], jaw_room)
        rotation, place = self._pose(axis_angle_to_matrix(joint_rot[:, ROOT]), params)
        joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
        translation = self.head.root_translation(params.identity, rotation, place - rotation @ self.pivot)
        return replace(params, expression=expression, joint_rot=joint_rot, translation=translation)

    def _with_the_jaw(self, before: Tensor, after: Tensor) -> Tensor:
        """mouthClose shuts lips over an open jaw: it is eased as much as jawOpen is, or lips would part."""
        names = self.head.expression_names
        if "mouthClose" not in names or "jawOpen" not in names:
            return after
        jaw = names.index("jawOpen")
        share = torch.where(before[:, jaw] > 1e-6, after[:, jaw] / before[:, jaw].clamp_min(1e-6), 1.0)
        after = after.clone()
        after[:, names.index("mouthClose")] *= share.clamp(0, 1)
        return after

    def _pose(self, rotation: Tensor, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Rotation [T,3,3] and place of the pivot [T,3], within reach of the mean pose."""
        place = pivot_place(self.head, params.identity, rotation, params.translation, self.pivot)
        turn = matrix_to_axis_angle(rotation @ self.mean_rotation.T)
        turn = eased(turn, -self.turn, self.turn, torch.full_like(self.turn, TURN_ROOM))
        travel = eased(place - self.mean_place, -self.travel, self.travel, torch.full_like(self.travel, TRAVEL_ROOM))
        return axis_angle_to_matrix(turn) @ self.mean_rotation, self.mean_place + travel


def pivot_place(head: HeadModel, identity: Tensor, rotation: Tensor, translation: Tensor, pivot: Tensor) -> Tensor:
    """Where `pivot` [3] of the skull frame is, [T,3] metres, under root poses [T,3,3] and [T,3]."""
    root = head.joint_locations(identity)[ROOT]
    return rotation @ (pivot - root) + root + translation
