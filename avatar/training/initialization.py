"""The untrained avatar: positions, sizes and colors of its Gaussians before the first step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import triangle_frames
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE, Region
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import Blendshapes, Mode
from avatar.model.parts.mesh_layer import EYES, MOUTH, MeshLayer, has_parts, skin_vertices
from avatar.model.resting import resting_expression
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.stretch import Stretch, stretching_vertices
from avatar.model.torso import TorsoMap
from avatar.training.backing import MOST, backing_samples, opaque
from avatar.training.config import TrainConfig
from avatar.training.hair_height import hair_heights
from avatar.training.hair_texture import as_strands
from avatar.training.matte_sampling import bind_to_mesh, camera_depth, mean_pose, nearest_pixel, sample_matte
from avatar.training.mesh_sampling import SurfaceSamples, sample_mesh
from avatar.training.parts.local_bases import face_parts, local_mask
from avatar.training.parts.registry import part_kinds
from avatar.training.unseen import MOST_UNSEEN, unseen_samples, with_sheet
from avatar.types import Binding, LocalGaussians

#: Gaussians of these regions have blendshape offsets.
EXPRESSIVE: tuple[Region, ...] = (
    "face",
    "nose",
    "forehead",
    "lips",
    "eyelids",
    "left_eye_region",
    "right_eye_region",
    *INSIDE,
)
LAYER_PARTS = MOUTH + EYES  # have no Gaussians in an avatar with a mesh layer
#: Brows, lashes and lips have all their Gaussians over a layer with skin, too; elsewhere on it there are fewer.
DETAILED: tuple[Region, ...] = ("left_eye_region", "right_eye_region", "lips")
SCALE_PER_SPACING = 0.6  # standard deviation of a Gaussian relative to the distance of its neighbors
MIN_PIXELS = 0.35  # smallest initial standard deviation
#: Skinning weights of the torso above this are smoothed, over this number of neighbors; distances along the view count
#: by this factor.
NECK = 0.05
NEIGHBORS = 24
DEPTH_FACTOR = 0.25
#: Height of the Gaussians of hair, relative to that of the hair.
LIFTED = (0.6, 1.0)
NORMAL_SCALE = 0.35  # standard deviation along the normal relative to that along the surface


def expression_mask(head: HeadModel, samples: SurfaceSamples, count: int, features: int) -> Tensor:
    """Factor 0..1 [features,count] of the offsets of each Gaussian for each feature: 1 where the mesh moves.

    The factor is 1 where the triangle moves by a tenth of the largest motion of the expression or more. Rotations of
    jaw and eyes (the features after the expressions) act where their joint has skinning weight.

    Args:
        head: the baked head.
        samples: the Gaussians.
        count: number of Gaussians with offsets, the first ones of `samples`.
        features: number of features F.
    """
    triangle_motion = head.expression_distances()[head.faces].mean(1).T  # [E,triangles]
    relative = triangle_motion / triangle_motion.amax(1, keepdim=True).clamp_min(1e-6)
    joints = head.lbs_weights[head.faces].mean(1)[:, 2:].T.repeat_interleave(3, 0)  # [9,triangles]
    mask = torch.cat([(relative / 0.1).clamp(0, 1), (joints / 0.1).clamp(0, 1)])[:features]
    mask = torch.where(mask < 0.2, torch.zeros_like(mask), mask)
    return mask[:, torch.from_numpy(samples.face[:count])]


def build_avatar(head: HeadModel, frames: TrainingFrames, config: TrainConfig) -> Avatar:
    """The untrained avatar for a baked `head` and its training frames."""
    rng = np.random.default_rng(config.seed)
    extras = round(config.gaussians * config.extra_share)
    layer = MeshLayer(head, config.skin) if config.has_layer and has_parts(head) else None
    without = () if layer is None else LAYER_PARTS
    thin = None
    if layer is not None and layer.skin:
        thin = skin_vertices(head).numpy() & ~head.mask(*DETAILED).numpy()
    backing = backing_samples(head, round(MOST * config.gaussians))
    samples = sample_mesh(head, config.gaussians - extras, rng, without, thin)
    off_mesh = sample_matte(head, frames, extras, rng)
    samples = lift_hair(samples, head, hair_heights(head, frames), rng)
    expressive = head.mask(*EXPRESSIVE).numpy()[head.faces.numpy()[samples.face, 0]] & (samples.torso < 0.5)
    samples = samples.take(np.argsort(~expressive, kind="stable"))
    count = int(expressive.sum())
    if len(off_mesh.position):
        samples = smooth_torso(head, samples + bind_to_mesh(head, off_mesh))
    first = len(samples)
    sheets = unseen_samples(head, off_mesh, round(MOST_UNSEEN * config.gaussians), rng) if config.prior else []
    samples = sum((hidden for _, hidden in sheets), samples)
    samples = samples + backing
    rotation, translation = (torch.from_numpy(x).float() for x in mean_pose(frames))
    neck = head.joint_locations(head.v_template.new_zeros(0))[1]
    torso = TorsoMap(rotation, translation, neck)
    torso.learn_limits(torso.features(frames.rotation, frames.translation))
    triangles = head.faces[torch.from_numpy(samples.face)]
    rig = Rig(Binding(triangles, _float(samples.bary), _float(samples.torso)), torso)
    if config.stretch:
        rig.stretch = Stretch(head, stretching_vertices(head), triangles)
    blendshapes = _blendshapes(head, frames, config, samples, count)
    layers = [] if layer is None else [layer]
    neutral = resting_expression(frames.features[:, : len(head.expression_names)])
    local = opaque(as_strands(_initial_values(head, frames, samples), head, samples), backing)
    for sheet, hidden in sheets:
        local = with_sheet(local, sheet, slice(first, first + len(hidden)))
        first += len(hidden)
    avatar = Avatar(head, rig, blendshapes, local, neutral, layers)
    avatar.sampling = Sampling(config.filter * nearest_pixel(frames), config.dilation).rounded()
    for part in part_kinds():
        part.build(avatar, frames, config)
    return avatar


def _blendshapes(
    head: HeadModel, frames: TrainingFrames, config: TrainConfig, samples: SurfaceSamples, count: int
) -> Blendshapes:
    """Blendshapes without offsets for the first `count` of the `samples`."""
    features = frames.features
    parts = []
    mask = None
    if config.mode != "reduced":
        mask = expression_mask(head, samples, count, features.shape[1])
    if config.mode == "local":
        assert mask is not None
        parts = face_parts(head.expression_names, config.bases)
        mask = local_mask(parts, mask)
    mode: Mode = "expression" if config.mode == "expression" else "reduced"
    bases = [(part.features, part.bases) for part in parts]
    blendshapes = Blendshapes(mode, features, config.bases, count, mask, bases)
    if mode == "reduced":
        generator = torch.Generator().manual_seed(config.seed)
        with torch.no_grad():
            blendshapes.mix.add_(0.05 * torch.randn(blendshapes.mix.shape, generator=generator))
    if not config.bases:
        _allow_all_expressions(head, blendshapes)
    return blendshapes


def lift_hair(
    samples: SurfaceSamples, head: HeadModel, heights: np.ndarray, rng: np.random.Generator
) -> SurfaceSamples:
    """The same samples, those below hair raised to 60 to 100 % of its height.

    Args:
        samples: on the mesh.
        head: the baked head.
        heights: [V] of the hair, meters.
        rng: random numbers.
    """
    height = (heights[head.faces.numpy()[samples.face]] * samples.bary).sum(1) * rng.uniform(*LIFTED, len(samples))
    offset = samples.offset.copy()
    offset[:, 2] = np.maximum(offset[:, 2], height)
    return replace(samples, offset=offset)


def _allow_all_expressions(head: HeadModel, blendshapes: Blendshapes) -> None:
    """Widen the trained range to all expressions: nothing was learned of them that would be wrong outside of it."""
    count = len(head.expression_names)
    low, high = head.expression_limits
    blendshapes.low[:count] = blendshapes.low[:count].minimum(low)
    blendshapes.high[:count] = blendshapes.high[:count].maximum(high)


def smooth_torso(head: HeadModel, samples: SurfaceSamples) -> SurfaceSamples:
    """The same samples, with the mean skinning weight of their neighbors on the neck and the torso.

    Points off the mesh have weight 1 and lie over the lower neck, where the mesh has less: a collar of both tears when
    the head turns.
    """
    rows = np.flatnonzero(samples.torso > NECK)
    if len(rows) < NEIGHBORS:
        return samples
    corners = head.v_template.numpy().astype(np.float64)[head.faces.numpy()[samples.face[rows]]]
    frame = triangle_frames(torch.from_numpy(corners)).numpy()
    place = (corners * samples.bary[rows, :, None]).sum(1) + np.einsum("nij,nj->ni", frame, samples.offset[rows])
    place[:, 2] *= DEPTH_FACTOR
    torso = samples.torso.copy()
    torso[rows] = samples.torso[rows][cKDTree(place).query(place, NEIGHBORS)[1]].mean(1)
    return replace(samples, torso=torso)


def _initial_values(head: HeadModel, frames: TrainingFrames, samples: SurfaceSamples) -> LocalGaussians:
    """Gaussians as wide as the spacing of the samples, in the colors of the head."""
    depth = camera_depth(frames.view(0), frames.translation.mean(0).numpy())
    pixel = depth / frames.camera.K[0, 0, 0].item()
    size = np.log(np.maximum(samples.spacing * SCALE_PER_SPACING, MIN_PIXELS * pixel))
    log_scales = np.stack([size, size, size + np.log(NORMAL_SCALE)], 1)
    bary = _float(samples.bary)
    colors = (head.colors[head.faces[torch.from_numpy(samples.face)]] * bary[:, :, None]).sum(1)
    return LocalGaussians(
        _float(samples.offset), _float(samples.quat), _float(log_scales), torch.ones(len(samples)), colors
    )


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
