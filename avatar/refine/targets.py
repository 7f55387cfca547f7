"""What frames are compared with: matted pictures over white, and the avatar drawn as they show it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.model.avatar import Avatar
from avatar.types import Camera, Gaussians

#: Variance (pixels^2) that splats are widened by at the resolution the avatar was trained at.
DILATION = 0.3
#: Pictures that are worked on side by side.
TOGETHER = 8


@dataclass(frozen=True)
class Targets:
    """n pictures over white at the size of the refinement."""

    rgb: Tensor  # [n,H,W,3] 0..1
    camera: Camera  # [n]
    step: Tensor  # [n] int, the state each one shows
    weight: Tensor  # [n] 0..1, trust in each picture
    dilation: float  # pixels^2, for the splats drawn at this size

    @staticmethod
    def of(frames: TrainingFrames, size: int, trained: int | None = None) -> Targets:
        """`frames` over white, area-averaged to a longer side of `size` pixels (never enlarged).

        `trained` is the longer side of the pictures the avatar was trained with; None: that of `frames`.
        """
        full = (frames.camera.width, frames.camera.height)
        scale = min(1.0, size / max(full))
        width, height = (max(1, round(side * scale)) for side in full)
        pictures = [
            _over_white(rgb, alpha, width, height)
            for rgb, alpha in zip(frames.rgb.numpy(), frames.alpha.numpy(), strict=True)
        ]
        # Averaging over 1/share pixels widens everything by the variance of that box, less what a pixel had before.
        share = max(width, height) / (trained or max(full))
        dilation = DILATION * share * share + max(0.0, 1 - share * share) / 12
        return Targets(
            torch.from_numpy(np.stack(pictures)),
            frames.camera.resized(width, height),
            frames.step,
            frames.weight,
            dilation,
        )

    def at(self, rows: Tensor) -> Targets:
        """The pictures `rows` [m] int."""
        camera = Camera(self.camera.K[rows], self.camera.world_to_cam[rows], self.camera.width, self.camera.height)
        return Targets(self.rgb[rows], camera, self.step[rows], self.weight[rows], self.dilation)

    def together(self, states: int) -> int:
        """How many of `states` moments are solved side by side: about TOGETHER pictures."""
        return max(1, TOGETHER * states // max(len(self.rgb), 1)) if len(self.rgb) > states else TOGETHER

    def of_states(self, states: Tensor) -> tuple[Targets, Tensor]:
        """The pictures of the states `states` [s], and for each of them which of those s it shows, [m]."""
        most = max((int(steps.max()) for steps in (self.step, states) if len(steps)), default=-1)
        place = torch.full((most + 1,), -1, dtype=torch.int64)
        place[states] = torch.arange(len(states))
        rows = torch.nonzero(place[self.step] >= 0)[:, 0]
        return self.at(rows), place[self.step[rows]]


def _over_white(rgb: np.ndarray, alpha: np.ndarray, width: int, height: int) -> np.ndarray:
    matte = alpha[..., None].astype(np.float32) / 255
    picture = rgb.astype(np.float32) / 255 * matte + 1 - matte
    if picture.shape[:2] == (height, width):
        return picture
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Drawn:
    """The avatar as m pictures see it."""

    rgb: Tensor  # [m,H,W,3] premultiplied
    alpha: Tensor  # [m,H,W]
    prepared: object  # for ops.splat_features


@torch.no_grad()
def draw(gaussians: Gaussians, targets: Targets, rows: Tensor | None = None) -> Drawn:
    """Draw `gaussians` [s,N] as `targets` [m] see them; `rows` [m] says which of the s each picture shows."""
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    if rows is not None and not torch.equal(rows, torch.arange(len(gaussians.means))):
        fields = tuple(field[rows] for field in fields)  # type: ignore[assignment]
    out = ops.splat(*fields, targets.camera, with_depth=False, dilation=targets.dilation)
    return Drawn(out.rgb, out.alpha, out.prepared)


@torch.no_grad()
def depth_and_torso(avatar: Avatar, means: Tensor, targets: Targets, drawn: Drawn) -> Tensor:
    """Blended camera depth (meters) and torso share of each pixel [m,H,W,3], premultiplied; the last one is unused.

    Args:
        means: [m,N,3] meters, world, of the Gaussians of each picture.
    """
    view = targets.camera.world_to_cam
    depth = (means * view[:, None, 2, :3]).sum(-1) + view[:, None, 2, 3]
    skin = avatar.rig.skin.expand_as(depth)
    return ops.splat_features(drawn.prepared, torch.stack([depth, skin, torch.zeros_like(depth)], -1))
