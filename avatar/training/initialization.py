"""The avatar a training starts from: where the Gaussians sit, how large they are and what color they have."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.head.regions import vertex_mask
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.neutral import resting_expression
from avatar.model.rig import Rig, TorsoMap
from avatar.training.config import TrainConfig
from avatar.training.matte_sampling import anchor, camera_depth, mean_pose, sample_matte
from avatar.training.mesh_sampling import Points, sample_mesh

#: Gaussians of these regions carry blendshape offsets.
EXPRESSIVE = (
    "face", "nose", "forehead", "lips", "eyelids", "left_eye_region", "right_eye_region", "left_eyeball",
    "right_eyeball", "teeth_upper", "teeth_lower", "tongue", "mouth_interior",
)  # fmt: skip
SIZE_OF_SPACING = 0.6
NORMAL_AXIS = 0.35


def expression_mask(head: HeadModel, points: Points, count: int, features: int) -> Tensor:
    """How far each of `count` Gaussians may follow each feature [features,count]: 1 where the mesh itself moves.

    A Gaussian gets full freedom where its face moves by a tenth of the expression's largest motion or more. Jaw and
    eye rotations (the features after the expressions) move what their joint carries.
    """
    corner_motion = head.expression_motion().norm(dim=1)[head.faces].mean(1).T  # [E,F]
    reach = corner_motion / corner_motion.amax(1, keepdim=True).clamp_min(1e-6)
    joints = head.lbs_weights[head.faces].mean(1)[:, 2:].T.repeat_interleave(3, 0)  # [9,F]
    share = torch.cat([(reach / 0.1).clamp(0, 1), (joints / 0.1).clamp(0, 1)])[:features]
    share = torch.where(share < 0.2, torch.zeros_like(share), share)
    return share[:, torch.from_numpy(points.face[:count])]


def build_avatar(head: HeadModel, frames: TrainingFrames, config: TrainConfig) -> Avatar:
    """The untrained avatar for a baked `head` and its training frames."""
    rng = np.random.default_rng(config.seed)
    extras = round(config.gaussians * config.extra_share)
    points = sample_mesh(head, config.gaussians - extras, rng)
    free = sample_matte(head, frames, extras, rng)
    expressive = vertex_mask(head, EXPRESSIVE)[head.faces.numpy()[points.face, 0]] & (points.torso < 0.5)
    points = points.take(np.argsort(~expressive, kind="stable"))
    count = int(expressive.sum())
    if len(free.position):
        points = points + anchor(head, free)
    middle, mean_translation = (torch.from_numpy(x).float() for x in mean_pose(frames))
    neck = head.joint_locations(head.v_template.new_zeros(0))[1]
    torso = TorsoMap(middle, mean_translation, neck)
    torso.learn_limits(torso.features(frames.rotation, frames.translation))
    triangles = head.faces[torch.from_numpy(points.face)]
    rig = Rig(triangles, _float(points.bary), _float(points.torso), torso)
    mask = expression_mask(head, points, count, frames.features.shape[1]) if config.mode == "expression" else None
    blendshapes = Blendshapes(config.mode, frames.features, config.bases, count, mask)
    if config.mode == "reduced":
        generator = torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            blendshapes.mix.add_(0.05 * torch.randn(blendshapes.mix.shape, generator=generator))
    return Avatar(head, rig, blendshapes, _initial(head, frames, points))


def _initial(head: HeadModel, frames: TrainingFrames, points: Points) -> dict[str, Tensor]:
    depth = camera_depth(frames.view(0), frames.translation.mean(0).numpy())
    pixel = depth / frames.camera.K[0, 0, 0].item()
    size = np.log(np.maximum(points.spacing * SIZE_OF_SPACING, 0.35 * pixel))
    log_scales = np.stack([size, size, size + np.log(NORMAL_AXIS)], 1)
    bary = _float(points.bary)
    colors = (head.colors[head.faces[torch.from_numpy(points.face)]] * bary[:, :, None]).sum(1)
    return {
        "offsets": _float(points.offset),
        "quats": _float(points.quat),
        "log_scales": _float(log_scales),
        "logit_opacities": torch.ones(len(points)),
        "colors": colors,
        "neutral": resting_expression(frames.features[:, : len(head.expression_names)]),
    }


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
