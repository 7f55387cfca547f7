"""An exported mesh beside the avatar's own Gaussians: how near its colors and its shape come to them.

Both are rendered by the same cameras, the mesh unlit with its texture or the colors of its vertices, as a program shows
it that adds no light.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from avatar import __version__, ops
from avatar.common.files import atomic_path, path_text
from avatar.common.jsonable import to_jsonable
from avatar.evaluation import metrics
from avatar.model.avatar import Avatar
from avatar.rendering.render import WHITE, render
from avatar.types import Camera

from .mesh import SurfacePoints, orbiting_camera
from .placement import Placement
from .posed import posed

#: Degrees by which the camera is to the person's right; none of those from which the colors are taken, but the front.
YAWS = (-20.0, 0.0, 20.0)
#: ARKit weights of the faces that are compared, added to the resting face.
FACES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "neutral": {},
        "open": {"jawOpen": 0.5},
        "smile": {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7},
        "brows": {"browInnerUp": 0.7, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7},
        "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    }
)
SIZE = 320  # pixels per side
_SAMPLES = 2  # of the mesh in a pixel, along each axis
#: Vertices that move with the torso less than this are the head.
_MAX_TORSO = 0.1
_VERSION = 1


@dataclass(frozen=True)
class MeshView:
    """One face from one side."""

    face: str
    yaw: float  # degrees
    psnr: float  # dB inside of the head of the mesh
    ssim: float  # 0..1, likewise
    covered: float  # 0..1, the part of the avatar's head that the mesh covers: hair stands out of it


@dataclass(frozen=True)
class MeshComparison:
    """The views of an exported mesh; the names are keys of the JSON report."""

    views: tuple[MeshView, ...]  # those that show Gaussians on the head

    def mean(self, face: str | None = None) -> tuple[float, float]:
        """PSNR in dB and SSIM, means over the views of a face; None: of all. Without views nan."""
        chosen = [view for view in self.views if face in (None, view.face)]
        if not chosen:
            return float("nan"), float("nan")
        return float(np.mean([view.psnr for view in chosen])), float(np.mean([view.ssim for view in chosen]))

    def to_text(self) -> str:
        """One line."""
        if not self.views:
            return "not compared with the avatar: no view shows the head of the mesh and Gaussians on it"
        psnr, ssim = self.mean()
        faces = ", ".join(
            f"{face} {self.mean(face)[0]:.1f}" for face in dict.fromkeys(view.face for view in self.views)
        )
        covered = np.mean([view.covered for view in self.views])
        return (
            f"beside the avatar's own rendering: PSNR {psnr:.1f} dB, SSIM {ssim:.3f} inside of the head ({faces}); "
            f"{100 * covered:.0f} % of the head are covered"
        )

    def save(self, path: Path, name: str) -> None:
        """Write the report of an export to the file `name`, atomically."""
        psnr, ssim = self.mean()
        found = {
            "headsplat": __version__,
            "mesh_report": _VERSION,
            "file": path_text(name),
            "psnr": psnr,
            "ssim": ssim,
            **asdict(self),
            "words": self.to_text(),
        }
        with atomic_path(path) as part:
            part.write_text(json.dumps(to_jsonable(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")


@torch.no_grad()
def compare_mesh(avatar: Avatar, colors: Tensor) -> MeshComparison:
    """Render the mesh with its colors, and the avatar, and compare them.

    Args:
        avatar: the avatar.
        colors: the texture [S,S,3] of its head, rows downward, or colors of its vertices [V,3]; sRGB 0..1.
    """
    views = []
    for name, weights in FACES.items():
        for yaw in YAWS:
            mesh, splats = mesh_and_splats(avatar, colors, weights, yaw)
            if (mesh.head & splats.head).any():
                views.append(_view(name, yaw, mesh, splats))
    return MeshComparison(tuple(views))


@dataclass(frozen=True)
class ViewImages:
    """A rendered view."""

    rgb: np.ndarray  # [H,W,3] 0..1 over white
    head: np.ndarray  # [H,W] bool


def _view(name: str, yaw: float, mesh: ViewImages, splats: ViewImages) -> MeshView:
    both = mesh.head & splats.head
    blank = np.where(both[..., None], mesh.rgb, splats.rgb)  # nothing outside of the mask differs
    rows, columns = both.nonzero()
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    similarity = 1 - (1 - metrics.ssim(blank[box], splats.rgb[box])) * both[box].size / both.sum()
    covered = both.sum() / splats.head.sum()
    return MeshView(name, yaw, metrics.psnr(mesh.rgb, splats.rgb, both), similarity, float(covered))


def mesh_and_splats(
    avatar: Avatar, colors: Tensor, weights: Mapping[str, float], yaw: float, size: int = SIZE
) -> tuple[ViewImages, ViewImages]:
    """Images of the mesh and of the Gaussians of one face from one side.

    Args:
        avatar: the avatar.
        colors: as in `compare_mesh`.
        weights: ARKit weights of the face.
        yaw: degrees of the camera about the head.
        size: pixels per side.
    """
    params = posed(avatar, weights)
    placement = Placement.unscaled(avatar)
    camera = orbiting_camera(yaw, 0.0, size)
    out = render(placement.gaussians(avatar(params)), camera, WHITE, with_depth=False)
    vertices = avatar.head.vertices(placement.params(avatar, params))[0]
    rgb, of_head = _mesh_image(avatar, colors, vertices, orbiting_camera(yaw, 0.0, size * _SAMPLES))
    # The head of the Gaussians: what is opaque, above the lowest row of the head of the mesh.
    lowest = int(of_head.any(1).nonzero()[0].max(initial=-1))
    opaque = out.alpha[0].numpy() > 0.5
    opaque[lowest + 1 :] = False
    return ViewImages(rgb, of_head), ViewImages(out.rgb[0].clamp(0, 1).numpy(), opaque)


def _mesh_image(avatar: Avatar, colors: Tensor, vertices: Tensor, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Color over white and the mask of the head of a mesh [V,3], at the size of the camera [1] without _SAMPLES.

    Args:
        avatar: whose head gives the triangles.
        colors: as in `compare_mesh`.
        vertices: [V,3] meters, world.
        camera: [1], of _SAMPLES times the size of the image.
    """
    head = avatar.head
    face, bary, _ = ops.mesh(camera.to_camera(vertices)[None], head.faces, camera.K, camera.width, camera.height)
    hit = (face.flatten() >= 0).nonzero()[:, 0]
    faces = face.flatten()[hit].long()
    points = SurfacePoints(head.faces[faces], bary.reshape(-1, 3)[hit])
    if colors.ndim == 2:
        found = points.of(colors)
    else:
        found = sampled(colors, SurfacePoints(head.uv_faces[faces], points.bary).of(head.uv))
    image = torch.tensor([*WHITE, 0.0]).repeat(camera.height * camera.width, 1)
    image[hit, :3] = found
    image[hit, 3] = (head.torso_weight()[points.corners].amax(1) < _MAX_TORSO).float()
    small = _reduced(image.view(camera.height, camera.width, 4))
    return small[..., :3].clamp(0, 1).numpy(), small[..., 3].numpy() == 1


def _reduced(image: Tensor) -> Tensor:
    """The mean [h,w,C] of blocks of _SAMPLES x _SAMPLES pixels of an image [H,W,C]."""
    return image.unflatten(1, (-1, _SAMPLES)).unflatten(0, (-1, _SAMPLES)).mean((1, 3))


def sampled(texture: Tensor, uv: Tensor) -> Tensor:
    """Colors [P,3] of a texture [S,S,3] at texture coordinates [P,2] whose v points up, bilinear."""
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], 1)[None, None]
    planes = texture.permute(2, 0, 1)[None]
    return torch.nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)[0, :, 0].T
