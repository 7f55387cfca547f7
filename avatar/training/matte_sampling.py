"""Gaussians for hair, glasses and clothes, which the mesh does not cover: sampled in the mattes of a few frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial import cKDTree

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import matrix_to_quat, mean_rotation, triangle_frames
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE
from avatar.training.mesh_sampling import SurfaceSamples
from avatar.types import FACING_CAMERA, Camera

HEAD_CENTER = np.array([0.0, 0.0, -0.08])  # meters, skull frame
#: Up to the first distance from the outline of the mesh, points have its depth, from the second one on that of the
#: head's center, meters: long hair beside a cheek is not as far in front as the cheek.
OUTLINE_REACH = (0.01, 0.03)
#: Pixels to the nearest point from an earlier frame, from which on a frame adds a point.
GAP = 1.2
#: Long hair follows the torso more and more from so far above the chin, over this length; meters.
STRAND_LIFT = 0.02
STRAND_LENGTH = 0.1
#: Hair is long if it covers this area between these heights above the chin, square meters and meters. A point below is
#: hair where this number of points of that hair is above it, within this distance to the side, and where its color is
#: that of hair: within so many standard deviations, which are at least this, 0..255.
LONG_HAIR = 0.0025
STRAND_BAND = (0.03, 0.07)
STRAND_POINTS = 5
STRAND_SIDE = 0.015
HAIR_RANGE = 2.5
HAIR_SPREAD = 12.0
#: The hull of a person who sits still: corners of the box of the torso (meters, skull frame, below the chin), size of
#: a cell, frames that are looked at, share of them that must show a cell, and its part of the points at most.
HULL = ((-0.32, -0.30, -0.34), (0.32, 0.0, 0.2))
CELL = 0.006
HULL_FRAMES = 32
HULL_SEEN = 0.25
HULL_SHARE = 0.5
OFF_MESH = 0.012  # meters, from its vertices
#: Meters: points are not bound to a triangle that expressions move by more than this.
MAX_MOTION = 0.0015


def extreme_frames(frames: TrainingFrames) -> list[int]:
    """Up to five frames: nearest to the mean pose, extremes of yaw and of pitch, as seen by the cameras; no repeats."""
    view = torch.tensor(FACING_CAMERA, dtype=torch.float64) @ frames.camera.world_to_cam.double()
    rotation = view[:, :3, :3] @ frames.rotation.double()
    turned = (rotation @ mean_rotation(rotation).T).numpy()
    place = ((view[:, :3, :3] @ frames.translation.double()[..., None])[..., 0] + view[:, :3, 3]).numpy()
    yaw = turned[:, 0, 2]
    pitch = turned[:, 1, 2]
    distance = np.linalg.norm(place - place.mean(0), axis=1)
    angle = np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1))
    picks = [np.argmin(angle + 2 * distance), yaw.argmin(), yaw.argmax(), pitch.argmin(), pitch.argmax()]
    return list(dict.fromkeys(int(pick) for pick in picks))


def uncovered_pixels(head: HeadModel, frames: TrainingFrames, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of frame `frame` that are in the matte but not on the tracked head.

    Returns:
        Their centers [n,2] (x, y), the depth [n] in meters of the nearest pixel on the head, and how far it is [n], in
        pixels; infinitely far, at depth 0, if the frame does not show the head.
    """
    rotation = frames.rotation[frame]
    translation = frames.translation[frame]
    camera = frames.view(frame)
    vertices = camera.to_camera(frames.vertices(frame) @ rotation.T + translation)
    faces = head.faces[head.torso_weight()[head.faces].amax(1) < 0.5]
    face_id, _, depth = ops.mesh(vertices[None], faces, camera.K, camera.width, camera.height)
    covered = (face_id[0] >= 0).numpy()
    ys, xs = np.nonzero((frames.alpha[frame].numpy() > 128) & ~covered)
    pixels = np.stack([xs + 0.5, ys + 0.5], 1)
    if not covered.any():
        return pixels, np.zeros(len(pixels)), np.full(len(pixels), np.inf)
    away, nearest = distance_transform_edt(~covered, return_indices=True)
    rows, columns = nearest[:, ys, xs]
    return pixels, depth[0].numpy()[rows, columns].astype(np.float64), away[ys, xs]


