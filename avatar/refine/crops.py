"""Crops round the head, so that it is compared at a resolution of its own: in a whole frame a small face has no say."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.refine.targets import Targets
from avatar.types import Camera

#: Regions whose bounding box is the face's, and the margin round it relative to its size.
_FACE: tuple[Region, ...] = ("lips", "eyelids", "left_eyeball", "right_eyeball", "left_eye_region", "right_eye_region")
_FACE_MARGIN = 0.25
#: Margin of the box of the head for the hair and for wrong poses, relative to its size.
_MARGIN = 0.12
_NEAR = 1e-3  # meters, smallest depth to divide by


def head_targets(
    avatar: Avatar, frames: TrainingFrames, states: HeadStates, side: int, trained_size: int | None = None
) -> Targets:
    """Crops of all frames round the head, of one size, area-averaged to a longer side of `side` pixels.

    Args:
        avatar: gives the vertices of the head.
        frames: images, mattes and cameras.
        states: [S] poses of the head.
        side: pixels; never enlarged.
        trained_size: longer side of the images on which the avatar was trained; None: that of `frames`.
    """
    chosen = (avatar.head.torso_weight() < 0.1).to(frames.step.device)
    boxes = []
    for start in range(0, len(frames), 64):
        rows = torch.arange(start, min(start + 64, len(frames)), device=frames.step.device)
        step = frames.step[rows]
        world = states.vertices[step][:, chosen] @ states.rotation[step].transpose(1, 2)
        pixels = frames.views(rows).project(world + states.translation[step][:, None], near=_NEAR)
        boxes.append(torch.stack([pixels.amin(1), pixels.amax(1)], 1))
    corner, width, height = common_box(torch.cat(boxes), _MARGIN, frames.camera)
    cropped = replace(
        frames,
        rgb=_cut(frames.rgb, corner, width, height),
        alpha=_cut(frames.alpha, corner, width, height),
        camera=cropped_camera(frames.camera, corner, width, height),
    )
    full = max(frames.camera.width, frames.camera.height)
    share = max(width, height) / full
    return Targets.of(cropped, side, None if trained_size is None else max(1, round(trained_size * share)))


def face_crop(avatar: Avatar, targets: Targets, states: HeadStates, row: Tensor) -> Targets:
    """Crops around eyes and mouth, of one size, inside the images.

    Args:
        avatar: gives the vertices of eyes and mouth.
        targets: m images.
        states: [s] poses and vertices.
        row: [m] int, the state of each image.
    """
    face = avatar.head.mask(*_FACE)
    if not face.any():
        face = ~face
    world = states.vertices[:, face] @ states.rotation.transpose(1, 2) + states.translation[:, None]
    pixels = targets.camera.project(world[row], near=_NEAR)
    boxes = torch.stack([pixels.amin(1), pixels.amax(1)], 1)
    corner, width, height = common_box(boxes, _FACE_MARGIN, targets.camera)
    return replace(
        targets,
        rgb=_cut(targets.rgb, corner, width, height),
        camera=cropped_camera(targets.camera, corner, width, height),
    )


def common_box(boxes: Tensor, margin: float, camera: Camera) -> tuple[Tensor, int, int]:
    """Corners [n,2] int and one width and height of boxes inside the images that contain `boxes` where possible.

    Args:
        boxes: [n,2,2] pixels, lower and upper corners.
        margin: relative to the largest box.
        camera: gives the size of the images.
    """
    full = torch.tensor([camera.width, camera.height], device=boxes.device)
    side = ((boxes[:, 1] - boxes[:, 0]).amax(0) * (1 + 2 * margin)).ceil().clamp(min=16).minimum(full).long()
    corner = (0.5 * (boxes[:, 0] + boxes[:, 1]) - 0.5 * side).round().long().clamp(min=0)
    width, height = side.tolist()
    return torch.minimum(corner, full - side), width, height


def cropped_camera(camera: Camera, corner: Tensor, width: int, height: int) -> Camera:
    """Cameras [n] of crops.

    Args:
        camera: [n] of the whole images.
        corner: [n,2] pixels, upper left corner of each crop.
        width: of the crops, pixels.
        height: of the crops, pixels.
    """
    K = camera.K.clone()
    K[:, :2, 2] -= corner
    return Camera(K, camera.world_to_cam, width, height)


def _cut(images: Tensor, corner: Tensor, width: int, height: int) -> Tensor:
    """Crops [n,height,width,...] of images [n,H,W,...] at `corner` [n,2] (x, y)."""
    return torch.stack(
        [image[y : y + height, x : x + width] for image, (x, y) in zip(images, corner.tolist(), strict=True)]
    )
