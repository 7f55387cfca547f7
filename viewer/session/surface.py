"""Which place of the head is under a point of the image."""

from __future__ import annotations

import torch

from avatar import ops
from avatar.driving.live.samples import AvatarPose
from avatar.geometry.rotations import quat_to_matrix
from avatar.model.poser import Poser
from avatar.types import Camera


class SurfaceFinder:
    """Finds the surface under points of one image."""

    def __init__(self, poser: Poser, camera: Camera, pose: AvatarPose) -> None:
        """
        Args:
            poser: of the avatar.
            camera: [1] of the image.
            pose: of the avatar.
        """
        with torch.no_grad():
            head = poser.head(poser.poses(pose.params, pose.torso), 0)
            world = head.vertices[0] @ quat_to_matrix(head.bones.quats[0, 0]).T + head.translation[0]
            #: [V,3] meters, world
            self.vertices = world
            self._seen = camera.to_camera(world)[None].contiguous()
        self._camera = camera
        self._faces = poser.avatar.head.faces

    def point(self, at: tuple[float, float]) -> tuple[int, torch.Tensor] | None:
        """The face and the barycentric point [3] under a place, 0..1 from the upper left; None beside the head."""
        camera = self._camera
        K = camera.K.clone()
        # An image of one pixel whose center is the point.
        K[:, 0, 2] += 0.5 - at[0] * camera.width
        K[:, 1, 2] += 0.5 - at[1] * camera.height
        with torch.no_grad():
            face, bary, _ = ops.mesh(self._seen, self._faces, K, 1, 1)
        index = int(face[0, 0, 0])
        return None if index < 0 else (index, bary[0, 0, 0].clone())