@dataclass
class MattePoints:
    """n points off the mesh, in the skull frame; points of the torso as if it were at rest, at the mean pose."""

    position: np.ndarray  # [n,3] meters
    torso: np.ndarray  # [n] bool, points of the torso
    skin: np.ndarray  # [n] 0..1, skinning weight of the torso
    spacing: np.ndarray  # [n] meters between neighbors
    axes: np.ndarray  # [3,3], columns right, up and towards the camera
    chin: float = 0.0  # its height, meters, skull frame
    all_sides: bool = False  # the back is among the points
    #: [m,3] meters, skull frame: all points of hair that reaches below the chin; m may be 0.
    long_hair: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


def unproject(camera: Camera, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """World points [n,3] at the positions `pixels` [n,2] in the image of `camera` [1], at `depth` [n] meters."""
    view = camera.world_to_cam[0].numpy().astype(np.float64)
    K = camera.K[0].numpy().astype(np.float64)
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(K).T
    return (rays * depth[:, None] - view[:3, 3]) @ view[:3, :3]


def sample_matte(head: HeadModel, frames: TrainingFrames, count: int, rng: np.random.Generator) -> MattePoints:
    """Points off the mesh for hair, glasses and clothes.

    Pixels in the matte but off the mesh, in a few extreme frames, are unprojected: those of the head near the mesh to
    the depth of its outline, which they continue, others to the depth of the head's center. A later frame adds only
    points where the earlier ones left a gap in its image.

    Args:
        head: the baked head.
        frames: the training frames.
        count: number of points; none if the mesh covers the whole matte.
        rng: source of random numbers.
    """
    middle, mean_translation = mean_pose(frames)
    chin = head.v_template[:, 1][head.faces[head.landmark_faces[152]]].mean().item() - 0.005
    points = np.zeros((0, 3))
    torso = np.zeros(0, bool)
    colors = np.zeros((0, 3))
    pixel = 0.0
    chosen = extreme_frames(frames)
    for frame in chosen:
        rotation = frames.rotation[frame].numpy()
        translation = frames.translation[frame].numpy()
        camera = frames.view(frame)
        middle_depth = camera_depth(camera, rotation @ HEAD_CENTER + translation)
        pixel = middle_depth / camera.K[0, 0, 0].item()
        pixels, outline, away = uncovered_pixels(head, frames, frame)
        columns, rows = pixels.astype(int).T
        shown = frames.rgb[frame].numpy()[rows, columns].astype(np.float64)
        pixels += rng.uniform(-0.5, 0.5, pixels.shape)
        torso_rotation, torso_translation = _torso_pose(frames, frame, (middle, mean_translation))
        plane = unproject(camera, pixels, np.full(len(pixels), middle_depth))
        low = ((plane - translation) @ rotation)[:, 1] < chin
        near = np.interp(away * pixel, OUTLINE_REACH, (1.0, 0.0))
        surface = unproject(camera, pixels, middle_depth + near * (outline - middle_depth))
        local = np.where(low[:, None], (plane - torso_translation) @ torso_rotation, (surface - translation) @ rotation)
        if len(points):
            world = np.where(
                torso[:, None], points @ torso_rotation.T + torso_translation, points @ rotation.T + translation
            )
            seen = camera.project(torch.from_numpy(world).float()).numpy()
            new = cKDTree(seen).query(pixels)[0] > GAP
            local = local[new]
            low = low[new]
            shown = shown[new]
        points = np.concatenate([points, local])
        torso = np.concatenate([torso, low])
        colors = np.concatenate([colors, shown])
    strand = long_hair(points, torso, colors, chin, pixel)
    skin = torso_weight(points, torso, strand, chin)
    long = points[strand]
    shell = hull_of_torso(head, frames, chin) if frames.states.still else np.zeros((0, 3))
    if len(shell):  # seen from all sides: at its surface, not at the depth of the head's center
        points, skin, torso = points[~torso], skin[~torso], torso[~torso]
    view = frames.view(chosen[0]).world_to_cam[0, :3, :3].numpy().astype(np.float64)
    axes = middle.T @ view.T @ np.diag([1.0, -1.0, -1.0])
    of_hull = min(round(HULL_SHARE * count), count) if len(shell) else 0
    first, gap = _picked(len(shell), of_hull, CELL, rng)
    second, spacing = _picked(len(points), count - of_hull, pixel, rng)
    return MattePoints(
        np.concatenate([shell[first], points[second]]),
        np.concatenate([np.ones(len(first), bool), torso[second]]),
        np.concatenate([np.ones(len(first)), skin[second]]),
        np.concatenate([gap, spacing]),
        axes,
        chin,
        bool(frames.states.still),
        long,
    )


def long_hair(points: np.ndarray, torso: np.ndarray, colors: np.ndarray, chin: float, pixel: float) -> np.ndarray:
    """Mask [n] of the points that belong to hair beside the face which is long.

    Args:
        points: [n,3] meters, skull frame.
        torso: [n] bool, those below the chin.
        colors: [n,3] in the image, 0..255.
        chin: its height, meters, skull frame.
        pixel: its size at the head, meters.
    """
    side, height = points[:, 0], points[:, 1] - chin
    hair = colors[~torso]
    if not len(hair):
        return np.zeros(len(points), bool)
    middle = np.median(hair, 0)
    spread = np.maximum(1.5 * np.median(np.abs(hair - middle), 0), HAIR_SPREAD)
    alike: np.ndarray = (np.abs(colors - middle) / spread).max(1) < HAIR_RANGE
    above = np.sort(side[alike & (height > STRAND_BAND[0]) & (height < STRAND_BAND[1])])
    if len(above) * pixel**2 < LONG_HAIR:
        return np.zeros(len(points), bool)
    right, left = (np.searchsorted(above, side + reach) for reach in (STRAND_SIDE, -STRAND_SIDE))
    return alike & (right - left >= STRAND_POINTS)


def torso_weight(points: np.ndarray, torso: np.ndarray, strand: np.ndarray, chin: float) -> np.ndarray:
    """Skinning weights [n] of the torso: long hair is bent between head and shoulders, not torn off at the chin.

    Args:
        points: [n,3] meters, skull frame.
        torso: [n] bool, those below the chin.
        strand: [n] bool, those of long hair.
        chin: its height, meters, skull frame.
    """
    part = np.clip((STRAND_LIFT - points[:, 1] + chin) / STRAND_LENGTH, 0, 1)
    return np.where(strand, part * part * (3 - 2 * part), torso.astype(np.float64))


def _picked(count: int, wanted: int, apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random `wanted` of `count` points that are `apart` (meters) from their neighbors, and how far those are then."""
    if not count or not wanted:
        return np.zeros(0, np.int64), np.zeros(0)
    picks = rng.choice(count, wanted, replace=count < wanted)
    return picks, np.full(wanted, np.sqrt(count / wanted) * apart)


def hull_of_torso(head: HeadModel, frames: TrainingFrames, chin: float) -> np.ndarray:
    """Points [n,3] off the mesh on the surface of what is inside of all mattes below the chin, meters, skull frame.

    Args:
        head: the baked head.
        frames: of a person who sits still, from all sides.
        chin: height of the chin, meters, skull frame.
    """
    axes = [np.arange(low, high, CELL) for low, high in zip(*HULL, strict=True)]
    axes[1] = axes[1][axes[1] < 0] + chin
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    shape = cells.shape[:3]
    inside = np.ones(shape, bool)
    shown = np.zeros(shape, np.int64)
    for frame in np.unique(np.linspace(0, len(frames) - 1, HULL_FRAMES).astype(int)):
        camera = frames.view(int(frame))
        world = cells.reshape(-1, 3) @ frames.rotation[frame].numpy().T + frames.translation[frame].numpy()
        place = np.floor(camera.project(torch.from_numpy(world).float()).numpy()).astype(int).reshape(*shape, 2)
        framed = ((place >= 0) & (place < [camera.width, camera.height])).all(-1)
        columns, rows = place[framed].T
        inside[framed] &= frames.alpha[frame].numpy()[rows, columns] > 128
        shown += framed
    inside &= shown > HULL_SEEN * HULL_FRAMES
    kept = binary_erosion(inside, border_value=1)
    surface: np.ndarray = cells[inside & ~kept]
    off_mesh = cKDTree(head.v_template.numpy()).query(surface)[0] > OFF_MESH
    return surface[off_mesh]


def _torso_pose(
    frames: TrainingFrames, frame: int, rest: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Pose of the torso [3,3], [3] in a frame: `rest` where it is not known."""
    torso = frames.states.torso
    step = frames.step[frame]
    return rest if torso is None else (torso.rotation[step].numpy(), torso.translation[step].numpy())


def bind_to_mesh(head: HeadModel, points: MattePoints) -> SurfaceSamples:
    """Bind points to the nearest triangle that expressions hardly move.

    Points of the torso are bound to triangles of the torso, the others to triangles of the skull.
    """
    position = points.position
    torso = points.torso
    faces = head.faces.numpy()
    template = head.v_template.numpy().astype(np.float64)
    motion = head.expression_distances().amax(1).numpy()[faces].max(1)
    torso_part = head.torso_weight().numpy()[faces].mean(1)
    inside = head.mask(*INSIDE).numpy()[faces[:, 0]]
    corners = template[faces]
    centers = corners.mean(1)
    face = np.zeros(len(position), np.int64)
    skull = (torso_part < 0.05) & (motion < MAX_MOTION) & ~inside
    for rows, allowed in ((torso, torso_part > 0.9), (~torso, skull)):
        candidates = np.flatnonzero(allowed)
        if rows.any():
            face[rows] = candidates[cKDTree(centers[candidates]).query(position[rows])[1]]
    frame = triangle_frames(torch.from_numpy(corners[face])).numpy()
    bary = np.full((len(position), 3), 1 / 3)
    offset = np.einsum("nij,ni->nj", frame, position - centers[face])
    quat = matrix_to_quat(torch.from_numpy(np.einsum("nij,ik->njk", frame, points.axes))).numpy()
    spacing = points.spacing
    return SurfaceSamples(face, bary, offset, quat, spacing, points.skin)


def mean_pose(frames: TrainingFrames) -> tuple[np.ndarray, np.ndarray]:
    """Mean skull pose [3,3], [3] of the training frames (chordal mean of the rotations)."""
    rotation = mean_rotation(frames.rotation.double()).numpy()
    return rotation, frames.translation.numpy().astype(np.float64).mean(0)


def camera_depth(camera: Camera, point: np.ndarray) -> float:
    """Depth in meters of a world `point` [3] along the axis of `camera` [1]."""
    view = camera.world_to_cam[0].numpy().astype(np.float64)
    return float(view[2, :3] @ point + view[2, 3])


def nearest_pixel(frames: TrainingFrames) -> float:
    """Size in meters of a pixel at the head in the nearest training view; the nearest 5 % of the views count as one."""
    view = frames.camera.world_to_cam.double()
    depth = (view[:, 2, :3] * frames.translation.double()).sum(-1) + view[:, 2, 3]
    sizes = (depth / frames.camera.K[:, 0, 0].double()).cpu().numpy()
    return float(np.quantile(sizes[sizes > 0], 0.05)) if (sizes > 0).any() else 0.0
