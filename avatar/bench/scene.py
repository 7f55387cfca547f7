"""The benchmark's scene: a head of N Gaussians on a mesh with K blendshapes, rendered by B cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_quat, quat_multiply, triangle_frames
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import CHANNELS, UNITS
from avatar.model.to_device import to_device
from avatar.ops import StretchMesh, stretch_mesh
from avatar.types import JOINT_NAMES, Binding, Bones, Camera, HeadParams, LocalGaussians, map_tensors

RADII = torch.tensor([0.078, 0.115, 0.098])  # meters, of the ellipsoid
DISTANCE = 1.0  # meters from the camera to its center
FOCAL = 3.4  # image sizes: the shell then covers 36 % of the image
RINGS = 48  # of the mesh: 4704 vertices, about as many as a head model
SECTORS = 96
SPREAD = (0.1, 0.02, 0.03, 0.02)  # of the bases' position, rotation, color and opacity, in `blendshapes.UNITS`
STRETCHES = 0.3  # of the depth before the center: vertices beyond it stretch, a third of the Gaussians
ORBIT = 0.35  # radians between the first and the last camera of a batch


@dataclass(frozen=True)
class Scene:
    """The inputs of all measured operations; a leading B where images differ."""

    vertices: Tensor  # [B,V,3] meters
    binding: Binding
    bones: Bones  # B poses
    local: LocalGaussians
    basis: Tensor  # [K,N,11] of `units`
    units: Tensor  # [11]
    weights: Tensor  # [B,K]
    sh_rest: Tensor | None  # [N,D-1,3] higher degrees of the spherical harmonics; None: degree 0 only
    stretch: StretchMesh | None  # the triangles with which the Gaussians stretch
    camera: Camera  # [B]

    @property
    def batch(self) -> int:
        """Number of images B."""
        return len(self.weights)

    @property
    def count(self) -> int:
        """Number of Gaussians N."""
        return len(self.local)

    def repeated(self, batch: int) -> Scene:
        """The first image `batch` times with different cameras and weights."""
        rotvec = torch.zeros(batch, 3)
        rotvec[:, 1] = torch.linspace(0, ORBIT, batch)
        pose = self.camera.world_to_cam[:1].cpu()
        pivot = pose[0, :3, :3] @ self.bones.translations[0, 0].cpu() + pose[0, :3, 3]
        turned = torch.eye(4).repeat(batch, 1, 1)
        turned[:, :3, :3] = axis_angle_to_matrix(rotvec)
        turned[:, :3, 3] = pivot - (turned[:, :3, :3] @ pivot)
        device = self.units.device
        camera = replace(self.camera, K=self.camera.K[:1].repeat(batch, 1, 1), world_to_cam=(turned @ pose).to(device))
        return replace(
            self,
            vertices=self.vertices[:1].repeat(batch, 1, 1),
            bones=map_tensors(lambda values: values[:1].repeat(batch, 1, 1), self.bones),
            weights=torch.stack([self.weights[0].roll(k) for k in range(batch)]),
            camera=camera,
        )

    def to(self, device: torch.device) -> Scene:
        """The same scene on another device."""
        return to_device(self, device)


def head_shell(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Flat Gaussians on a bumpy ellipsoid at the origin, about as wide as their spacing.

    Returns:
        Directions [N,3], means [N,3] meters, quats [N,4] (not unit), scales [N,3] meters, opacities [N].
    """
    source = torch.Generator().manual_seed(1)
    outward = F.normalize(torch.randn(count, 3, generator=source), dim=-1)
    bump = 1 + 0.06 * (9 * outward[:, :1]).sin() * (11 * outward[:, 1:2]).sin()
    spacing = math.sqrt(4 * math.pi * float(RADII.prod()) ** (2 / 3) / count)
    size = 0.6 * spacing * torch.exp(0.45 * torch.randn(count, 1, generator=source))
    stretch = torch.exp(0.35 * torch.randn(count, 2, generator=source))
    scales = size * torch.cat([stretch, torch.full((count, 1), 0.25)], 1)
    axis = F.normalize(outward / RADII, dim=-1)
    quats = torch.stack([1 + axis[:, 2], -axis[:, 1], axis[:, 0], torch.zeros(count)], -1)
    opacities = 0.05 + 0.94 * torch.rand(count, generator=source)
    return outward, outward * RADII * bump, quats, scales, opacities


