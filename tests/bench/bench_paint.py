"""Painted marks against the visible surface, over 20 expressions and 5 views.

    python -m tests.bench.bench_paint me.avatar other.avatar --json paint.json

Discs are painted on four places of the face, and the avatar is rendered in every expression from five sides. The seen
surface is the depth of the avatar without paint: where the normal of the mesh at a painted point meets it, the point
should be rendered. Before that the point moves along the mesh as the Gaussians around it do, by their learned offsets.
The mark is where the paint is rendered: at the center of the change from black to white paint. The distance from the
center of the points is measured in the image, in millimeters at the depth of the mark and in texels of the paint map
(1024 per side; the side of a square of their area at the mark). Views of 75 degrees or more to the normal of a mark do
not count.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar import ops
from avatar.editing.decals import Canvas, Painter
from avatar.editing.surface_map import SIZE, SurfaceMap, in_image
from avatar.export.posed import posed
from avatar.geometry.rotations import triangle_frames
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.model.blendshapes import expression_features
from avatar.model.resting import resting_vertices
from avatar.rendering.animator import Animator
from avatar.rendering.cameras import front_camera, subject_of
from avatar.types import Camera, HeadParams
from viewer.render.orbit import Orbit

EXPRESSIONS = (
    "jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthPucker", "mouthFunnel", "mouthLeft",
    "mouthRight", "cheekPuff", "cheekSquintLeft", "noseSneerLeft", "noseSneerRight", "eyeBlinkLeft", "browDownLeft",
    "browInnerUp", "mouthRollLower", "mouthStretchLeft", "mouthDimpleLeft", "mouthUpperUpLeft", "jawForward",
)  # fmt: skip
VIEWS = (-30, -15, 0, 15, 30)
#: Landmarks of the marks.
PLACES = {"left cheek": 280, "right cheek": 50, "forehead": 151, "chin": 199}
_WEIGHT, _PIXELS = 0.7, 768
#: Degrees to the normal of a mark between which images are counted together.
_STEPS = (0, 30, 45, 60, 75)
_RADIUS = 16  # texels
#: Meters over the mesh at which the surface may be; standard deviation of the filter of the depth, pixels.
_HEIGHTS, _BLUR = torch.linspace(-0.004, 0.010, 113), 2.0
#: Meters within which Gaussians count as those around a mark, and around it in which its paint is looked for.
_REACH, _WINDOW = 0.004, 0.012
#: Meters of depth around the mesh within which Gaussians are skin; of what is beside the mesh.
_NEAR, _FAR = 0.008, 10.0
_EDGE = 0.25  # part of the highest coverage of a mark from which on it counts as visible
_RIM = 0.002, 0.006  # meters outside of the edge of a mark that count as its surroundings


@dataclass(frozen=True)
class Place:
    """A disc on the paint map, as S points of the mesh."""

    face: Tensor  # [S] int64, the first one at the middle
    bary: Tensor  # [S,3]
    texel: float  # millimeters, the side of a square of the area that a texel has at the middle
    radius: float  # meters
    rows: Tensor  # [K] Gaussians around
    weights: Tensor  # [K] of their offsets


@dataclass(frozen=True)
class Shown:
    """A mark in one image."""

    steepness: float  # degrees between the normal of the mark and the direction to the camera
    shift: tuple[float, float]  # millimeters in the image from the surface point to the mark, to the right and down
    from_mesh: float  # millimeters in the image from the point of the mesh
    coverage: float  # 0..1, mean of the paint over the points
    around: float  # 0..1, mean change of the surroundings

    @property
    def error(self) -> float:
        """Millimeters."""
        return float(np.hypot(*self.shift))


def places_of(avatar: Avatar) -> tuple[list[Place], Canvas]:
    """The discs, and the canvas with them in black."""
    head, surface = avatar.head, SurfaceMap.of(avatar.head)
    rest, means = resting_vertices(avatar, head)
    points = surface.points(head, rest)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    canvas, found = np.zeros((SIZE, SIZE, 4), np.uint8), []
    for landmark in PLACES.values():
        uv = (head.uv[head.uv_faces[head.landmark_faces[landmark]]] * head.landmark_bary[landmark][:, None]).sum(0)
        column, row = in_image(uv, SIZE).double().tolist()
        distance = np.hypot(x - column, y - row)
        canvas[distance < _RADIUS, 3] = 255
        at = np.nonzero(distance < _RADIUS)
        at = np.append(int(row), at[0]), np.append(int(column), at[1])
        middle = points[at][0]
        radius = float((points[at] - middle).norm(dim=1).max())
        moving = means[: avatar.blendshapes.count]
        away = (moving - middle).norm(dim=1)
        rows = (away < 2.5 * _REACH).nonzero()[:, 0]
        weights = torch.exp(-((away[rows] / _REACH) ** 2)) * avatar.logit_opacities[rows].sigmoid()
        box = points[int(row) - 4 : int(row) + 5 : 8, int(column) - 4 : int(column) + 5 : 8]
        area = torch.linalg.cross(box[1, 1] - box[0, 0], box[0, 1] - box[1, 0]).norm() / 2  # of 8 x 8 texels
        texel = float(area.sqrt()) / 8 * 1000
        found.append(Place(surface.face[at], surface.bary[at], texel, radius, rows, weights / weights.sum()))
    return found, canvas


def skin_depth(plain: Animator, avatar: Avatar, params: HeadParams, camera: Camera) -> Tensor:
    """Depth [H,W] in meters of the skin in the last frame of `plain`; _FAR beside the mesh.

    It is the depth of the mesh plus the mean by blend weight of how far Gaussians are behind it, of those within _NEAR:
    the little light that passes the skin would move the mean far.

    Args:
        plain: the animator of the avatar.
        avatar: without paint.
        params: [1] of the frame.
        camera: [1].
    """
    seen = camera.to_camera(avatar.head.vertices(params)[0])
    face, bary, _ = ops.mesh(seen[None].contiguous(), avatar.head.faces, camera.K, camera.width, camera.height)
    inverse = (bary[0] / seen[avatar.head.faces[face[0].long().clamp_min(0)]][..., 2]).sum(-1)
    # The inverse of the depth is linear in the image.
    mesh = torch.where(face[0] >= 0, 1 / inverse.clamp_min(1e-3), _FAR)
    means = avatar(params).means[0]
    columns, rows = camera.project(means).long().clamp(0, _PIXELS - 1).unbind(1)
    behind = camera.to_camera(means)[:, 2] - mesh[rows, columns]
    near = (behind.abs() < _NEAR).float()
    blended = plain.blend_features(torch.stack([behind * near, near, 0 * near], 1)).numpy()
    blurred = cv2.GaussianBlur(blended, (0, 0), _BLUR)
    return mesh + torch.from_numpy(blurred[..., 0] / np.maximum(blurred[..., 1], 1e-3))


def surface_points(avatar: Avatar, place: Place, params: HeadParams, depth: Tensor, camera: Camera) -> Tensor:
    """The points of a disc in the world: on the mesh [S,3], and where they are visible [S,3].

    Args:
        avatar: without paint.
        place: of the disc.
        params: [1].
        depth: [H,W] meters, of the avatar without paint.
        camera: [1] of the depth.

    Returns:
        [2,S,3] meters.
    """
    corners = avatar.head.vertices(params)[0][avatar.head.faces[place.face]]
    mesh, normal = (corners * place.bary[..., None]).sum(1), triangle_frames(corners[:1])[0, :, 2]
    slide = _learned_motion(avatar, place, params)
    slide = slide - (slide @ normal) * normal
    line = mesh[:, None] + slide + _HEIGHTS[:, None] * normal
    pixels = camera.project(line.flatten(0, 1)).view(*line.shape[:2], 2)
    grid = pixels / torch.tensor([camera.width, camera.height]) * 2 - 1
    there = torch.nn.functional.grid_sample(depth[None, None], grid[None], align_corners=False)[0, 0]
    apart = there - camera.to_camera(line.flatten(0, 1))[:, 2].view(line.shape[:2])
    best = apart.abs().argmin(1)
    return torch.stack([mesh, line[torch.arange(len(mesh)), best]])


def _learned_motion(avatar: Avatar, place: Place, params: HeadParams) -> Tensor:
    """Mean motion [3] in the world that the Gaussians around a disc learned for an expression, from their rest."""
    rest = avatar.head.neutral_params(1)
    rest.expression[:] = avatar.neutral
    both = (
        avatar.weights(expression_features(params)),
        avatar.weights(expression_features(rest)),
    )
    local = (avatar.blendshapes(both[0]) - avatar.blendshapes(both[1]))[0, place.rows, :3] * avatar.blendshapes.units[
        :3
    ]
    frames = triangle_frames(avatar.head.vertices(params)[0][avatar.rig.triangles[place.rows]])
    return ((frames @ local[..., None])[..., 0] * place.weights[:, None]).sum(0)


def shown(
    points: Tensor, place: Place, paint: NDArray[np.float64], change: NDArray[np.float64], camera: Camera
) -> Shown:
    """The mark of a place in one image.

    Args:
        points: [2,S,3] from `surface_points`.
        place: of the disc.
        paint: [H,W] 0..1, coverage by paint.
        change: [H,W] 0..1, of the image by painting.
        camera: [1].
    """
    mesh, there = camera.project(points[0]).numpy(), camera.project(points[1]).numpy()
    expected, eye = _center(there), torch.linalg.inv(camera.world_to_cam[0])[:3, 3]
    pixel = float((eye - points[1, 0]).norm()) / float(camera.K[0, 0, 0])
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    near = np.where(np.hypot(x - expected[0], y - expected[1]) < (place.radius + _WINDOW) / pixel, paint, 0.0)
    near = np.maximum(near - _EDGE * near.max(), 0)
    found = np.array([(near * x).sum(), (near * y).sum()]) / max(near.sum(), 1e-6)
    columns, rows = np.floor(there).astype(int).T
    mask = np.zeros(paint.shape, np.uint8)
    mask[rows, columns] = 1
    outer, inner = (
        cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(width / pixel) + 1,) * 2)) > 0
        for width in reversed(_RIM)
    )
    shift = (found - expected) * pixel * 1000
    from_mesh = float(np.linalg.norm(found - _center(mesh))) * pixel * 1000
    coverage, around = float(paint[rows, columns].mean()), float(change[outer & ~inner].mean())
    return Shown(_steepness(points, eye), (float(shift[0]), float(shift[1])), from_mesh, coverage, around)


def _center(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The center [2] of the area of a disc in the image, pixels, from points [S,2] of it."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    x, y = (hull - hull.mean(0)).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    sums = [((each + np.roll(each, -1)) * cross).sum() for each in (x, y)]
    return np.asarray(hull.mean(0) + np.array(sums) / (3 * cross.sum()))


def _steepness(points: Tensor, eye: Tensor) -> float:
    """Degrees between the direction to the camera and the normal of the mesh, from points [2,S,3] of a disc."""
    away = points[0] - points[0].mean(0)
    normal = torch.linalg.svd(away)[2][2]
    to_eye = torch.nn.functional.normalize(eye - points[0, 0], dim=0)
    return float(torch.rad2deg(torch.arccos((normal @ to_eye).abs().clamp(max=1))))


def measured(avatar: Avatar) -> dict[str, dict[int, list[Shown]]]:
    """All images of all marks by place and view."""
    subject = subject_of(avatar, posed(avatar))
    front = front_camera(subject, _PIXELS, _PIXELS)
    places, canvas = places_of(avatar)
    black = Painter(avatar).painted(canvas)
    white = Painter(avatar).painted(canvas | np.array([255, 255, 255, 0], np.uint8))
    plain, marked = Animator(avatar, _PIXELS, _PIXELS), Animator(white, _PIXELS, _PIXELS)
    found: dict[str, dict[int, list[Shown]]] = {name: {yaw: [] for yaw in VIEWS} for name in PLACES}
    for expression in EXPRESSIONS:
        params = posed(avatar, {expression: _WEIGHT})
        for yaw in VIEWS:
            camera = Orbit(yaw=yaw).camera(front, subject.center)
            before = plain.render(params, camera).numpy().astype(np.float64)
            depth = skin_depth(plain, avatar, params, camera)
            after = marked.render(params, camera).numpy().astype(np.float64)
            paint = marked.blend_features(white.colors - black.colors).numpy()[..., 0].astype(np.float64)
            change = np.abs(after - before).mean(-1) / 255
            for name, place in zip(PLACES, places, strict=True):
                points = surface_points(avatar, place, params, depth, camera)
                one = shown(points, place, paint, change, camera)
                if one.steepness < _STEPS[-1]:
                    found[name][yaw].append(one)
    return found


def summary(images: list[Shown], texels: list[float]) -> dict[str, float]:
    """Mean and 95th percentile of the error in millimeters and in texels of a size in millimeters for each image."""
    error = np.array([one.error for one in images])
    in_texels = error / np.array(texels)
    shifts = np.array([one.shift for one in images])
    values = {
        "images": len(images), "mean_mm": error.mean(), "p95_mm": np.quantile(error, 0.95),
        "mean_texels": in_texels.mean(), "p95_texels": np.quantile(in_texels, 0.95),
        "spread_p95_mm": np.quantile(np.linalg.norm(shifts - shifts.mean(0), axis=1), 0.95),
        "from_mesh_mm": np.mean([one.from_mesh for one in images]),
        "steepness": np.mean([one.steepness for one in images]),
        "coverage": np.mean([one.coverage for one in images]), "around": np.mean([one.around for one in images]),
    }  # fmt: skip
    return {key: round(float(value), 4) for key, value in values.items()}


def table(avatar: Avatar) -> dict[str, dict[str, float]]:
    """The figures of each view of each place, of each place, of each view, and of all."""
    texel = dict(zip(PLACES, (place.texel for place in places_of(avatar)[0]), strict=True))
    found = measured(avatar)
    groups = {
        **{f"{name} {yaw}": [(name, yaw)] for name in PLACES for yaw in VIEWS},
        **{name: [(name, yaw) for yaw in VIEWS] for name in PLACES},
    }
    everything = [(one, texel[name]) for name in PLACES for yaw in VIEWS for one in found[name][yaw]]
    rows = {}
    for title, keys in groups.items():
        images = [one for name, yaw in keys for one in found[name][yaw]]
        if images:
            rows[title] = summary(images, [texel[name] for name, yaw in keys for _ in found[name][yaw]])
    for low, high in [*pairwise(_STEPS), (_STEPS[0], _STEPS[-1])]:
        chosen = [each for each in everything if low <= each[0].steepness < high]
        if chosen:
            rows[f"{low} to {high} degrees to the normal"] = summary(*map(list, zip(*chosen, strict=True)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatars", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    report = {path.stem: table(load_avatar(path)) for path in options.avatars}
    for name, rows in report.items():
        for title, row in rows.items():
            print(name, title, " ".join(f"{key} {value:.3g}" for key, value in row.items()))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    with torch.no_grad():
        main()
