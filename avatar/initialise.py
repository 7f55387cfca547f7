"""The avatar a training starts from: where the Gaussians sit, how large they are and what colour they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar import ops
from avatar.blendshapes import Blendshapes
from avatar.frames import TrainingFrames
from avatar.geometry import matrix_to_quat, mean_rotation, triangle_frames
from avatar.head.model import HeadModel
from avatar.model import Avatar
from avatar.records import FACING_CAMERA, ROOT, Camera
from avatar.rig import Rig, TorsoMap
from avatar.train_config import TrainConfig

#: How densely a region is sampled, against plain skin; the first match wins.
DENSITY = (
    (("left_eyeball", "right_eyeball"), 1.2),
    (("teeth_upper", "teeth_lower", "tongue"), 0.8),
    (("mouth_interior",), 0.4),
    (("lips", "eyelids"), 2.2),
    (("face",), 1.6),
)
BACK_DENSITY = 0.12
#: Gaussians of these regions carry blendshape offsets.
EXPRESSIVE = (
    "face", "nose", "forehead", "lips", "eyelids", "left_eye_region", "right_eye_region", "left_eyeball",
    "right_eyeball", "teeth_upper", "teeth_lower", "tongue", "mouth_interior",
)  # fmt: skip
INSIDE = ("left_eyeball", "right_eyeball", "teeth_upper", "teeth_lower", "tongue", "mouth_interior")
SIZE_OF_SPACING = 0.6
NORMAL_AXIS = 0.35
HEAD_CENTRE = np.array([0.0, 0.0, -0.08])  # metres, skull frame
HAIR_LIFT = 0.003  # metres off the scalp
NEUTRAL_QUANTILE = 0.2
MOVES = 0.0015  # metres of expression motion above which a face is no anchor for hair


@dataclass
class Points:
    """Local Gaussians under construction; one row each, in the skull's frame."""

    face: np.ndarray  # [n]
    bary: np.ndarray  # [n,3]
    offset: np.ndarray  # [n,3] metres, in the triangle's frame
    quat: np.ndarray  # [n,4] against the triangle's frame
    spacing: np.ndarray  # [n] metres
    torso: np.ndarray  # [n] 0..1

    def __len__(self) -> int:
        return len(self.face)

    def __add__(self, other: Points) -> Points:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Points(*(np.concatenate(pair) for pair in pairs))

    def take(self, rows: np.ndarray) -> Points:
        """The rows `rows`, in that order."""
        return Points(*(values[rows] for values in vars(self).values()))


def vertex_mask(head: HeadModel, names: tuple[str, ...]) -> np.ndarray:
    """Vertices [V] in any of the regions `names`; regions the head lacks count as empty."""
    mask = np.zeros(len(head.v_template), bool)
    for name in names:
        if name in head.regions:
            mask |= head.regions[name].numpy()
    return mask


def torso_share(head: HeadModel) -> np.ndarray:
    """How much each vertex follows the torso [V], 0 for everything inside the head."""
    share = head.lbs_weights[:, ROOT].numpy().copy()
    share[vertex_mask(head, INSIDE)] = 0
    return share


def face_density(head: HeadModel, normals: np.ndarray) -> np.ndarray:
    """Sampling density of each face [F] against plain skin; the torso and what never shows get none."""
    first = head.faces.numpy()[:, 0]
    density = np.ones(len(first))
    decided = np.zeros(len(first), bool)
    for names, value in DENSITY:
        rows = vertex_mask(head, names)[first] & ~decided
        density[rows] = value
        decided |= rows
    backward = normals[:, 2] < -0.3
    density[~decided & backward] = BACK_DENSITY
    density[vertex_mask(head, ("left_eyeball", "right_eyeball"))[first] & (normals[:, 2] < 0.2)] = 0
    density[torso_share(head)[head.faces.numpy()].min(1) > 0.9] = 0
    return density


