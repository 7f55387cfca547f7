"""Training frames in memory: pictures, mattes and everything about them that does not change while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar.blendshapes import expression_features
from avatar.captured import Capture
from avatar.head.model import HeadModel
from avatar.records import Camera, HeadParams


@dataclass(frozen=True)
class TrainingFrames:
    """n frames of one camera with the head's tracked state."""

    rgb: Tensor  # [n,H,W,3] uint8 sRGB
    alpha: Tensor  # [n,H,W] uint8
    camera: Camera  # [1]
    vertices: Tensor  # [n,V,3] metres, skull frame
    features: Tensor  # [n,F] blendshape features
    rotation: Tensor  # [n,3,3] skull -> world
    translation: Tensor  # [n,3] metres

    def __len__(self) -> int:
        return len(self.rgb)

    def resized(self, scale: float) -> TrainingFrames:
        """The same frames with pictures area-averaged to `scale` (below 1) of their size."""
        width, height = round(self.camera.width * scale), round(self.camera.height * scale)
        shrink = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in self.rgb.numpy()]
        mattes = [cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA) for matte in self.alpha.numpy()]
        return replace(
            self,
            rgb=torch.from_numpy(np.stack(shrink)),
            alpha=torch.from_numpy(np.stack(mattes)),
            camera=self.camera.resized(width, height),
        )


def load_frames(capture: Capture, indices: Sequence[int] | np.ndarray, size: int, head: HeadModel) -> TrainingFrames:
    """Frames `indices` of `capture` at a longer side of `size` pixels.

    Args:
        head: the baked head of this person (`avatar.model.baked`).
    """
    rgb, alpha = capture.images(indices, size)
    params = capture.params(indices)
    vertices, features, rotation, translation = tracked_state(params, head)
    return TrainingFrames(
        torch.from_numpy(rgb),
        torch.from_numpy(alpha),
        capture.camera(size),
        vertices,
        features,
        rotation,
        translation,
    )


def tracked_state(params: HeadParams, head: HeadModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Skull-frame vertices [n,V,3], features [n,F] and skull poses [n,3,3], [n,3] of tracked `params`."""
    own = replace(params, identity=head.v_template.new_zeros(0))
    parts = [head.skull_vertices(own[start : start + 64]) for start in range(0, len(own), 64)]
    rotation, translation = head.skull_pose(own)
    return torch.cat(parts), expression_features(own), rotation, translation
