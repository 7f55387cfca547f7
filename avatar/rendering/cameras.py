"""Cameras that look at an avatar: before its face, round it, in and out.

They are set about the mean pose of the whole motion and stay there: the head moves in the picture, as before a tripod.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.model.avatar import Avatar
from avatar.rendering.camera_request import CameraRequest
from avatar.types import NECK, ROOT, Camera, HeadParams

#: The middle of a head in the skull's frame, meters: what a camera turns about.
HEAD_CENTER = (0.0, -0.03, -0.075)
_DISTANCE = 0.9  # meters from the head's center, about where a portrait is taken from
_SEEN = 0.3  # opacity from which a Gaussian counts for the framing
_ABOVE, _BESIDE = 0.10, 0.12  # room left above and beside the head, shares of its size
_UP = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Subject:
    """An avatar at the mean pose of a motion, as something to point a camera at; world frame, meters."""

    center: Tensor  # [3]
    forward: Tensor  # [3] unit, where the face looks
    head: Tensor  # [n,3] Gaussians of the head
    torso: Tensor  # [m,3] Gaussians of the torso


@torch.no_grad()
def subject_of(avatar: Avatar, params: HeadParams) -> Subject:
    """The avatar with its resting face at the mean pose of `params` (T frames)."""
    params = avatar.with_identity(params)
    rotations, translations = avatar.head.skull_pose(params)
    rotation, translation = mean_rotation(rotations), translations.mean(0)
    joint_rot = torch.zeros_like(params.joint_rot[:1])
    joint_rot[0, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[0, NECK] = 0
    place = avatar.head.root_translation(params.identity, rotation[None], translation[None])
    splats = avatar(HeadParams(params.identity, avatar.neutral[None], joint_rot, place))
    seen = splats.opacities[0] > _SEEN
    is_torso = avatar.rig.skin > 0.5
    means = splats.means[0]
    center = rotation @ means.new_tensor(HEAD_CENTER) + translation
    return Subject(center, rotation[:, 2], means[seen & ~is_torso], means[seen & is_torso])


def look_at(eye: Tensor, target: Tensor) -> Tensor:
    """world_to_cam [T,4,4] of cameras at `eye` [T,3] that look at `target` [3], the world's y up in the picture."""
    ahead = torch.nn.functional.normalize(target - eye, dim=-1)
    side = torch.nn.functional.normalize(torch.linalg.cross(ahead, eye.new_tensor(_UP).expand_as(ahead)), dim=-1)
    rotation = torch.stack([side, torch.linalg.cross(ahead, side), ahead], 1)
    result = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(len(eye), 1, 1)
    result[:, :3, :3] = rotation
    result[:, :3, 3] = -(rotation @ eye[..., None])[..., 0]
    return result


def front_camera(subject: Subject, width: int, height: int) -> Camera:
    """The camera [1] straight before the face: head and shoulders fill a picture of any shape.

    The head fits in with room above; the picture ends above where the torso ends, so that no cut shows. In a tall
    picture the head's width decides.
    """
    eye = (subject.center + _DISTANCE * subject.forward)[None]
    world_to_cam = look_at(eye, subject.center)
    head, torso = (_slopes(points, world_to_cam[0]) for points in (subject.head, subject.torso))
    left, right = _spread(head[:, 0])
    top, chin = _spread(head[:, 1])
    bottom = chin
    if len(torso):
        near = torso[(torso[:, 0] > left) & (torso[:, 0] < right)]
        bottom = max(bottom, _spread((near if len(near) else torso)[:, 1])[1])
    top, side = top - _ABOVE * (chin - top), (right - left) * (0.5 + _BESIDE)
    focal = min(height / (bottom - top), width / (2 * side))
    K = torch.tensor(
        [[focal, 0.0, width / 2 - focal * (left + right) / 2], [0.0, focal, height - focal * bottom], [0.0, 0.0, 1.0]]
    )
    return Camera(K[None].to(world_to_cam), world_to_cam, width, height)


def _slopes(points: Tensor, world_to_cam: Tensor) -> Tensor:
    """x/z and y/z [n,2] of points [n,3] as the camera [4,4] sees them."""
    seen = points @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
    return seen[:, :2] / seen[:, 2:]


def _spread(values: Tensor) -> tuple[float, float]:
    """Where the values [n] begin and end, but for the one in a hundred that strays."""
    ends = torch.quantile(values.double(), values.new_tensor([0.01, 0.99]).double())
    return float(ends[0]), float(ends[1])


def moving_camera(request: CameraRequest, subject: Subject, times: np.ndarray, width: int, height: int) -> Camera:
    """The camera of kind front [1], orbit [T] or dolly [T] at `times` [T], seconds since the motion began."""
    front = front_camera(subject, width, height)
    if request.kind == "front":
        return front
    away = (_DISTANCE * subject.forward).double()
    phase = torch.from_numpy(2 * math.pi * times / request.period).to(away)
    if request.kind == "orbit":
        limit = math.radians(request.amount)
        angle = phase if request.goes_round else limit * torch.sin(phase)
        turns = axis_angle_to_matrix(angle[:, None] * away.new_tensor(_UP))
        offsets = (turns @ away[:, None])[..., 0]
        K = front.K.repeat(len(times), 1, 1)
    else:
        share = 1 + (request.amount - 1) * (1 - torch.cos(phase)) / 2
        offsets = share[:, None] * away
        K = _dolly_intrinsics(front, share, request.amount)
    eye = (subject.center.double() + offsets).to(subject.center)
    return replace(front, K=K, world_to_cam=look_at(eye, subject.center))


def _dolly_intrinsics(front: Camera, share: Tensor, nearest: float) -> Tensor:
    """K [T,3,3] at `share` [T] of the distance: the head comes to the middle where it fills the picture, and where it
    is far away the picture ends above where the torso ends, as from the front."""
    K = front.K.repeat(len(share), 1, 1)
    start = float(front.K[0, 1, 2])
    if nearest < 1:
        middle = front.height / 2
        K[:, 1, 2] = (middle + (start - middle) * (share - nearest) / (1 - nearest)).to(K)
    else:
        K[:, 1, 2] = (front.height - (front.height - start) / share).to(K)
    return K
