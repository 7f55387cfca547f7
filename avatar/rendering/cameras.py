"""Cameras that look at an avatar: in front of the face, orbiting, dollying.

They are placed relative to the mean pose of the whole motion, so the head moves in the frame as in front of a tripod.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.model.avatar import Avatar
from avatar.rendering.camera_request import CameraRequest
from avatar.types import NECK, ROOT, Camera, HeadParams

#: Center of a head in the skull frame, meters: the point that a camera orbits.
HEAD_CENTER = (0.0, -0.03, -0.075)
_MIN_EXTENT = 1e-3  # of the framed part at distance 1: damaged avatars may have no extent
DISTANCE = 0.9  # meters from the head center, a usual distance for portraits
_MIN_OPACITY = 0.3  # of the Gaussians that the framing considers
_TOP_MARGIN = 0.10  # margin above the head, relative to its size
_SIDE_MARGIN = 0.12  # margin beside it
_UP = (0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Subject:
    """Extent of an avatar at the mean pose of a motion, for placing cameras; world frame, meters."""

    center: Tensor  # [3]
    forward: Tensor  # [3] unit, direction of the face
    head: Tensor  # [n,3] positions of the head's Gaussians
    torso: Tensor  # [m,3] positions of the torso's Gaussians


@torch.no_grad()
def subject_of(avatar: Avatar, params: HeadParams) -> Subject:
    """The avatar with its neutral expression at the mean pose of `params` (T frames).

    Raises:
        HeadsplatError: no Gaussian of the head is visible.
    """
    params = avatar.with_identity(params)
    rotations, translations = avatar.head.skull_pose(params)
    rotation = mean_rotation(rotations)
    translation = translations.mean(0)
    joint_rot = torch.zeros_like(params.joint_rot[:1])
    joint_rot[0, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[0, NECK] = 0
    root_translation = avatar.head.root_translation(params.identity, rotation[None], translation[None])
    gaussians = avatar(HeadParams(params.identity, avatar.neutral[None], joint_rot, root_translation))
    visible = gaussians.opacities[0] > _MIN_OPACITY
    is_torso = avatar.rig.skin > 0.5
    means = gaussians.means[0]
    head = means[visible & ~is_torso]
    if not len(head):
        raise HeadsplatError(
            "the avatar's head is not visible: it has no opaque Gaussian; train or copy the avatar again"
        )
    center = rotation @ means.new_tensor(HEAD_CENTER) + translation
    return Subject(center, rotation[:, 2], head, means[visible & is_torso])


def look_at(eye: Tensor, target: Tensor) -> Tensor:
    """world_to_cam [T,4,4] of cameras at `eye` [T,3] that look at `target` [3] with the world's y axis up."""
    forward_axis = torch.nn.functional.normalize(target - eye, dim=-1)
    up = eye.new_tensor(_UP).expand_as(forward_axis)
    right_axis = torch.nn.functional.normalize(torch.linalg.cross(forward_axis, up), dim=-1)
    rotation = torch.stack([right_axis, torch.linalg.cross(forward_axis, right_axis), forward_axis], 1)
    result = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(len(eye), 1, 1)
    result[:, :3, :3] = rotation
    result[:, :3, 3] = -(rotation @ eye[..., None])[..., 0]
    return result


def fit_camera(camera: Camera, width: int, height: int) -> Camera:
    """The view of `camera` at another image size: scaled to fit, centered, extended if the aspect ratios differ.

    Args:
        camera: [B].
        width: pixels.
        height: pixels.
    """
    scale = min(width / camera.width, height / camera.height)
    K = camera.K.clone()
    K[:, :2] *= scale
    K[:, 0, 2] += (width - camera.width * scale) / 2
    K[:, 1, 2] += (height - camera.height * scale) / 2
    return replace(camera, K=K, width=width, height=height)


