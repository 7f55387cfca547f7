"""How far an avatar can be driven: what training saw, and some room beyond it.

Splats follow their triangles anywhere, but they were only ever fitted within what the training frames showed: an open
jaw that training never saw uncovers a mouth nobody drew. Inside the trained range nothing changes; beyond it a motion
slows down smoothly and never gets farther than the room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avatar.driving.lid_closure import Lids
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.model import HeadModel, is_mode
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.rig import TRAVEL_UNIT
from avatar.types import JAW, ROOT, HeadParams

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
#: Head poses: radians about each axis and meters beyond the trained range. The head is rigid; what shows is the neck.
TURN_ROOM, TRAVEL_ROOM = 0.2, 0.1


def soft_clamp(values: Tensor, low: Tensor, high: Tensor, room: Tensor) -> Tensor:
    """`values` [...,N] themselves between `low` and `high` [N], beyond that at most `room` [N] farther; C2, monotonic.

    Where the room is infinite nothing changes.
    """
    endless = room.isinf()
    finite = room.masked_fill(endless, 1.0).clamp_min(1e-9)
    inside = values.clamp(low, high)
    soft = inside + finite * torch.tanh((values - inside) / finite)
    return torch.where(endless, values, soft)


def margin_of(name: str) -> float:
    """How far beyond the trained range the expression `name` may get."""
    if is_mode(name):
        return MODE_ROOM
    return next((room for start, room in ROOM if name.startswith(start)), OTHER_ROOM)


@dataclass(frozen=True)
class PoseTarget:
    """T frames that a motion wants of an avatar, the head's turn and place as `TrainedRange` bounds them."""

    expression: Tensor  # [T,E]
    joint_rot: Tensor  # [T,J,3] axis-angle radians; the root's is not read
    rotation: Tensor  # [T,3,3] of the root
    place: Tensor  # [T,3] meters, where the pivot is


@dataclass(frozen=True, eq=False)
class TrainedRange:
    """The range of one avatar: of its E expressions, its jaw and its head's pose."""

    head: HeadModel
    low: Tensor  # [E] least and greatest weights of the training frames
    high: Tensor  # [E]
    jaw: Tensor  # [2,3] radians, of the jaw joint
    turn: Tensor  # [3] radians from the mean pose, either way
    travel: Tensor  # [3] meters
    mean_rotation: Tensor  # [3,3] of the skull
    pivot: Tensor  # [3] of the skull frame, what the head turns about
    mean_place: Tensor  # [3] meters, where the pivot is on average
    lids: Lids | None  # where the lids meet; None for a head whose lids are not known

    @staticmethod
    def of(avatar: Avatar) -> TrainedRange:
        """What the file of `avatar` keeps of its training."""
        shapes: Blendshapes = avatar.blendshapes
        torso, count = avatar.rig.torso, len(avatar.head.expression_names)
        return TrainedRange(
            head=avatar.head,
            low=shapes.low[:count],
            high=shapes.high[:count],
            jaw=torch.stack([shapes.low[count : count + 3], shapes.high[count : count + 3]]),
            turn=torso.limit[1:4],
            travel=torso.limit[4:] * TRAVEL_UNIT,
            mean_rotation=torso.mean_rotation,
            pivot=torso.pivot,
            mean_place=torso.mean_rotation @ torso.pivot + torso.mean_translation,
            lids=Lids.of(avatar.head),
        )

    @cached_property
    def room(self) -> Tensor:
        """Room [E] of each expression."""
        return self.low.new_tensor([margin_of(name) for name in self.head.expression_names])

    @cached_property
    def _limits(self) -> tuple[Tensor, Tensor, Tensor]:
        """Least, greatest and room [E+9] of expressions, jaw, the head's turn and its travel."""
        rooms = [self.low.new_full((3,), room) for room in (JAW_ROOM, TURN_ROOM, TRAVEL_ROOM)]
        return (
            torch.cat([self.low, self.jaw[0], -self.turn, -self.travel]),
            torch.cat([self.high, self.jaw[1], self.turn, self.travel]),
            torch.cat([self.room, *rooms]),
        )

    @cached_property
    def _root_from_pivot(self) -> tuple[Tensor, Tensor]:
        """The root joint [3] in the rest pose, and [3,1] how far it is from the pivot."""
        root = self.head.joint_locations(self.low.new_zeros(0))[ROOT]
        return root, (root - self.pivot)[:, None]

    @cached_property
    def _shutting(self) -> tuple[int, int] | None:
        """Columns of mouthClose and jawOpen."""
        names = self.head.expression_names
        known = "mouthClose" in names and "jawOpen" in names
        return (names.index("mouthClose"), names.index("jawOpen")) if known else None

    def __call__(self, params: HeadParams) -> HeadParams:
        """`params` of the avatar within reach."""
        rotation = axis_angle_to_matrix(params.joint_rot[:, ROOT])
        place = pivot_place(self.head, params.identity, rotation, params.translation, self.pivot)
        return self.params(self.within(PoseTarget(params.expression, params.joint_rot, rotation, place)))

    def within(self, wish: PoseTarget) -> PoseTarget:
        """The wish kept within reach; of the pose within reach of the mean pose."""
        count = wish.expression.shape[1]
        turn = matrix_to_axis_angle(wish.rotation @ self.mean_rotation.T)
        wanted = [wish.expression, wish.joint_rot[:, JAW], turn, wish.place - self.mean_place]
        # All at once: one frame's price is in the number of calls.
        found = soft_clamp(torch.cat(wanted, 1), *self._limits)
        expression, jaw, turn, travel = found.split([count, 3, 3, 3], 1)
        expression = self._with_the_jaw(wish.expression, expression)
        if self.lids is not None:
            expression = self.lids(expression)
        joint_rot = wish.joint_rot.clone()
        joint_rot[:, JAW] = jaw
        return PoseTarget(
            expression, joint_rot, axis_angle_to_matrix(turn) @ self.mean_rotation, self.mean_place + travel
        )

    def params(self, wish: PoseTarget) -> HeadParams:
        """Parameters of the avatar that fulfil the wish."""
        joint_rot = wish.joint_rot.clone()
        joint_rot[:, ROOT] = matrix_to_axis_angle(wish.rotation)
        root, from_pivot = self._root_from_pivot
        translation = wish.place - root + (wish.rotation @ from_pivot)[..., 0]
        return HeadParams(root.new_zeros(0), wish.expression, joint_rot, translation)

    def _with_the_jaw(self, before: Tensor, after: Tensor) -> Tensor:
        """mouthClose shuts lips over an open jaw: it is clamped as much as jawOpen is, or lips would part."""
        if self._shutting is None:
            return after
        shut, jaw = self._shutting
        share = torch.where(before[:, jaw] > 1e-6, after[:, jaw] / before[:, jaw].clamp_min(1e-6), 1.0)
        after = after.clone()
        after[:, shut] *= share.clamp(0, 1)
        return after


def pivot_place(head: HeadModel, identity: Tensor, rotation: Tensor, translation: Tensor, pivot: Tensor) -> Tensor:
    """Where `pivot` [3] of the skull frame is, [T,3] meters, under root poses [T,3,3] and [T,3]."""
    root = head.joint_locations(identity)[ROOT]
    return rotation @ (pivot - root) + root + translation
