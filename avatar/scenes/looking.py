"""Who looks at whom: eyes turned to a point of the scene, and a part of the head with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.driving.trained_range import PoseTarget, TrainedRange, pivot_position
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar
from avatar.scenes.scene_file import CAMERA
from avatar.scenes.scene_renderer import Actor
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT, Camera, HeadParams

#: Part of the way to a target that the head turns, of yaw and pitch, and degrees that it turns at most: an avatar is
#: less like its person from the side.
HEAD_PART = (0.3, 0.3)
HEAD_MOST = (20.0, 10.0)
#: Degrees that eyes turn in the head at most, to the side, and up or down.
EYES_MOST = (36.0, 20.0)
#: Seconds in which the head, and the eyes, go from one target to the next.
HEAD_SECONDS = 0.7
EYE_SECONDS = 0.15
#: Part of the motion's own gaze that remains about the target.
OWN_GAZE = 0.25


@dataclass(frozen=True)
class Looking:
    """What an actor looks at in T frames, in the world of its avatar."""

    targets: Tensor  # [T,3] meters
    looks: Tensor  # [T] bool; False: where its motion looks


def eyes_of(avatar: Avatar, params: HeadParams) -> Tensor:
    """The point between the eyes [T,3] in the avatar's world, meters."""
    rotation, translation = avatar.head.skull_pose(avatar.with_identity(params))
    local = avatar.head.joint_locations(avatar.with_identity(params).identity)[[LEFT_EYE, RIGHT_EYE]].mean(0)
    return rotation @ local + translation


@torch.no_grad()
def look(
    avatar: Avatar, params: HeadParams, looking: Looking, fps: float, trained: TrainedRange | None = None
) -> HeadParams:
    """Parameters whose head and eyes turn to the targets where the actor looks at one.

    Args:
        avatar: the avatar.
        params: T frames.
        looking: T frames.
        fps: frames per second; 0: nothing is smoothed in time.
        trained: the range of the avatar, if it is known.

    Returns:
        T frames; their jaw and expressions are those of `params`, but for the gaze.
    """
    eyes = _Eyes.of(avatar)
    trained = trained or TrainedRange.of(avatar)
    body = avatar.rig.torso.mean_rotation
    shaped = avatar.with_identity(params)
    skull, _ = avatar.head.skull_pose(shaped)
    own = eyes.rotations(params)  # [T,2,3]
    # Directions in the axes of the body, as yaw to the person's left and pitch up.
    straight = _angles(_turned(skull, own.mean(1)) @ body)
    to_target = torch.nn.functional.normalize(looking.targets - eyes_of(avatar, params), dim=1)
    wanted = _angles(to_target @ body)
    most = wanted.new_tensor(HEAD_MOST).deg2rad()
    turn = (wanted * wanted.new_tensor(HEAD_PART)).clamp(-most, most) * looking.looks[:, None]
    turn = _smoothed(turn, HEAD_SECONDS * fps)
    local = axis_angle_to_matrix(torch.stack([-turn[:, 1], turn[:, 0], torch.zeros_like(turn[:, 0])], 1))
    extra = body @ local @ body.T
    root = axis_angle_to_matrix(params.joint_rot[:, ROOT])
    pivot = pivot_position(avatar.head, shaped.identity, root, params.translation, trained.pivot)
    target = PoseTarget(params.expression, params.joint_rot, extra @ root, pivot)
    moved = trained.head_params(target)
    # What remains is for the eyes, each towards the target from its own place.
    now, shift = avatar.head.skull_pose(avatar.with_identity(moved))
    joints = avatar.head.joint_locations(shaped.identity)[[LEFT_EYE, RIGHT_EYE]]
    places = joints @ now.transpose(1, 2) + shift[:, None]
    deviation = OWN_GAZE * (straight - straight.median(0).values)
    aim = _angles(torch.nn.functional.normalize(looking.targets[:, None] - places, dim=2) @ body) + deviation[:, None]
    before = _angles(_turned(now[:, None], own) @ body)
    gaze = torch.where(looking.looks[:, None, None], aim, before)
    near = _smoothed(looking.looks[:, None].to(gaze), EYE_SECONDS * fps)[..., None] > 0
    gaze = torch.where(near, _smoothed(gaze.flatten(1), EYE_SECONDS * fps).view_as(gaze), gaze)
    in_head = _angles(_direction(gaze) @ body.T @ now)
    limit = in_head.new_tensor(EYES_MOST).deg2rad()
    in_head = _soft(in_head, limit)
    return eyes.with_rotations(moved, torch.stack([-in_head[..., 1], in_head[..., 0]], 2))


def _soft(values: Tensor, limit: Tensor) -> Tensor:
    """Values within three quarters of the limit unchanged, and beyond that approaching it."""
    start = 0.75 * limit
    inside = values.clamp(-start, start)
    rest = limit - start
    return inside + rest * torch.tanh((values - inside) / rest)


def _turned(rotation: Tensor, eyes: Tensor) -> Tensor:
    """Directions [...,3] in which eyes look that are rotated by `eyes` [...,3] in a head of `rotation` [...,3,3]."""
    flat = axis_angle_to_matrix(eyes.reshape(-1, 3)).view(*eyes.shape[:-1], 3, 3)
    return (rotation @ flat)[..., 2]