def front_camera(subject: Subject, width: int, height: int) -> Camera:
    """The camera [1] in front of the face; head and shoulders fill a frame of any aspect ratio.

    The head fits into the frame with a margin above, and the lower edge lies above the end of the torso, so that the
    cut is not visible. In a portrait frame the width of the head decides.

    Args:
        subject: the avatar's extent.
        width: pixels.
        height: pixels.
    """
    frame = framing(subject)
    middle = (frame.left + frame.right) / 2
    focal = min(height / max(frame.bottom - frame.top, _MIN_EXTENT), width / max(frame.right - frame.left, _MIN_EXTENT))
    K = torch.tensor([[focal, 0.0, width / 2 - focal * middle], [0.0, focal, height - focal * frame.bottom], [0, 0, 1]])
    world_to_cam = _front_view(subject)
    return Camera(K[None].to(world_to_cam), world_to_cam, width, height)


@dataclass(frozen=True)
class Framing:
    """What the front camera frames: slopes x/z (to the right) and y/z (down) in its axes, margins included."""

    left: float
    right: float
    top: float
    bottom: float


def framing(subject: Subject) -> Framing:
    """The part of a subject that `front_camera` shows."""
    world_to_cam = _front_view(subject)[0]
    head, torso = (_slopes(points, world_to_cam) for points in (subject.head, subject.torso))
    left, right = _extent(head[:, 0])
    top, chin = _extent(head[:, 1])
    bottom = chin
    if len(torso):
        near = torso[(torso[:, 0] > left) & (torso[:, 0] < right)]
        bottom = max(bottom, _extent((near if len(near) else torso)[:, 1])[1])
    top = top - _TOP_MARGIN * (chin - top)
    side = _SIDE_MARGIN * (right - left)
    return Framing(left - side, right + side, top, bottom)


def _front_view(subject: Subject) -> Tensor:
    """world_to_cam [1,4,4] of the front camera."""
    return look_at((subject.center + DISTANCE * subject.forward)[None], subject.center)


def _slopes(points: Tensor, world_to_cam: Tensor) -> Tensor:
    """x/z and y/z [n,2] of points [n,3] in the axes of the camera `world_to_cam` [4,4]."""
    in_camera = points @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
    return in_camera[:, :2] / in_camera[:, 2:]


def _extent(values: Tensor) -> tuple[float, float]:
    """The 1 % and 99 % quantiles of values [n]: the extent without outliers."""
    ends = torch.quantile(values.double(), values.new_tensor([0.01, 0.99]).double())
    return float(ends[0]), float(ends[1])


def moving_camera(request: CameraRequest, subject: Subject, times: np.ndarray, width: int, height: int) -> Camera:
    """A camera that moves relative to the avatar.

    Args:
        request: of kind front, orbit or dolly.
        subject: the avatar's extent.
        times: [T] seconds since the start of the motion.
        width: pixels.
        height: pixels.

    Returns:
        [T]; [1] for kind front.
    """
    front = front_camera(subject, width, height)
    if request.kind == "front":
        return front
    offset = (DISTANCE * subject.forward).double()
    phase = torch.from_numpy(2 * math.pi * times / request.period).to(offset)
    if request.kind == "orbit":
        limit = math.radians(request.amount)
        angle = phase if request.is_full_turn else limit * torch.sin(phase)
        rotations = axis_angle_to_matrix(angle[:, None] * offset.new_tensor(_UP))
        offsets = (rotations @ offset[:, None])[..., 0]
        K = front.K.repeat(len(times), 1, 1)
    else:
        distance = 1 + (request.amount - 1) * (1 - torch.cos(phase)) / 2
        offsets = distance[:, None] * offset
        K = _dolly_intrinsics(front, distance, request.amount)
    eye = (subject.center.double() + offsets).to(subject.center)
    return replace(front, K=K, world_to_cam=look_at(eye, subject.center))


def _dolly_intrinsics(front: Camera, distance: Tensor, nearest: float) -> Tensor:
    """Intrinsics of a dolly.

    The head is centered when it fills the frame. When it is far away, the lower edge of the frame lies above the end of
    the torso, as for the front camera.

    Args:
        front: the front camera [1].
        distance: [T] relative to that of the front camera.
        nearest: the distance halfway through a cycle; more than 1 moves away.

    Returns:
        K [T,3,3].
    """
    K = front.K.repeat(len(distance), 1, 1)
    start = float(front.K[0, 1, 2])
    if nearest < 1:
        middle = front.height / 2
        K[:, 1, 2] = (middle + (start - middle) * (distance - nearest) / (1 - nearest)).to(K)
    else:
        K[:, 1, 2] = (front.height - (front.height - start) / distance).to(K)
    return K
