"""The two images that refinement compares: matted frames over white, and the rendered avatar."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames, over_white
from avatar.model.avatar import Avatar
from avatar.rendering.layer import splat_layer
from avatar.types import Camera, Gaussians

#: Images per chunk; the states of a chunk are solved in one batch.
CHUNK_IMAGES = 8


@dataclass(frozen=True)
class Targets:
    """n images over white at the size of the refinement."""

    rgb: Tensor  # [n,H,W,3] 0..1
    camera: Camera  # [n]
    step: Tensor  # [n] int, index of each image's state
    weight: Tensor  # [n] 0..1, weight of each image
    trained_scale: float  # size of these images relative to those on which the avatar was trained

    @staticmethod
    def of(frames: TrainingFrames, size: int, trained_size: int | None = None) -> Targets:
        """Frames over white, area-averaged.

        Args:
            frames: images, mattes and cameras.
            size: longer side, pixels; never enlarged.
            trained_size: longer side of the images on which the avatar was trained; None: that of `frames`.
        """
        full = (frames.camera.width, frames.camera.height)
        scale = min(1.0, size / max(full))
        width, height = (max(1, round(side * scale)) for side in full)
        images = np.empty((len(frames), height, width, 3), np.float32)
        for image, rgb, alpha in zip(images, frames.rgb.cpu().numpy(), frames.alpha.cpu().numpy(), strict=True):
            image[:] = _shrunk_over_white(rgb, alpha, width, height)
        return Targets(
            torch.from_numpy(images).to(frames.rgb.device),
            frames.camera.resized(width, height),
            frames.step,
            frames.weight,
            max(width, height) / (trained_size or max(full)),
        )

    def dilation(self, trained: float) -> float:
        """Variance (pixels^2) to be added to projected Gaussians at this size; `trained` is that of the training.

        Without the variance of the area that a pixel averages: it would make every silhouette wider, which depth fits.
        """
        return trained * self.trained_scale**2

    def select(self, rows: Tensor) -> Targets:
        """The images `rows` [m] int."""
        camera = Camera(self.camera.K[rows], self.camera.world_to_cam[rows], self.camera.width, self.camera.height)
        return Targets(self.rgb[rows], camera, self.step[rows], self.weight[rows], self.trained_scale)

    def chunk_size(self, states: int) -> int:
        """Number of states per chunk, out of `states`: about CHUNK_IMAGES images."""
        return max(1, CHUNK_IMAGES * states // max(len(self.rgb), 1)) if len(self.rgb) > states else CHUNK_IMAGES

    def of_states(self, states: Tensor) -> tuple[Targets, Tensor]:
        """The m images of the states `states` [s] int, and the position of each image's state in `states`, [m]."""
        last = max((int(steps.max()) for steps in (self.step, states) if len(steps)), default=-1)
        position = self.step.new_full((last + 1,), -1)
        position[states] = torch.arange(len(states), device=position.device)
        rows = torch.nonzero(position[self.step] >= 0)[:, 0]
        return self.select(rows), position[self.step[rows]]


def _shrunk_over_white(rgb: np.ndarray, alpha: np.ndarray, width: int, height: int) -> np.ndarray:
    image = over_white(rgb, alpha)
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Rendered:
    """The avatar rendered for m images."""

    rgb: Tensor  # [m,H,W,3] premultiplied
    alpha: Tensor  # [m,H,W]
    prepared: object  # projected and sorted Gaussians, for ops.splat_features
    layer: ops.SplatLayer | None  # behind the Gaussians


@torch.no_grad()
def render_targets(gaussians: Gaussians, targets: Targets, rows: Tensor | None = None) -> Rendered:
    """Render Gaussians with the cameras of `targets`.

    Args:
        gaussians: [s,N] world, of s states.
        targets: m images.
        rows: [m] int, the state of each image; None: image i has state i.
    """
    if rows is not None and not torch.equal(rows, torch.arange(len(gaussians.means), device=rows.device)):
        gaussians = gaussians.select(rows)
    layer = splat_layer(gaussians, targets.camera)
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    dilation = targets.dilation(gaussians.dilation)
    out = ops.splat(*fields, targets.camera, with_depth=False, dilation=dilation, layer=layer)
    return Rendered(out.rgb, out.alpha, out.prepared, layer)


@torch.no_grad()
def depth_and_torso(avatar: Avatar, means: Tensor, targets: Targets, rendered: Rendered) -> Tensor:
    """Blended camera depth (meters) and torso weight of each pixel [m,H,W,3], premultiplied; the last channel is 0.

    Args:
        avatar: the avatar.
        means: [m,N,3] meters, world, of the Gaussians of each image.
        targets: m images.
        rendered: the Gaussians rendered for these images.
    """
    view = targets.camera.world_to_cam
    depth = (means * view[:, None, 2, :3]).sum(-1) + view[:, None, 2, 3]
    skin = avatar.rig.skin.expand_as(depth)
    features = torch.stack([depth, skin, torch.zeros_like(depth)], -1)
    if rendered.layer is None:
        return ops.splat_features(rendered.prepared, features)
    images = rendered.layer.images
    of_layer = images.coverage * images.depth
    zero = torch.zeros_like(of_layer)  # the layer belongs to the skull
    return ops.splat_features(rendered.prepared, features, torch.stack([of_layer, zero, zero], -1))