def sample_mesh(head: HeadModel, count: int, rng: np.random.Generator) -> Points:
    """`count` points spread over the neutral mesh by area times density (systematic sampling)."""
    corners = head.v_template.numpy()[head.faces.numpy()].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    density = face_density(head, cross / np.maximum(length, 1e-12)[:, None])
    cumulative = np.cumsum(0.5 * length * density)
    total = cumulative[-1]
    face = np.searchsorted(cumulative, (np.arange(count) + rng.random(count)) / count * total)
    face = np.minimum(face, len(density) - 1)
    root, second = np.sqrt(rng.random(count)), rng.random(count)
    bary = np.stack([1 - root, root * (1 - second), root * second], 1)
    spacing = np.sqrt(total / count / np.maximum(density[face], 1e-3))
    offset = np.zeros((count, 3))
    scalp = (vertex_mask(head, ("scalp",)) & ~vertex_mask(head, ("face",)))[head.faces.numpy()[face, 0]]
    offset[scalp, 2] = HAIR_LIFT
    quat = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    share = (torso_share(head)[head.faces.numpy()[face]] * bary).sum(1)
    return Points(face, bary, offset, quat, spacing, share)


def extreme_frames(frames: TrainingFrames) -> list[int]:
    """Five frames: nearest the mean pose, the extremes of yaw and of pitch, all as the cameras see it (no repeats)."""
    view = FACING_CAMERA.double() @ frames.camera.world_to_cam.double()
    seen = view[:, :3, :3] @ frames.rotation.double()
    turned = (seen @ mean_rotation(seen).T).numpy()
    place = ((view[:, :3, :3] @ frames.translation.double()[..., None])[..., 0] + view[:, :3, 3]).numpy()
    yaw, pitch = turned[:, 0, 2], turned[:, 1, 2]
    travel = np.linalg.norm(place - place.mean(0), axis=1)
    angle = np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1))
    picks = [np.argmin(angle + 2 * travel), yaw.argmin(), yaw.argmax(), pitch.argmin(), pitch.argmax()]
    return list(dict.fromkeys(int(pick) for pick in picks))


def uncovered_pixels(head: HeadModel, frames: TrainingFrames, frame: int) -> np.ndarray:
    """Pixels [n,2] (x, y centres) of frame `frame` that are in the matte but not on the tracked head."""
    rotation, translation = frames.rotation[frame], frames.translation[frame]
    world = frames.vertices(frame) @ rotation.T + translation
    camera = frames.view(frame)
    view = camera.world_to_cam[0]
    seen = world @ view[:3, :3].T + view[:3, 3]
    faces = head.faces[torch.from_numpy(torso_share(head))[head.faces].amax(1) < 0.5]
    face_id, _, _ = ops.mesh(seen[None], faces, camera.K, camera.width, camera.height)
    covered = (face_id[0] >= 0).numpy()
    ys, xs = np.nonzero((frames.alpha[frame].numpy() > 128) & ~covered)
    return np.stack([xs + 0.5, ys + 0.5], 1)


@dataclass
class FreePoints:
    """Points off the mesh, in the skull's frame (torso points: in the skull's frame at its mean pose)."""

    position: np.ndarray  # [n,3] metres
    torso: np.ndarray  # [n] bool
    spacing: float  # metres between neighbours
    axes: np.ndarray  # [3,3], columns right, up and towards the camera of the picture plane


def unproject(camera: Camera, spots: np.ndarray, depth: float) -> np.ndarray:
    """World points [n,3] of positions `spots` [n,2] in the picture of `camera` [1], at `depth` metres."""
    view = camera.world_to_cam[0].numpy().astype(np.float64)
    K = camera.K[0].numpy().astype(np.float64)
    rays = np.column_stack([spots, np.ones(len(spots))]) @ np.linalg.inv(K).T
    return (rays * depth - view[:3, 3]) @ view[:3, :3]


