"""The tracked mesh under the Gaussians: its normals for them, and pictures of itself."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import quat_to_matrix
from avatar.head.regions import torso_weight
from avatar.head.shading import openness, shade, vertex_normals
from avatar.model.avatar import Avatar
from avatar.types import Camera, Gaussians

#: OpenCV camera axes (y down, z forward) -> those of normals (y up, z towards the viewer).
_TO_VIEWER = (1.0, -1.0, -1.0)


def gaussian_normals(avatar: Avatar, quats: Tensor, vertices: Tensor, gaussians: Gaussians, camera: Camera) -> Tensor:
    """Normals [N,3] of the surface each Gaussian is bound to, unit, in the viewer's axes (x right, y up, z to it).

    They are the posed mesh's, smoothed over its vertices, at the binding points. A Gaussian has axes of its own, but
    its shortest is no normal: it has no sign, and where training saw a face from one side it is free to point anywhere.
    A surface that is seen cannot face away, so what does (the far side of hair, rims) is laid on the horizon.

    Args:
        quats: [2,4] poses of skull and torso, skull frame -> world.
        vertices: [1,V,3] skull frame.
        gaussians: [1,N] world.
        camera: [1].
    """
    rig = avatar.rig
    at_vertices = vertex_normals(vertices[0], avatar.head.faces)
    local = _mixed(at_vertices, rig.triangles, rig.bary)
    skull, torso = (local @ rotation.T for rotation in quat_to_matrix(quats))
    normals = torch.lerp(skull, torso, rig.skin[:, None])
    seen = torch.nn.functional.normalize(normals @ camera.world_to_cam[0, :3, :3].T, dim=1)
    toward = torch.nn.functional.normalize(-camera.to_camera(gaussians.means[0]), dim=1)
    seen = seen - (seen * toward).sum(1, keepdim=True).clamp(max=0) * toward
    return torch.nn.functional.normalize(seen, dim=1) * seen.new_tensor(_TO_VIEWER)


def _mixed(values: Tensor, corners: Tensor, shares: Tensor) -> Tensor:
    """Values [V,C] at points inside triangles: corners [M,3], barycentrics [M,3]; [M,C]."""
    mixed = values.index_select(0, corners[:, 0]) * shares[:, :1]
    for k in (1, 2):
        mixed.addcmul_(values.index_select(0, corners[:, k]), shares[:, k : k + 1])
    return mixed


class MeshShader:
    """Pictures of an avatar's tracked mesh, lit softly from in front, over a background."""

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar; how open to the sky its surface lies is taken from its resting shape, once."""
        head = avatar.head
        self.head = head
        self._share = torch.from_numpy(torso_weight(head)).to(head.v_template)[:, None]
        template = head.v_template.cpu()
        normals = vertex_normals(template, head.faces.cpu())
        self._sky = openness(template, normals, head.faces.cpu()).to(head.v_template)[:, None]

    def draw(self, vertices: Tensor, quats: Tensor, translations: Tensor, camera: Camera) -> tuple[Tensor, Tensor]:
        """Premultiplied color [H,W,3] 0..1 and alpha [H,W] of the mesh.

        Args:
            vertices: [1,V,3] skull frame.
            quats, translations: [2,4], [2,3] poses of skull and torso, skull frame -> world.
            camera: [1].
        """
        rotations = quat_to_matrix(quats)
        skull, torso = (vertices[0] @ rotations[bone].T + translations[bone] for bone in (0, 1))
        placed = camera.to_camera(torch.lerp(skull, torso, self._share))
        faces = self.head.faces
        normals = vertex_normals(placed, faces) * placed.new_tensor(_TO_VIEWER)
        gloss = torch.zeros_like(self._sky)
        colors = shade(self.head.colors.cpu(), normals.cpu(), self._sky.cpu(), gloss.cpu()).to(placed)
        face, bary, _ = ops.mesh(placed[None], faces, camera.K, camera.width, camera.height)
        hit = face[0] >= 0
        pixels = hit.flatten().nonzero()[:, 0]
        # A face's three colors side by side: pixels read one row each, in place of three.
        of_faces = colors.clamp(0, 1).index_select(0, faces.flatten()).view(-1, 9)
        corners = of_faces.index_select(0, face.flatten().index_select(0, pixels))
        shares = bary.reshape(-1, 3).index_select(0, pixels)
        shown = corners[:, :3] * shares[:, :1]
        for k in (1, 2):
            shown.addcmul_(corners[:, 3 * k : 3 * k + 3], shares[:, k : k + 1])
        picture = placed.new_zeros(camera.height, camera.width, 3)
        picture.view(-1, 3).index_copy_(0, pixels, shown)
        return picture, hit.to(placed.dtype)