def head_scene(count: int, size: int, bases: int, sh_degree: int = 0) -> Scene:
    """One image of the head shell.

    Args:
        count: number of Gaussians N.
        size: width and height of the image in pixels.
        bases: number of blendshapes K.
        sh_degree: degree of the spherical harmonics, 0 to 3.

    Returns:
        The scene on the CPU, B = 1.
    """
    outward, means, quats, scales, opacities = head_shell(count)
    vertices, triangles = _ellipsoid(outward)
    faces = triangles.unique(dim=0)
    stretch = stretch_mesh(vertices, faces, vertices[:, 2] > STRETCHES * RADII[2])
    corners = vertices[triangles]
    frames = triangle_frames(corners)
    offsets = (frames.transpose(1, 2) @ (means - corners.mean(1))[..., None])[..., 0]
    to_local = matrix_to_quat(frames) * torch.tensor([1.0, -1.0, -1.0, -1.0])
    source = torch.Generator().manual_seed(2)
    spread = torch.tensor(SPREAD).repeat_interleave(torch.tensor([3, 4, 3, 1]))
    terms = (sh_degree + 1) ** 2
    return Scene(
        vertices=vertices[None],
        binding=Binding(triangles, torch.full((count, 3), 1 / 3), torch.zeros(count)),
        bones=Bones(
            torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(1, 2, 1), torch.tensor([0.0, 0.0, -DISTANCE]).repeat(1, 2, 1)
        ),
        local=LocalGaussians(
            offsets,
            quat_multiply(to_local, F.normalize(quats, dim=-1)),
            scales.log(),
            torch.logit(opacities),
            torch.rand(count, 3, generator=source),
        ),
        basis=torch.randn(bases, count, CHANNELS, generator=source) * spread,
        units=torch.tensor(UNITS),
        weights=torch.randn(1, bases, generator=source) / math.sqrt(bases),
        sh_rest=0.1 * torch.randn(count, terms - 1, 3, generator=source) if sh_degree else None,
        stretch=stretch,
        camera=Camera.facing(FOCAL * size, size, size),
    )


def _ellipsoid(outward: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices [V,3] of a mesh of the ellipsoid, and the corners [N,3] of the triangle in each direction [N,3]."""
    polar = torch.linspace(0, math.pi, RINGS + 1)
    polar = polar.clamp(1e-3, math.pi - 1e-3)  # avoids degenerate triangles at the poles
    azimuth = torch.linspace(0, 2 * math.pi, SECTORS + 1)
    ring, sector = torch.meshgrid(polar, azimuth, indexing="ij")
    unit = torch.stack([ring.sin() * sector.cos(), ring.cos(), ring.sin() * sector.sin()], -1)
    row = (torch.acos(outward[:, 1].clamp(-1, 1)) / math.pi * RINGS).long().clamp(0, RINGS - 1)
    angle = torch.atan2(outward[:, 2], outward[:, 0]) % (2 * math.pi)
    column = (angle / (2 * math.pi) * SECTORS).long().clamp(0, SECTORS - 1)
    first = row * (SECTORS + 1) + column
    below = first + SECTORS + 1
    upper = torch.stack([first, first + 1, below], -1)
    lower = torch.stack([first + 1, below + 1, below], -1)
    odd = torch.arange(len(outward)) % 2 == 1
    return (unit * RADII).reshape(-1, 3), torch.where(odd[:, None], lower, upper)


def avatar_scene(avatar: Avatar, camera: Camera) -> Scene:
    """One image of a trained avatar at the mean torso pose of its video, from `camera` [1]."""
    torso = avatar.rig.torso
    shapes = avatar.blendshapes
    rotation = matrix_to_quat(torso.mean_rotation)
    basis = (shapes.basis * shapes.mask[..., None]).detach()
    rest = HeadParams(
        torch.zeros(0), torch.zeros(1, len(avatar.neutral)), torch.zeros(1, len(JOINT_NAMES), 3), torch.zeros(1, 3)
    )
    return Scene(
        vertices=avatar.head.skull_vertices(rest),
        binding=avatar.rig.binding,
        bones=Bones(rotation.repeat(1, 2, 1), torso.mean_translation.repeat(1, 2, 1)),
        local=map_tensors(Tensor.detach, avatar.local),
        basis=basis,
        units=shapes.units,
        weights=torch.randn(1, len(basis), generator=torch.Generator().manual_seed(3)),
        sh_rest=None,
        stretch=None if avatar.rig.stretch is None else avatar.rig.stretch.mesh,
        camera=camera,
    )
