"""Sheets of images for the demo: the avatar beside its video, and in expressions and poses set by hand (a puppet)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.evaluation.frame_rendering import render_avatar_frame
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.arkit import ARKIT_52
from avatar.jobs.images import labeled_grid
from avatar.model.avatar import Avatar
from avatar.model.resting import at_mean_pose
from avatar.motion.files.names import ARKIT
from avatar.rendering.animator import render_track
from avatar.types import JOINT_NAMES, ROOT, Camera, HeadParams, Motion

SHEET_SIZE = 224  # pixels, longer side of one image on a sheet
SHEET_COLUMNS = 6
PUPPET_RATE = 30.0  # frames per second
#: Label and expression weights of the puppet's poses, set by hand.
PUPPET: tuple[tuple[str, dict[str, float]], ...] = (
    ("neutral", {}),
    ("smile", {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}),
    ("open mouth", {"jawOpen": 0.6}),
    ("blink", {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
    ("pucker", {"mouthPucker": 0.8}),
    ("raised brows", {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8}),
)
HOLD = 12  # frames in a pose
MOVE = 18  # frames of the transition to the next one
PUPPET_YAW = 0.25  # radians, amplitude of the slow head rotation


def comparison_sheet(avatar: Avatar, capture: Capture) -> np.ndarray:
    """Held-out frames, uint8 [H,W,3]: rows with the video, the avatar, and the avatar without blendshapes."""
    held_out = capture.test_indices
    chosen = held_out[np.linspace(0, len(held_out) - 1, min(SHEET_COLUMNS, len(held_out))).astype(int)]
    frames = load_frames(capture, chosen, SHEET_SIZE, avatar.head)
    matte = frames.alpha.numpy()[..., None] / 255
    truth = frames.rgb.numpy() / 255 * matte + 1 - matte
    full = [render_avatar_frame(avatar, frames, index)[0] for index in range(len(chosen))]
    off = [render_avatar_frame(avatar, frames, index, blend=False)[0] for index in range(len(chosen))]
    rows = [("video", list(truth)), ("avatar", full), ("blendshapes off", off)]
    columns = [f"frame {number}" for number in capture.track["frame_number"][chosen]]
    return labeled_grid([(label, [_eight_bit(image) for image in row]) for label, row in rows], columns)


def puppet_sheet(avatar: Avatar, camera: Camera) -> np.ndarray:
    """The puppet's poses from the front and turned to both sides, rendered with `camera` [1], uint8 [H,W,3]."""
    weights = torch.stack([_weights(avatar, pose) for _, pose in PUPPET])
    sheet = []
    for label, yaw in (("front", 0.0), ("turned", PUPPET_YAW), ("other side", -PUPPET_YAW)):
        params = _posed(avatar, weights, torch.full((len(weights),), yaw))
        sheet.append((label, list(render_track(avatar, params, camera))))
    return labeled_grid(sheet, [label for label, _ in PUPPET])


def puppet_motion() -> Motion:
    """A motion through the puppet's poses with a slow head rotation, for any avatar."""
    keys = torch.zeros(len(PUPPET) + 1, len(ARKIT_52))
    for key, (_, pose) in zip(keys, PUPPET, strict=False):
        for name, value in pose.items():
            key[ARKIT_52.index(name)] = value
    smooth = (1 - torch.cos(torch.linspace(0, math.pi, MOVE)))[:, None] / 2
    parts = []
    for before, after in itertools.pairwise(keys):
        parts += [before.expand(HOLD, -1), torch.lerp(before, after, smooth)]
    weights = torch.cat(parts)
    frames = len(weights)
    joint_rot = torch.zeros(frames, len(JOINT_NAMES), 3)
    joint_rot[:, ROOT, 1] = PUPPET_YAW * torch.sin(torch.linspace(0, 4 * math.pi, frames))
    time = torch.arange(frames, dtype=torch.float64) / PUPPET_RATE
    return Motion(time, ARKIT_52, weights, ARKIT, joint_rot, torch.zeros(frames, 3))


def _weights(avatar: Avatar, pose: dict[str, float]) -> torch.Tensor:
    """Expression weights [E]: those of the person's resting face plus those of `pose`."""
    weights = avatar.neutral.clone()
    for name, value in pose.items():
        weights[avatar.head.expression_index(name)] += value
    return weights.clamp(*avatar.head.expression_limits)


def _posed(avatar: Avatar, weights: torch.Tensor, yaw: torch.Tensor) -> HeadParams:
    """Head parameters [T] with expressions `weights` [T,E], in the mean training pose rotated by `yaw` [T] radians."""
    turn = torch.stack([torch.zeros_like(yaw), yaw, torch.zeros_like(yaw)], -1)
    return at_mean_pose(avatar, weights, axis_angle_to_matrix(turn) @ avatar.rig.torso.mean_rotation)


def _eight_bit(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
