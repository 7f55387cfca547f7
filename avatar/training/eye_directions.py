"""The angle between the eyes of one person, from the irises of the training frames.

The tracker has one gaze for both eyes, and its eyeballs are those of the mean person. Where those of the person are
further apart, or converge on a near camera, both irises are beside those of the frames, to opposite sides, and the
texture that both share is blurred.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.types import LEFT_EYE, RIGHT_EYE, Camera

#: Region, joint and landmark of the center of the iris of either eye.
_EYES: tuple[tuple[Region, int, int], ...] = (("left_eyeball", LEFT_EYE, 473), ("right_eyeball", RIGHT_EYE, 468))
#: Largest angle between the eyes, radians; fewer frames than these do not determine it.
LIMIT = np.radians(12.0)
MIN_FRAMES = 8
#: Frames that count: cosine between the head and the camera, pixels between the outer corners of the eyes, and opening
#: of the lids relative to that distance.
_FRONTAL = 0.9
_CORNERS_APART = 30.0
_OPEN = 0.06
_CORNERS = (33, 263)
_LIDS = ((159, 145), (386, 374))


def with_eye_directions(capture: Capture, indices: np.ndarray, head: HeadModel) -> HeadModel:
    """`head` whose eyeballs are turned about their vertical axes by half of the median angle between the eyes each.

    Args:
        capture: of one or more cameras.
        indices: [n] int, its training images.
        head: the baked head; returned unchanged where it lacks eyes or landmarks, or few frames show both eyes.
    """
    masks = [head.mask(name) for name, _, _ in _EYES]
    if not all(bool(mask.any()) for mask in masks) or len(head.landmark_faces) <= _EYES[0][2]:
        return head
    angle = eye_angle(capture, indices, head)
    if angle is None:
        return head
    vertices = head.v_template.clone()
    half = 0.5 * angle
    joints = head.joint_locations(head.v_template.new_zeros(0))
    for mask, (_, joint, _), turn in zip(masks, _EYES, (half, -half), strict=True):
        rotation = axis_angle_to_matrix(vertices.new_tensor([0.0, turn, 0.0]))
        vertices[mask] = (vertices[mask] - joints[joint]) @ rotation.T + joints[joint]
    return replace(head, v_template=vertices)


def eye_angle(capture: Capture, indices: np.ndarray, head: HeadModel) -> float | None:
    """Median yaw of the left eye minus that of the right one, radians, beyond those of `head`; None: not measurable."""
    landmarks = torch.from_numpy(np.asarray(capture.track["landmarks"][indices], np.float32))[..., :2]
    params = replace(capture.params(indices), identity=head.v_template.new_zeros(0))
    rotation, translation = head.skull_pose(params)
    camera = capture.camera(max(capture.metadata["width"], capture.metadata["height"]), indices)
    joints = head.joint_locations(head.v_template.new_zeros(0))
    rest = head.landmarks(head.v_template[None])[0]
    yaws = []
    for _, joint, landmark in _EYES:
        to_iris = rest[landmark] - joints[joint]
        center = rotation @ joints[joint] + translation
        gaze = _direction(camera, landmarks[:, landmark], center, to_iris.norm())
        yaws.append(_yaw((gaze[:, None] @ rotation)[:, 0]) - _yaw(to_iris))
    counts = _shows_both_eyes(landmarks) & (_facing(camera, rotation, translation) > _FRONTAL)
    angles = (yaws[0] - yaws[1])[counts]
    if len(angles) < MIN_FRAMES:
        return None
    return float(angles.median().clamp(-LIMIT, LIMIT))


def _direction(camera: Camera, pixels: Tensor, centers: Tensor, radius: Tensor) -> Tensor:
    """Vectors [n,3], world, from the centers [n,3] of spheres to where the rays of `pixels` [n,2] meet them."""
    view = camera.world_to_cam
    focal = camera.K[:, [0, 1], [0, 1]]
    middle = camera.K[:, :2, 2]
    ray = torch.cat([(pixels - middle) / focal, torch.ones(len(pixels), 1)], 1)
    ray = torch.nn.functional.normalize(ray, dim=1)
    center = (view[:, :3, :3] @ centers[..., None])[..., 0] + view[:, :3, 3]
    along = (ray * center).sum(1)
    half_chord = (along.square() - center.square().sum(1) + radius.square()).clamp_min(0).sqrt()
    local = ray * (along - half_chord)[:, None] - center
    return (local[:, None] @ view[:, :3, :3])[:, 0]


def _yaw(direction: Tensor) -> Tensor:
    return torch.atan2(direction[..., 0], direction[..., 2])


def _facing(camera: Camera, rotation: Tensor, translation: Tensor) -> Tensor:
    """Cosine [n] between the forward axes of the heads and the directions to their cameras."""
    view = camera.world_to_cam
    position = -(view[:, None, :3, 3] @ view[:, :3, :3])[:, 0]
    return (torch.nn.functional.normalize(position - translation, dim=1) * rotation[:, :, 2]).sum(1)


def _shows_both_eyes(landmarks: Tensor) -> Tensor:
    """Mask [n] of frames whose eyes are large enough and open; no landmark is NaN."""
    apart = (landmarks[:, _CORNERS[0]] - landmarks[:, _CORNERS[1]]).norm(dim=1)
    openings = [(landmarks[:, high] - landmarks[:, low]).norm(dim=1) / apart for high, low in _LIDS]
    return (apart > _CORNERS_APART) & (torch.stack(openings).amin(0) > _OPEN)
