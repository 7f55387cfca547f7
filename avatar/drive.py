"""Driving: the track of any capture in, pictures of the avatar out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.animate import Animator
from avatar.captured import Capture
from avatar.geometry import matrix_to_axis_angle, mean_rotation
from avatar.head.model import HeadModel
from avatar.initialise import resting_expression
from avatar.model import Avatar
from avatar.motion import load_bridge
from avatar.rasterizer import Rasterizer
from avatar.records import NECK, ROOT, Camera, HeadParams
from avatar.render import WHITE, render, to_uint8

#: Share of the driver's travel (metres) that the avatar makes: two people rarely sit the same way.
TRAVEL_SHARE = 0.5


def render_track(
    avatar: Avatar,
    params: HeadParams,
    camera: Camera,
    background: Sequence[float] = WHITE,
    rasterizer: Rasterizer = "native",
) -> Iterator[np.ndarray]:
    """Pictures [H,W,3] uint8 of `avatar`, one for each frame of `params`, over `background` (0..1)."""
    animator = Animator(avatar, camera.width, camera.height, background)
    for frame in range(len(params)):
        if rasterizer == "native":
            yield animator.draw(params[frame], camera).cpu().numpy().copy()
            continue
        with torch.no_grad():
            yield to_uint8(render(avatar(params[frame]), camera, background, rasterizer).rgb[0]).cpu().numpy()


def cross_drive(avatar: Avatar, driver: Capture, driver_head: HeadModel) -> HeadParams:
    """The motion of another person's capture, retold for `avatar`.

    Expressions are taken relative to the driver's resting face and added to the avatar person's; head turns relative
    to the driver's mean pose and set about the pose the avatar was filmed at. Jaw and gaze are kept. Where the two
    heads have other expressions, a bridge (`avatar.motion`) carries the driver's to the avatar's.

    Args:
        driver: the other person's capture.
        driver_head: the head model `driver` was tracked with (not baked).

    Returns:
        Parameters of every frame, for `avatar`.
    """
    params = driver.params(np.arange(len(driver)))
    rotation, translation = driver_head.skull_pose(params)
    weights, joint_rot = _in_space_of(avatar.head, params, driver_head)
    expression = (weights - resting_expression(weights) + avatar.neutral).clamp(*avatar.head.expression_limits)
    torso = avatar.rig.torso
    turned = rotation @ mean_rotation(rotation).T @ torso.mean_rotation
    moved = torso.mean_translation + TRAVEL_SHARE * (translation - translation.mean(0))
    joint_rot[:, ROOT] = matrix_to_axis_angle(turned)
    joint_rot[:, NECK] = 0
    own = avatar.with_identity(replace(params, expression=expression, joint_rot=joint_rot))
    return replace(own, translation=avatar.head.root_translation(own.identity, turned, moved))


def _in_space_of(head: HeadModel, params: HeadParams, driver_head: HeadModel) -> tuple[Tensor, Tensor]:
    """Expression weights [T,E] and joint rotations [T,J,3] of `head` that show what `params` show on `driver_head`."""
    if head.expression_names == driver_head.expression_names:
        return params.expression, params.joint_rot.clone()
    return load_bridge(driver_head, head)(params.expression, params.joint_rot)
