"""Optical flow of the mesh layer of an avatar by the controls of the refinement: of gaze, teeth and tongue."""

from __future__ import annotations

from torch import Tensor

from avatar import ops
from avatar.types import Camera, PosedLayer


def layer_flow(
    posed: PosedLayer, images: ops.LayerImages, motion: Tensor, turn: Tensor, camera: Camera, near: float
) -> Tensor:
    """Flow of each pixel of the layer by P controls, premultiplied with coverage.

    Args:
        posed: the layer in m poses.
        images: [m], of that layer.
        motion: [P,V,3] change of the vertices by each control, meters in the skull frame.
        turn: [m,3,3] skull frame -> camera axes.
        camera: [m].
        near: meters, smallest depth to divide by.

    Returns:
        [m,P,2,h,w] pixels, in the window of `images`.
    """
    batch, height, width = images.coverage.shape
    flow = motion.new_zeros(batch, len(motion), 2, height * width)
    if not height or not width:
        return flow.unflatten(-1, (height, width))
    world = posed.vertices @ posed.rotation.transpose(1, 2) + posed.translation[:, None]
    vertices = world @ camera.world_to_cam[:, :3, :3].transpose(1, 2) + camera.world_to_cam[:, None, :3, 3]
    K = camera.K.clone()
    K[:, :2, 2] -= images.origin.to(K)
    face, bary, _ = ops.mesh(vertices, posed.mesh.faces, K, width, height)
    for image in range(batch):
        pixels = (face[image].flatten() >= 0).nonzero()[:, 0]
        corners = posed.mesh.faces[face[image].flatten()[pixels].long()]
        weights = bary[image].reshape(-1, 3)[pixels][..., None]  # [n,3,1]
        x, y, z = (vertices[image, corners] * weights).sum(1).unbind(-1)  # [n]
        dx, dy, dz = ((motion[:, corners] * weights).sum(2) @ turn[image].T).unbind(-1)  # [P,n]
        scale = images.coverage[image].flatten()[pixels] / z.clamp_min(near)
        of_image = flow[image]
        of_image[:, 0, pixels] = K[image, 0, 0] * scale * (dx - x / z.clamp_min(near) * dz)
        of_image[:, 1, pixels] = K[image, 1, 1] * scale * (dy - y / z.clamp_min(near) * dz)
    return flow.unflatten(-1, (height, width))
