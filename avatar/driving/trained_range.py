"""The range of expressions and head poses that an avatar was trained on, and the soft clamp to it.

Gaussians follow their triangles in any pose, but they were fitted only to the poses of the training frames: a jaw
opened wider than in training shows a mouth interior that no frame constrained. Inside the trained range a motion is not
changed. Beyond it the motion is compressed smoothly and never exceeds a margin.

This limits the driving parameters. `Blendshapes.weights` has a limit of its own, of the learned offsets, which also
holds without this one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avatar.driving.lid_closure import LidClosure
from avatar.driving.vergence import Vergence
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.arkit import is_mode
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.parts.mesh_layer import MeshLayer, has_mouth
from avatar.model.torso import TRAVEL_UNIT
from avatar.types import JAW, ROOT, HeadParams

#: Margin of an expression beyond the trained range, by the first prefix that matches its name. Chosen by eye on avatars
#: of real clips: the weight at which lips, teeth or the skin around them begin to tear. Lids and gaze are not
#: limited: they are geometry, and `LidClosure` stops the lids where they meet.
MARGINS: tuple[tuple[str, float], ...] = (
    ("eyeBlink", math.inf),
    ("eyelid", math.inf),
    ("eyeLook", math.inf),
    ("eyeWide", 0.2),
    ("eyeSquint", 0.3),
    ("mouthClose", math.inf),  # scaled together with jawOpen
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
#: The same, before the margins above, for avatars whose mouth has a mesh layer behind Gaussians that stretch: there is
#: a mouth at any opening. What bends the lips most is limited further out than without a layer.
LAYER_MARGINS: tuple[tuple[str, float], ...] = (
    ("jawOpen", math.inf),
    ("mouthSmile", 0.6),
    ("mouthFunnel", 0.6),
    ("mouthLowerDown", 0.5),
    ("mouthUpperUp", 0.5),
)
#: margin of a principal component, in standard deviations, and of any other name
MODE_MARGIN = 1.0
OTHER_MARGIN = 0.3
#: radians that the jaw joint may rotate beyond the trained range, in addition to the rotation by jawOpen
JAW_MARGIN = 0.1
LAYER_JAW_MARGIN = 0.5
#: Head poses: radians about each axis and meters along each axis. The head is rigid; only the neck shows it.
TURN_MARGIN = 0.2
TRAVEL_MARGIN = 0.1


def soft_clamp(values: Tensor, low: Tensor, high: Tensor, margin: Tensor) -> Tensor:
    """Clamp smoothly: identity between `low` and `high`, beyond them a tanh that approaches `margin`; C2, monotonic.

    Args:
        values: [...,N].
        low: [N].
        high: [N].
        margin: [N], infinite for values that are not clamped.

    Returns:
        [...,N], between `low - margin` and `high + margin`.
    """
    unlimited = margin.isinf()
    finite = margin.masked_fill(unlimited, 1.0).clamp_min(1e-9)
    inside = values.clamp(low, high)
    soft = inside + finite * torch.tanh((values - inside) / finite)
    return torch.where(unlimited, values, soft)


def margin_of(name: str, layer: bool = False) -> float:
    """The margin of the expression `name` beyond the trained range, for an avatar with or without a mesh layer."""
    if is_mode(name):
        return MODE_MARGIN
    margins = LAYER_MARGINS + MARGINS if layer else MARGINS
    return next((margin for prefix, margin in margins if name.startswith(prefix)), OTHER_MARGIN)


@dataclass(frozen=True)
class PoseTarget:
    """Target expressions and poses of an avatar for T frames, in the coordinates that `TrainedRange` limits."""

    expression: Tensor  # [T,E]
    joint_rot: Tensor  # [T,J,3] axis-angle radians; the root's rotation is ignored
    rotation: Tensor  # [T,3,3] of the root
    position: Tensor  # [T,3] meters, of the pivot


@dataclass(frozen=True, eq=False)
class TrainedRange:
    """The trained range of one avatar: E expressions, the jaw joint, rotation and position of the head."""

    head: HeadModel
    low: Tensor  # [E] smallest weights of the training frames
    high: Tensor  # [E] largest weights of the training frames
    jaw: Tensor  # [2,3] radians, smallest and largest rotation of the jaw joint
    turn: Tensor  # [3] radians, largest rotation from the mean pose about each axis
    travel: Tensor  # [3] meters, largest distance from the mean position along each axis
    mean_rotation: Tensor  # [3,3] of the skull
    pivot: Tensor  # [3] meters, skull frame: the point that the head turns about
    mean_position: Tensor  # [3] meters, mean position of the pivot
    lid_closure: LidClosure | None  # None for a head without landmarks
    layer: bool = False  # the avatar's mouth is a mesh layer

    @staticmethod
    def of(avatar: Avatar) -> TrainedRange:
        """The range that is stored with `avatar`.

        `Blendshapes` measures the expressions and the jaw in training, `TorsoMap.learn_limits` the head poses.
        """
        shapes: Blendshapes = avatar.blendshapes
        torso = avatar.rig.torso
        count = len(avatar.head.expression_names)
        return TrainedRange(
            head=avatar.head,
            low=shapes.low[:count],
            high=shapes.high[:count],
            jaw=torch.stack([shapes.low[count : count + 3], shapes.high[count : count + 3]]),
            turn=torso.limit[1:4],
            travel=torso.limit[4:] * TRAVEL_UNIT,
            mean_rotation=torso.mean_rotation,
            pivot=torso.pivot,
            mean_position=torso.mean_rotation @ torso.pivot + torso.mean_translation,
            lid_closure=LidClosure.of(avatar.head),
            layer=has_mouth(avatar.part(MeshLayer)),
        )

    @cached_property
    def margin(self) -> Tensor:
        """Margin [E] of each expression."""
        return self.low.new_tensor([margin_of(name, self.layer) for name in self.head.expression_names])

    @cached_property
    def limits(self) -> tuple[Tensor, Tensor, Tensor]:
        """Low, high and margin [E+9] of expressions, jaw, and rotation and position of the head from the mean."""
        jaw = LAYER_JAW_MARGIN if self.layer else JAW_MARGIN
        margins = [self.low.new_full((3,), margin) for margin in (jaw, TURN_MARGIN, TRAVEL_MARGIN)]
        return (
            torch.cat([self.low, self.jaw[0], -self.turn, -self.travel]),
            torch.cat([self.high, self.jaw[1], self.turn, self.travel]),
            torch.cat([self.margin, *margins]),
        )

    def of_expressions(self) -> dict[str, tuple[float, float, float]]:
        """By expression: smallest and largest weight in training, and the weight that driving does not exceed."""
        most = torch.minimum(self.high + self.margin, self.head.expression_limits[1])
        rows = torch.stack([self.low, self.high, torch.maximum(most, self.high)], 1).tolist()
        return {
            name: (round(low, 2), round(high, 2), round(limit, 2))
            for name, (low, high, limit) in zip(self.head.expression_names, rows, strict=True)
        }

    @cached_property
    def _root_from_pivot(self) -> tuple[Tensor, Tensor]:
        """The root joint [3] in the rest pose, and its offset [3,1] from the pivot."""
        root = self.head.joint_locations(self.low.new_zeros(0))[ROOT]
        return root, (root - self.pivot)[:, None]

    @cached_property
    def _vergence(self) -> Vergence:
        return Vergence.of(self.head)

    @cached_property
    def _close_and_open(self) -> tuple[int, int] | None:
        """Columns of mouthClose and jawOpen; None for a head without both."""
        names = self.head.expression_names
        known = "mouthClose" in names and "jawOpen" in names
        return (names.index("mouthClose"), names.index("jawOpen")) if known else None

    def __call__(self, params: HeadParams) -> HeadParams:
        """Head parameters `params` of the avatar, soft-clamped to the trained range."""
        rotation = axis_angle_to_matrix(params.joint_rot[:, ROOT])
        position = pivot_position(self.head, params.identity, rotation, params.translation, self.pivot)
        return self.head_params(self.clamp(PoseTarget(params.expression, params.joint_rot, rotation, position)))

    def clamp(self, target: PoseTarget) -> PoseTarget:
        """Soft-clamp a target to the trained range; head poses are clamped relative to the mean pose."""
        count = target.expression.shape[1]
        turn = matrix_to_axis_angle(target.rotation @ self.mean_rotation.T)
        values = [target.expression, target.joint_rot[:, JAW], turn, target.position - self.mean_position]
        # One call for all: for a single frame the cost is the number of calls.
        clamped = soft_clamp(torch.cat(values, 1), *self.limits)
        expression, jaw, turn, travel = clamped.split([count, 3, 3, 3], 1)
        expression = self._scale_mouth_close(target.expression, expression)
        if self.lid_closure is not None:
            expression = self.lid_closure(expression)
        joint_rot = self._vergence(expression, target.joint_rot)
        joint_rot[:, JAW] = jaw
        return PoseTarget(
            expression, joint_rot, axis_angle_to_matrix(turn) @ self.mean_rotation, self.mean_position + travel
        )

    def head_params(self, target: PoseTarget) -> HeadParams:
        """The head parameters that show a target."""
        joint_rot = target.joint_rot.clone()
        joint_rot[:, ROOT] = matrix_to_axis_angle(target.rotation)
        root, from_pivot = self._root_from_pivot
        translation = target.position - root + (target.rotation @ from_pivot)[..., 0]
        return HeadParams(root.new_zeros(0), target.expression, joint_rot, translation)

    def _scale_mouth_close(self, before: Tensor, after: Tensor) -> Tensor:
        """Scale mouthClose by the factor by which jawOpen was clamped, so that closed lips do not open.

        mouthClose closes the lips over an open jaw.
        """
        if self._close_and_open is None:
            return after
        close, jaw = self._close_and_open
        scale = torch.where(before[:, jaw] > 1e-6, after[:, jaw] / before[:, jaw].clamp_min(1e-6), 1.0)
        after = after.clone()
        after[:, close] *= scale.clamp(0, 1)
        return after


def pivot_position(head: HeadModel, identity: Tensor, rotation: Tensor, translation: Tensor, pivot: Tensor) -> Tensor:
    """The world position of the pivot for given root poses.

    Args:
        head: the head model.
        identity: [S].
        rotation: [T,3,3] of the root.
        translation: [T,3] meters.
        pivot: [3] meters, skull frame.

    Returns:
        [T,3] meters.
    """
    root = head.joint_locations(identity)[ROOT]
    return rotation @ (pivot - root) + root + translation
