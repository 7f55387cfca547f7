"""A baseline that an avatar must beat: the tracked mesh with a mean texture."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.types import Camera

TEXTURE_SIZE = 512
TEXTURE_FRAMES = 40


class TexturedMesh:
    """The tracked head mesh with the mean color of the training frames as texture."""

    def __init__(self, head: HeadModel, frames: TrainingFrames) -> None:
        self.head = head
        total = np.zeros((TEXTURE_SIZE * TEXTURE_SIZE, 4))
        for index in np.linspace(0, len(frames) - 1, min(TEXTURE_FRAMES, len(frames))).astype(int):
            pose = (frames.rotation[index], frames.translation[index])
            uv, covered, _ = self._rasterize(frames.vertices(index), *pose, frames.view(index))
            texels = (uv[covered] * (TEXTURE_SIZE - 1)).round().to(torch.int64).clamp(0, TEXTURE_SIZE - 1).cpu().numpy()
            alpha = frames.alpha[index][covered].cpu().numpy()
            rgb = frames.rgb[index][covered].cpu().numpy()
            weight = alpha / 255.0
            values = np.concatenate([rgb / 255.0, np.ones((len(texels), 1))], 1)
            cell = texels[:, 1] * TEXTURE_SIZE + texels[:, 0]
            for channel in range(4):
                total[:, channel] += np.bincount(cell, values[:, channel] * weight, TEXTURE_SIZE**2)
        self.texture = self._filled(total.reshape(TEXTURE_SIZE, TEXTURE_SIZE, 4)).to(head.v_template.device)

    @staticmethod
    def _filled(total: np.ndarray) -> Tensor:
        """Mean colors [1,3,S,S] from sums of colors and weights [S,S,4]; gaps are filled with ever coarser blurs."""
        color = total[..., :3].astype(np.float32)
        weight = total[..., 3].astype(np.float32)
        filled = np.where(weight[..., None] > 0.5, color / np.maximum(weight, 1e-6)[..., None], np.nan)
        for size in (3, 9, 27, 81, 243):
            soft = cv2.blur(color, (size, size)) / np.maximum(cv2.blur(weight, (size, size)), 1e-6)[..., None]
            usable = cv2.blur(weight, (size, size)) > 1e-4
            filled = np.where(np.isnan(filled) & usable[..., None], soft, filled)
        filled = np.nan_to_num(filled, nan=0.5)
        return torch.from_numpy(np.ascontiguousarray(filled.transpose(2, 0, 1)[None], np.float32))

    def _rasterize(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, camera: Camera
    ) -> tuple[Tensor, Tensor, Tensor]:
        """UV [H,W,2], coverage [H,W] bool and triangle indices [H,W] of the mesh.

        Args:
            vertices: [V,3] meters, skull frame.
            rotation: [3,3] skull frame -> world.
            translation: [3] meters, origin of the skull frame in the world.
            camera: [1].
        """
        seen = camera.to_camera(vertices @ rotation.T + translation)
        face, bary, _ = ops.mesh(seen[None], self.head.faces, camera.K, camera.width, camera.height)
        covered = face[0] >= 0
        corners = self.head.uv[self.head.uv_faces[face[0].clamp_min(0).to(torch.int64)]]
        return (corners * bary[0][..., None]).sum(-2), covered, face[0]

    def render_frame(self, frames: TrainingFrames, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The mesh [H,W,3] in 0..1 over white and its coverage [H,W], 0 or 1, at image `index` of `frames`."""
        pose = (frames.rotation[index], frames.translation[index])
        uv, covered, _ = self._rasterize(frames.vertices(index), *pose, frames.view(index))
        image = F.grid_sample(self.texture, uv[None] * 2 - 1, align_corners=True, padding_mode="border")
        rgb = image[0].permute(1, 2, 0)
        color = torch.where(covered[..., None], rgb, torch.ones_like(rgb))
        return color.cpu().numpy(), covered.float().cpu().numpy()
