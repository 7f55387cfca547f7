"""How much of a head is seen through in an orbit: the alpha of rendered images inside the outline of its mesh.

Held-out frames cannot say that: they show the sides that training frames show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from avatar import ops
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.model.resting import at_mean_pose
from avatar.rendering.backends import Rasterizer
from avatar.rendering.camera_request import CameraRequest
from avatar.rendering.cameras import moving_camera, subject_of
from avatar.rendering.render import render

#: Degrees; positive ones show the subject's left side.
YAWS = tuple(float(yaw) for yaw in range(-90, 91, 15))
SIZE = 128  # pixels
OPAQUE = 0.9
#: The mesh is seldom where the ears are, and clothes may cover the neck from this skinning weight of the torso on.
LEFT_OUT: tuple[Region, ...] = ("left_ear", "right_ear", "torso", "boundary")
MAX_TORSO = 0.05


@dataclass(frozen=True)
class OrbitAlpha:
    """Alpha of the head from the front and its sides, the face at rest."""

    #: Fraction of the pixels inside the outline of the head's mesh whose alpha is below OPAQUE, in each view.
    seen_through: tuple[float, ...]
    lowest: float  # alpha inside the outline, in all views
    yaws: tuple[float, ...] = YAWS  # of the views

    def to_text(self) -> str:
        """One sentence for the table."""
        most = int(np.argmax(self.seen_through))
        return (
            f"Orbit from {self.yaws[0]:g} to {self.yaws[-1]:g} degrees: the head is seen through (alpha below "
            f"{OPAQUE:g}) at {100 * np.mean(self.seen_through):.2f} % of its pixels, most at {self.yaws[most]:+g} "
            f"degrees, {100 * self.seen_through[most]:.2f} %; the lowest alpha is {self.lowest:.2f}."
        )


@torch.no_grad()
def measure_orbit(avatar: Avatar, rasterizer: Rasterizer = "native") -> OrbitAlpha:
    """Render the resting `avatar` at YAWS and compare its alpha with the outline of its head's mesh.

    The outline is that of the head down to where the neck moves with the torso, without the ears, one pixel smaller.
    """
    params = at_mean_pose(avatar, avatar.neutral[None])
    request = CameraRequest("orbit", 360.0, 360.0)  # a degree a second
    cameras = moving_camera(request, subject_of(avatar, params), np.array(YAWS, float), SIZE, SIZE)
    gaussians = avatar(params)
    rotation, translation = avatar.head.skull_pose(params)
    vertices = avatar.head.skull_vertices(params)[0] @ rotation[0].T + translation[0]
    faces = _faces(avatar.head)
    shares, lowest = [], math.inf
    for view in range(len(YAWS)):
        camera = cameras[view]
        alpha = render(gaussians, camera, rasterizer=rasterizer, with_depth=False).alpha[0].cpu().numpy()
        face, _, _ = ops.mesh(camera.to_camera(vertices)[None], faces, camera.K, SIZE, SIZE)
        inside = cv2.erode((face[0] >= 0).cpu().numpy().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        seen = alpha[inside]
        shares.append(float((seen < OPAQUE).mean()) if len(seen) else 0.0)
        lowest = min(lowest, float(seen.min()) if len(seen) else 1.0)
    return OrbitAlpha(tuple(shares), lowest)


def _faces(head: HeadModel) -> torch.Tensor:
    """Triangles [F,3] of the outline."""
    inside = (head.torso_weight() < MAX_TORSO) & ~head.mask(*LEFT_OUT)
    return head.faces[inside[head.faces].all(1)]
