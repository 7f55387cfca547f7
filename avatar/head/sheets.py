"""Contact sheets of a head model for visual inspection (`headsplat head sheets`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar import ops
from avatar.common.image_io import write_image
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE

from .model import HeadModel
from .shading import openness, shade, vertex_normals

Image = NDArray[np.uint8]  # [H,W,3] RGB

_BACKGROUND = (0.25, 0.27, 0.30)
_OVERSAMPLE = 2
_DISTANCE = 0.9  # meters from the camera to the view's center
_WET = {"lips": 0.15, "tongue": 0.3, "teeth_upper": 0.4, "teeth_lower": 0.4, "sclera": 0.8, "iris": 1.0}

_COMBINATIONS: Mapping[str, Mapping[str, float]] = {
    "jawOpen + mouthClose": {"jawOpen": 1, "mouthClose": 1},
    "smile, jaw 0.3": {"mouthSmileLeft": 1, "mouthSmileRight": 1, "jawOpen": 0.3},
    "blink 0.25": {"eyeBlinkLeft": 0.25, "eyeBlinkRight": 0.25},
    "blink 0.5": {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    "blink 0.75": {"eyeBlinkLeft": 0.75, "eyeBlinkRight": 0.75},
    "blink": {"eyeBlinkLeft": 1, "eyeBlinkRight": 1},
    "surprise": {
        "browInnerUp": 1, "browOuterUpLeft": 1, "browOuterUpRight": 1, "eyeWideLeft": 1, "eyeWideRight": 1,
        "jawOpen": 0.6,
    },
    "anger": {
        "browDownLeft": 1, "browDownRight": 1, "noseSneerLeft": 0.7, "noseSneerRight": 0.7, "mouthPressLeft": 1,
        "mouthPressRight": 1, "eyeSquintLeft": 0.6, "eyeSquintRight": 0.6,
    },
    "pucker + funnel": {"mouthPucker": 0.5, "mouthFunnel": 0.5},
    "tongue": {"jawOpen": 0.6, "tongueOut": 1},
}  # fmt: skip
_POSES: Mapping[str, Mapping[int, tuple[float, float, float]]] = {
    "neck yaw 40": {NECK: (0, 40, 0)},
    "neck down 25": {NECK: (25, 0, 0)},
    "neck up 25": {NECK: (-25, 0, 0)},
    "neck roll 20": {NECK: (0, 0, 20)},
    "jaw 20": {JAW: (20, 0, 0)},
    "eyes left": {LEFT_EYE: (0, 25, 0), RIGHT_EYE: (0, 25, 0)},
    "eyes up": {LEFT_EYE: (-18, 0, 0), RIGHT_EYE: (-18, 0, 0)},
}


@dataclass(frozen=True)
class View:
    """A camera that looks at the head."""

    yaw: float = 0.0  # degrees
    pitch: float = 0.0  # degrees
    center: tuple[float, float, float] = (0.0, -0.02, -0.04)  # meters, the point in the middle of the image
    extent: float = 0.34  # meters that the image shows at the center's depth
    size: int = 300  # pixels per side


def render(head: HeadModel, vertices: Tensor, view: View) -> Image:
    """A shaded image [size,size,3] of vertices [V,3] in meters."""
    size = view.size * _OVERSAMPLE
    turned, face, bary = rasterize_view(head.faces, vertices, view, size)
    hit = face[0] >= 0
    corners = head.faces[face[0][hit].long()]
    weights = bary[0][hit]
    at_vertices = vertex_normals(turned, head.faces)
    sky_at_vertices = openness(turned, at_vertices, head.faces)
    values = torch.cat([at_vertices, head.colors, sky_at_vertices[:, None], _gloss(head)[:, None]], 1)
    pixels = torch.stack([values[corners[:, k]] * weights[:, k, None] for k in range(3)]).sum(0)
    normals, colors, sky, gloss = pixels.split([3, 3, 1, 1], -1)
    image = torch.tensor(_BACKGROUND).expand(size, size, 3).clone()
    image[hit] = shade(colors, torch.nn.functional.normalize(normals, dim=-1), sky, gloss)
    small = cv2.resize(image.clamp(0, 1).numpy(), (view.size, view.size), interpolation=cv2.INTER_AREA)
    return (small * 255).astype(np.uint8)


def rasterize_view(faces: Tensor, vertices: Tensor, view: View, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterize a mesh for a view.

    Args:
        faces: [F,3] int64.
        vertices: [V,3] meters, head axes.
        view: the camera.
        size: pixels per side.

    Returns:
        Vertices [V,3] in camera-aligned axes (x right, y up, z toward the camera, origin at the view's center), the
        face [1,size,size] at each pixel (-1: background) and barycentric weights [1,size,size,3].
    """
    focal = size * _DISTANCE / view.extent
    angles = torch.tensor([[view.pitch, 0.0, 0.0], [0.0, view.yaw, 0.0]]).deg2rad()
    turns = axis_angle_to_matrix(angles)
    turned = (vertices - torch.tensor(view.center)) @ (turns[0] @ turns[1]).T
    camera = turned * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, _DISTANCE])
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])[None]
    face, bary, _ = ops.mesh(camera[None].contiguous(), faces, K, size, size)
    return turned, face, bary


