"""The posed head mesh under the Gaussians: surface normals for the Gaussians, and shaded images of the mesh."""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import quat_to_matrix
from avatar.head.shading import openness, shade, vertex_normals
from avatar.model.avatar import Avatar
from avatar.ops import LayerImages
from avatar.rendering.layer import splat_layer
from avatar.types import Camera, Gaussians, PosedHead, PosedLayer

#: OpenCV camera axes (y down, z forward) -> axes of the normals pass (y up, z towards the viewer).
_TO_VIEWER = (1.0, -1.0, -1.0)


def gaussian_normals(avatar: Avatar, head: PosedHead, gaussians: Gaussians, camera: Camera) -> Tensor:
    """Unit normals of the mesh surface at the binding point of each Gaussian.

    They are interpolated from the vertex normals of the posed mesh. The shortest axis of a Gaussian is not used: it has
    no sign, and where training views showed a surface from one side only, its direction is not constrained. A visible
    surface cannot face away from the camera; normals that do (far side of the hair, silhouettes) are made perpendicular
    to the view direction.

    Args:
        avatar: the avatar.
        head: [1] the posed head of the avatar.
        gaussians: [1,N], world frame.
        camera: [1].

    Returns:
        [N,3] in the viewer's axes: x right, y up, z towards the viewer.
    """
    rig = avatar.rig
    at_vertices = vertex_normals(head.vertices[0], avatar.head.faces)
    local = _interpolate(at_vertices, rig.triangles, rig.bary)
    skull, torso = (local @ rotation.T for rotation in quat_to_matrix(head.bones.quats[0]))
    normals = torch.lerp(skull, torso, rig.skin[:, None])
    in_camera = torch.nn.functional.normalize(normals @ camera.world_to_cam[0, :3, :3].T, dim=1)
    to_camera = torch.nn.functional.normalize(-camera.to_camera(gaussians.means[0]), dim=1)
    in_camera = in_camera - (in_camera * to_camera).sum(1, keepdim=True).clamp(max=0) * to_camera
    return torch.nn.functional.normalize(in_camera, dim=1) * in_camera.new_tensor(_TO_VIEWER)


def layer_normals(gaussians: Gaussians, camera: Camera) -> Tensor | None:
    """Normals of the mesh layer of `gaussians` [1,N], as features in place of its color; None without a layer.

    Returns:
        [1,h,w,3] in the window that the layer has for `camera` [1], premultiplied with coverage, in the viewer's axes.
    """
    layer = splat_layer(gaussians, camera)
    posed = gaussians.layer
    return None if layer is None or posed is None else image_normals(posed, layer.images, camera)


def image_normals(posed: PosedLayer, images: LayerImages, camera: Camera) -> Tensor:
    """Normals [1,h,w,3] in the images [1] of a layer from `camera` [1], as of `layer_normals`."""
    height, width = images.coverage.shape[1:]
    if not height or not width:
        return torch.zeros_like(images.color)
    vertices = camera.to_camera(posed.vertices @ posed.rotation.transpose(1, 2) + posed.translation[:, None])
    K = camera.K.clone()
    K[:, :2, 2] -= images.origin.to(K)
    faces = posed.mesh.faces
    face, bary, _ = ops.mesh(vertices, faces, K, width, height)
    pixels = (face.flatten() >= 0).nonzero()[:, 0]
    corners = faces[face.flatten()[pixels].long()]
    weights = bary.reshape(-1, 3)[pixels]
    normals = torch.nn.functional.normalize(_interpolate(vertex_normals(vertices[0], faces), corners, weights), dim=1)
    out = torch.zeros_like(images.color)
    out.view(-1, 3)[pixels] = normals * normals.new_tensor(_TO_VIEWER) * images.coverage.flatten()[pixels][:, None]
    return out


def _interpolate(values: Tensor, corners: Tensor, bary: Tensor) -> Tensor:
    """Vertex values [V,C] at points of triangles: corners [M,3] vertex indices, bary [M,3]; returns [M,C]."""
    result = values.index_select(0, corners[:, 0]) * bary[:, :1]
    for k in (1, 2):
        result.addcmul_(values.index_select(0, corners[:, k]), bary[:, k : k + 1])
    return result


class MeshShader:
    """Renders an avatar's posed mesh with soft frontal light."""

    def __init__(self, avatar: Avatar) -> None:
        """The ambient occlusion is computed once, on the neutral mesh of `avatar`."""
        head = avatar.head
        self.head = head
        self._torso_weight = head.torso_weight().to(head.v_template)[:, None]
        template = head.v_template.cpu()
        normals = vertex_normals(template, head.faces.cpu())
        self._openness = openness(template, normals, head.faces.cpu()).to(head.v_template)[:, None]

    def render(self, head: PosedHead, camera: Camera) -> tuple[Tensor, Tensor]:
        """Render the mesh.

        Args:
            head: [1] the posed head of the avatar.
            camera: [1].

        Returns:
            Premultiplied color [H,W,3] 0..1 and alpha [H,W].
        """
        rotations = quat_to_matrix(head.bones.quats[0])
        translations = head.bones.translations[0]
        skull, torso = (head.vertices[0] @ rotations[bone].T + translations[bone] for bone in (0, 1))
        in_camera = camera.to_camera(torch.lerp(skull, torso, self._torso_weight))
        faces = self.head.faces
        normals = vertex_normals(in_camera, faces) * in_camera.new_tensor(_TO_VIEWER)
        gloss = torch.zeros_like(self._openness)
        colors = shade(self.head.colors.cpu(), normals.cpu(), self._openness.cpu(), gloss.cpu()).to(in_camera)
        face, bary, _ = ops.mesh(in_camera[None], faces, camera.K, camera.width, camera.height)
        hit = face[0] >= 0
        pixels = hit.flatten().nonzero()[:, 0]
        # The three corner colors of a face in one row, so that a pixel reads one row and not three.
        face_colors = colors.clamp(0, 1).index_select(0, faces.flatten()).view(-1, 9)
        corners = face_colors.index_select(0, face.flatten().index_select(0, pixels))
        weights = bary.reshape(-1, 3).index_select(0, pixels)
        pixel_colors = corners[:, :3] * weights[:, :1]
        for k in (1, 2):
            pixel_colors.addcmul_(corners[:, 3 * k : 3 * k + 3], weights[:, k : k + 1])
        image = in_camera.new_zeros(camera.height, camera.width, 3)
        image.view(-1, 3).index_copy_(0, pixels, pixel_colors)
        return image, hit.to(in_camera.dtype)
