"""What an avatar must beat: the tracked mesh with a mean texture, and the head that never changes its expression."""

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
    """The tracked head mesh with the mean color of the training frames in its UV map."""

    def __init__(self, head: HeadModel, frames: TrainingFrames) -> None:
        self.head = head
        total = np.zeros((TEXTURE_SIZE * TEXTURE_SIZE, 4))
        for index in np.linspace(0, len(frames) - 1, min(TEXTURE_FRAMES, len(frames))).astype(int):
            view = (frames.vertices(index), frames.rotation[index], frames.translation[index])
            uv, covered, _ = self._rasterize(*view, frames.view(index))
            spots = (uv[covered] * (TEXTURE_SIZE - 1)).round().to(torch.int64).clamp(0, TEXTURE_SIZE - 1).numpy()
            weight = frames.alpha[index].numpy()[covered.numpy()] / 255.0
            values = np.concatenate([frames.rgb[index].numpy()[covered.numpy()] / 255.0, np.ones((len(spots), 1))], 1)
            cell = spots[:, 1] * TEXTURE_SIZE + spots[:, 0]
            for channel in range(4):
                total[:, channel] += np.bincount(cell, values[:, channel] * weight, TEXTURE_SIZE**2)
        self.texture = self._filled(total.reshape(TEXTURE_SIZE, TEXTURE_SIZE, 4))

    @staticmethod
    def _filled(total: np.ndarray) -> Tensor:
        """Mean colors [1,3,S,S]; texels never seen take a blur of their neighbors, coarser and coarser."""
        color, weight = total[..., :3].astype(np.float32), total[..., 3].astype(np.float32)
        filled = np.where(weight[..., None] > 0.5, color / np.maximum(weight, 1e-6)[..., None], np.nan)
        for reach in (3, 9, 27, 81, 243):
            soft = cv2.blur(color, (reach, reach)) / np.maximum(cv2.blur(weight, (reach, reach)), 1e-6)[..., None]
            usable = cv2.blur(weight, (reach, reach)) > 1e-4
            filled = np.where(np.isnan(filled) & usable[..., None], soft, filled)
        filled = np.nan_to_num(filled, nan=0.5)
        return torch.from_numpy(np.ascontiguousarray(filled.transpose(2, 0, 1)[None], np.float32))

    def _rasterize(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, camera: Camera
    ) -> tuple[Tensor, Tensor, Tensor]:
        """UV [H,W,2], coverage [H,W] and face ids of skull-frame vertices [V,3] at a skull pose."""
        seen = camera.to_camera(vertices @ rotation.T + translation)
        face, bary, _ = ops.mesh(seen[None], self.head.faces, camera.K, camera.width, camera.height)
        covered = face[0] >= 0
        corners = self.head.uv[self.head.uv_faces[face[0].clamp_min(0).to(torch.int64)]]
        return (corners * bary[0][..., None]).sum(-2), covered, face[0]

    def render(
        self, vertices: Tensor, rotation: Tensor, translation: Tensor, camera: Camera
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mesh [H,W,3] in 0..1 over white, and where it is [H,W]."""
        uv, covered, _ = self._rasterize(vertices, rotation, translation, camera)
        picture = F.grid_sample(self.texture, uv[None] * 2 - 1, align_corners=True, padding_mode="border")
        rgb = picture[0].permute(1, 2, 0)
        return torch.where(covered[..., None], rgb, torch.ones_like(rgb)).numpy(), covered.float().numpy()