def sample_matte(head: HeadModel, frames: TrainingFrames, count: int, rng: np.random.Generator) -> FreePoints:
    """At most `count` points for what the mesh does not carry: hair, glasses, clothes.

    Matte pixels off the mesh in a few extreme frames are unprojected to the depth of the middle of the head; a later
    frame adds only what the earlier ones left uncovered.
    """
    middle, mean_translation = mean_pose(frames)
    chin = head.v_template[:, 1][head.faces[head.landmark_faces[152]]].mean().item() - 0.005
    points, torso = np.zeros((0, 3)), np.zeros(0, bool)
    pixel = 0.0
    chosen = extreme_frames(frames)
    for frame in chosen:
        rotation, translation = frames.rotation[frame].numpy(), frames.translation[frame].numpy()
        camera = frames.view(frame)
        depth = camera_depth(camera, rotation @ HEAD_CENTRE + translation)
        pixel = depth / camera.K[0, 0, 0].item()
        spots = uncovered_pixels(head, frames, frame)
        world = unproject(camera, spots + rng.uniform(-0.5, 0.5, spots.shape), depth)
        local = (world - translation) @ rotation
        low = local[:, 1] < chin
        local[low] = (world[low] - mean_translation) @ middle
        if len(points):
            new = cKDTree(points[:, :2]).query(local[:, :2])[0] > 1.2 * pixel
            local, low = local[new], low[new]
        points, torso = np.concatenate([points, local]), np.concatenate([torso, low])
    view = frames.view(chosen[0]).world_to_cam[0, :3, :3].numpy().astype(np.float64)
    axes = middle.T @ view.T @ np.diag([1.0, -1.0, -1.0])
    picks = rng.choice(len(points), count, replace=len(points) < count) if len(points) else np.zeros(0, np.int64)
    return FreePoints(points[picks], torso[picks], float(np.sqrt(len(points) / max(count, 1)) * pixel), axes)


def anchor(head: HeadModel, free: FreePoints) -> Points:
    """Bind free points to the nearest face that expressions leave alone.

    Points of the torso go to faces of the torso, the others to faces of the skull.
    """
    points, torso = free.position, free.torso
    faces, template = head.faces.numpy(), head.v_template.numpy().astype(np.float64)
    motion = head.expression_motion().norm(dim=1).amax(1).numpy()[faces].max(1)
    share = torso_share(head)[faces].mean(1)
    inside = vertex_mask(head, INSIDE)[faces[:, 0]]
    corners = template[faces]
    centres = corners.mean(1)
    face = np.zeros(len(points), np.int64)
    for rows, allowed in ((torso, share > 0.9), (~torso, (share < 0.05) & (motion < MOVES) & ~inside)):
        candidates = np.flatnonzero(allowed)
        if rows.any():
            face[rows] = candidates[cKDTree(centres[candidates]).query(points[rows])[1]]
    frame = triangle_frames(torch.from_numpy(corners[face])).numpy()
    bary = np.full((len(points), 3), 1 / 3)
    offset = np.einsum("nij,ni->nj", frame, points - centres[face])
    quat = matrix_to_quat(torch.from_numpy(np.einsum("nij,ik->njk", frame, free.axes))).numpy()
    return Points(face, bary, offset, quat, np.full(len(points), free.spacing), torso.astype(np.float64))


def resting_expression(expression: Tensor) -> Tensor:
    """What the tracker reads off this person's resting face [E], from all weights [T,E]: a low quantile."""
    return expression.quantile(NEUTRAL_QUANTILE, dim=0)


def mean_pose(frames: TrainingFrames) -> tuple[np.ndarray, np.ndarray]:
    """Mean skull pose [3,3], [3] of the training frames (chordal mean of the rotations)."""
    rotation = mean_rotation(frames.rotation.double()).numpy()
    return rotation, frames.translation.numpy().astype(np.float64).mean(0)


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


def camera_depth(camera: Camera, point: np.ndarray) -> float:
    """Depth in metres of a world `point` [3] along the axis of `camera` [1]."""
    view = camera.world_to_cam[0].numpy().astype(np.float64)
    return float(view[2, :3] @ point + view[2, 3])


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