def _angles(directions: Tensor) -> Tensor:
    """Yaw and pitch [...,2] in radians of unit directions [...,3]: to +x, and up."""
    x, y, z = directions.unbind(-1)
    return torch.stack([torch.atan2(x, z), torch.asin(y.clamp(-1, 1))], -1)


def _direction(angles: Tensor) -> Tensor:
    """The inverse of `_angles`."""
    yaw, pitch = angles.unbind(-1)
    return torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], -1)


def _smoothed(values: Tensor, width: float) -> Tensor:
    """Values [T,C] averaged over a raised cosine of `width` frames, so that a step becomes a smooth transition."""
    reach = int(width / 2)
    if not reach:
        return values
    steps = torch.arange(-reach, reach + 1, dtype=values.dtype)
    weights = 1 + torch.cos(torch.pi * steps / (reach + 1))
    padded = torch.cat([values[:1].expand(reach, -1), values, values[-1:].expand(reach, -1)])
    return padded.unfold(0, len(weights), 1) @ (weights / weights.sum())


@dataclass(frozen=True)
class _Eyes:
    """How the expressions of a head rotate its eyes."""

    columns: list[int]  # [n] of the expressions
    turns: Tensor  # [2,2,n] radians about x and y of the left and the right eye at weight 1

    @staticmethod
    def of(avatar: Avatar) -> _Eyes:
        names = avatar.head.expression_names
        columns = [k for k, name in enumerate(names) if name.startswith("eyeLook")]
        return _Eyes(columns, avatar.head.joint_dirs[[LEFT_EYE, RIGHT_EYE]][:, :2][..., columns])

    def rotations(self, params: HeadParams) -> Tensor:
        """Axis-angle rotations [T,2,3] of both eyes in the head, radians."""
        result = params.joint_rot[:, [LEFT_EYE, RIGHT_EYE]].clone()
        result[..., :2] += torch.einsum("ekn,tn->tek", self.turns, params.expression[:, self.columns])
        return result

    def with_rotations(self, params: HeadParams, rotations: Tensor) -> HeadParams:
        """Parameters whose eyes are rotated by `rotations` [T,2,2] about x and y: by weights, which lids follow."""
        expression, joint_rot = params.expression.clone(), params.joint_rot.clone()
        rest = rotations
        if self.columns:
            size = self.turns.square().sum((0, 1)).clamp_min(1e-9)
            amounts = (torch.einsum("tek,ekn->tn", rotations, self.turns) / size).clamp(0, 1)
            expression[:, self.columns] = amounts
            rest = rotations - torch.einsum("ekn,tn->tek", self.turns, amounts)
        joint_rot[:, [LEFT_EYE, RIGHT_EYE], :2] = rest
        joint_rot[:, [LEFT_EYE, RIGHT_EYE], 2] = 0
        return replace(params, expression=expression, joint_rot=joint_rot)


def with_looks(
    actors: Sequence[Actor], looks: Sequence[Sequence[tuple[float, str]]], camera: Camera, fps: float
) -> list[Actor]:
    """The actors with their heads and eyes turned to what they look at.

    Args:
        actors: of the scene.
        looks: of each actor, seconds and what it looks at from then on: the name of an actor, "camera", or anything
            else for its own motion.
        camera: [T] or [1] of the scene.
        fps: frames per second.
    """
    centers = -(camera.world_to_cam[:, :3, :3].mT @ camera.world_to_cam[:, :3, 3:])[..., 0]
    moved = list(actors)
    for _ in range(2):  # turning a head moves its eyes
        eyes = {actor.name: actor.in_scene(eyes_of(actor.avatar, actor.params)) for actor in moved}
        targets = {**eyes, CAMERA: centers}
        for index, (actor, spans) in enumerate(zip(actors, looks, strict=True)):
            frames = len(actor.params)
            begun = [(round(start * fps), _local(actor, targets.get(at))) for start, at in spans]
            if not any(target is not None for _, target in begun):
                continue
            if begun[0][0] > 0:
                begun.insert(0, (0, None))
            params = look(actor.avatar, actor.params, looking_at(begun, frames), fps)
            moved[index] = replace(actor, params=params)
    return moved


def _local(actor: Actor, points: Tensor | None) -> Tensor | None:
    """Points of the scene in the world of an actor."""
    return points if points is None or actor.placement is None else actor.placement.inverse(points)


def looking_at(spans: Sequence[tuple[int, Tensor | None]], frames: int) -> Looking:
    """What an actor looks at, from frames at which it starts to look at something.

    Args:
        spans: first frame of each span, increasing from 0, and its target [T,3] or [3] in the avatar's world; None:
            where the motion looks.
        frames: T.
    """
    targets = torch.zeros(frames, 3)
    looks = torch.zeros(frames, dtype=torch.bool)
    ends = [start for start, _ in spans[1:]] + [frames]
    for (start, target), end in zip(spans, ends, strict=True):
        rows = slice(min(start, frames), min(end, frames))
        looks[rows] = target is not None
        if target is not None:
            targets[rows] = target.expand(frames, 3)[rows]
    return Looking(targets, looks)