def _gloss(head: HeadModel) -> Tensor:
    """Strength of the specular highlight [V] at each vertex."""
    gloss = torch.zeros(len(head.v_template))
    for name, amount in _WET.items():
        if name in head.regions:
            gloss[head.regions[name]] = amount
    return gloss


def add_label(image: Image, text: str) -> Image:
    """The image with `text` in its top left corner."""
    marked = image.copy()
    cv2.putText(marked, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return marked


def arrange_tiles(images: Sequence[Image], columns: int) -> Image:
    """Images of equal size in rows; the last row is padded with black."""
    filled = [*images, *[np.zeros_like(images[0])] * (-len(images) % columns)]
    rows = [np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)]
    return np.vstack(rows)


def pose_vertices(
    head: HeadModel, weights: Mapping[str, float], joints: Mapping[int, Sequence[float]] | None = None
) -> Tensor:
    """Vertices [V,3] of the mean person with named expression weights and joint rotations (axis-angle, degrees)."""
    params = head.neutral_params()
    for name, weight in weights.items():
        params.expression[0, head.expression_index(name)] = weight
    for joint, degrees in (joints or {}).items():
        params.joint_rot[0, joint] = torch.tensor(degrees, dtype=torch.float32).deg2rad()
    return head.vertices(params)[0]


def neutral_sheet(head: HeadModel) -> Image:
    """The mean person from the front, the sides and the back, and close-ups of eyes, nose, mouth and ear."""
    whole = View(center=(0, -0.04, -0.06), extent=0.42, size=420)
    views = {
        **{f"yaw {yaw}": replace(whole, yaw=yaw) for yaw in (0, -35, -90, -140)},
        "eye": View(center=(-0.02, 0, 0), extent=0.11, size=420),
        "eye 60": View(yaw=50, center=(-0.032, 0, 0), extent=0.07, size=420),
        "mouth": View(center=(0, -0.075, 0), extent=0.10, size=420),
        "ear": View(yaw=-70, center=(0.075, -0.02, -0.08), extent=0.12, size=420),
        "nose from below": View(pitch=-40, center=(0, -0.04, 0.02), extent=0.07, size=420),
    }
    open_views = {
        "open mouth": View(center=(0, -0.085, 0), extent=0.09, size=420),
        "open mouth 45": View(yaw=-45, center=(0, -0.085, 0), extent=0.09, size=420),
        "teeth": View(center=(0, -0.075, 0), extent=0.07, size=420),
    }
    bared = {"jawOpen": 0.25} | {
        f"mouth{part}{side}": 0.7 for part in ("UpperUp", "LowerDown") for side in ("Left", "Right")
    }
    mouths = {"open mouth": {"jawOpen": 0.8}, "open mouth 45": {"jawOpen": 0.8}, "teeth": bared}
    images = [add_label(render(head, head.v_template, view), name) for name, view in views.items()]
    images += [
        add_label(render(head, pose_vertices(head, mouths[name]), view), name) for name, view in open_views.items()
    ]
    return arrange_tiles(images, 4)


def expression_sheet(head: HeadModel) -> Image:
    """The neutral face and each expression at weight 1."""
    view = View(center=(0, -0.035, -0.02), extent=0.20, size=230)
    images = [add_label(render(head, head.v_template, view), "neutral")]
    for name in head.expression_names:
        turned = replace(view, yaw=-30.0) if name == "jawForward" else view
        images.append(add_label(render(head, pose_vertices(head, {name: 1.0}), turned), name))
    return arrange_tiles(images, 11)


def pose_sheet(head: HeadModel) -> Image:
    """Combinations of expressions, then single joints rotated."""
    view = View(center=(0, -0.035, -0.02), extent=0.26, size=300)
    wide = View(center=(0, -0.05, -0.05), extent=0.42, size=300)
    known = {name: mix for name, mix in _COMBINATIONS.items() if set(mix) <= set(head.expression_names)}
    images = [add_label(render(head, pose_vertices(head, mix), view), name) for name, mix in known.items()]
    images += [add_label(render(head, pose_vertices(head, {}, turn), wide), name) for name, turn in _POSES.items()]
    open_jaw = pose_vertices(head, {"jawOpen": 1.0})
    images += [add_label(render(head, open_jaw, replace(view, yaw=yaw)), f"jawOpen {yaw}") for yaw in (-45, -90)]
    return arrange_tiles(images, 7)


def identity_sheet(head: HeadModel, count: int = 18, seed: int = 0) -> Image:
    """Random identities: every coefficient sampled from a normal distribution with a standard deviation of 0.6."""
    view = View(yaw=-20, center=(0, -0.03, -0.03), extent=0.30, size=260)
    random = torch.Generator().manual_seed(seed)
    identities = 0.6 * torch.randn(count, head.shapedirs.shape[2], generator=random)
    return arrange_tiles([render(head, head.identity_vertices(identity), view) for identity in identities], 6)


def write_sheets(head: HeadModel, folder: Path) -> list[Path]:
    """Write all sheets as PNG files into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "neutral": neutral_sheet(head),
        "expressions": expression_sheet(head),
        "poses": pose_sheet(head),
        "identities": identity_sheet(head),
    }
    paths = []
    for name, image in sheets.items():
        paths.append(folder / f"{name}.png")
        write_image(paths[-1], cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return paths
