"""Measures at twice the size on which an avatar was trained: the size at which people look at it.

Needles: long thin Gaussians that an eye sees as strokes once the avatar is rendered larger than it was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops, reference
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import head_box
from avatar.data.training_frames import TrainingFrames, load_frames, over_white
from avatar.evaluation import metrics
from avatar.evaluation.frame_rendering import frame_gaussians, head_pixels, head_vertices, rendered
from avatar.model.avatar import Avatar
from avatar.rendering.backends import Rasterizer
from avatar.rendering.layer import splat_layer
from avatar.types import Camera, Gaussians

#: Frames of a row that are measured, evenly spread, and how many are in memory at once.
MOST_FRAMES = 60
_CHUNK = 8
FACTOR = 2
#: The capture stores true frames large enough from so many times the trained size on; they are compared at that size.
_STORED_FACTOR = 1.75

#: A Gaussian is a needle if its projection is more than `RATIO` times as long as wide and longer than `LENGTH` pixels
#: (its axis, four standard deviations), and if its blend weights sum to more than `VISIBLE` pixels.
RATIO = 8.0
LENGTH = 6.0
VISIBLE = 0.5


def projected_axes(gaussians: Gaussians, camera: Camera) -> tuple[Tensor, Tensor]:
    """Length and width of the projected Gaussians, pixels: four standard deviations along the axes, dilation included.

    Args:
        gaussians: [B,N], world.
        camera: [B].

    Returns:
        Lengths [B,N] and widths [B,N]; 0 for Gaussians that are culled.
    """
    found = reference.project(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, camera, dilation=gaussians.dilation
    )
    xx, xy, yy = found.conics.double().unbind(-1)
    middle = 0.5 * (xx + yy)
    spread = torch.hypot(0.5 * (xx - yy), xy)
    low = (middle - spread).clamp_min(1e-12)
    high = (middle + spread).clamp_min(1e-12)
    length = torch.where(found.visible, 4 / low.sqrt(), 0.0).float()
    width = torch.where(found.visible, 4 / high.sqrt(), 0.0).float()
    return length, width


@torch.no_grad()
def count_needles(gaussians: Gaussians, camera: Camera) -> Tensor:
    """Number of visible needles [B] in the images of B cameras.

    Args:
        gaussians: [B,N], world.
        camera: [B].
    """
    fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.sh)
    weights = ops.splat(
        *fields,
        camera,
        dilation=gaussians.dilation,
        with_weights=True,
        with_depth=False,
        layer=splat_layer(gaussians, camera),
    ).weights
    assert weights is not None
    length, width = projected_axes(gaussians, camera)
    return ((length > RATIO * width) & (length > LENGTH) & (weights > VISIBLE)).sum(-1)


@dataclass(frozen=True)
class DoubleSize:
    """Renders frames at the trained size and at twice that."""

    avatar: Avatar
    capture: Capture
    trained_size: int  # longer side, pixels
    rasterizer: Rasterizer

    @cached_property
    def vertices(self) -> Tensor:
        """Mask [V] of the vertices of the head without the torso."""
        return head_vertices(self.avatar.head)

    @property
    def has_truth(self) -> bool:
        """Whether the capture stores its frames at about twice the trained size or larger."""
        stored = self.capture.size_at(FACTOR * self.trained_size)
        return max(stored) >= _STORED_FACTOR * max(self.capture.size_at(self.trained_size))

    def measure(self, frames: TrainingFrames, indices: np.ndarray) -> dict[str, float]:
        """Columns of one row, means over at most MOST_FRAMES frames.

        Args:
            frames: the poses to render; the images are not used.
            indices: [n] int, rows of the frames in the capture.

        Returns:
            `needles_2x`, `sharpness_2x`, and where `has_truth` also `psnr_head_2x`, `psnr_head_bicubic` and
            `detail_2x`.
        """
        chosen = evenly(len(indices), MOST_FRAMES)
        values: list[dict[str, float]] = []
        with ops.one_thread():
            for start in range(0, len(chosen), _CHUNK):
                part = chosen[start : start + _CHUNK]
                truth = self._truth(indices[part])
                values += [self._frame(frames, int(index), truth, place) for place, index in enumerate(part)]
        return {name: float(np.nanmean([entry[name] for entry in values])) for name in values[0]} if values else {}

    def _truth(self, rows: np.ndarray) -> np.ndarray | None:
        """Frames [n,H,W,3] in 0..1 over white at twice the trained size; None if the capture does not store them."""
        if not self.has_truth:
            return None
        loaded = load_frames(self.capture, rows, FACTOR * self.trained_size, self.avatar.head)
        return over_white(loaded.rgb.cpu().numpy(), loaded.alpha.cpu().numpy())

    def _frame(self, frames: TrainingFrames, index: int, truth: np.ndarray | None, place: int) -> dict[str, float]:
        small, large = self._cameras(frames.view(index))
        with torch.no_grad():
            gaussians = frame_gaussians(self.avatar, frames, index)
        once = rendered(gaussians, small, self.rasterizer)[0]
        twice = rendered(gaussians, large, self.rasterizer)[0]
        enlarged = bicubic(once, large.width, large.height)
        box = head_box(head_pixels(self.vertices, frames, index, large), large.width, large.height)
        values = {
            "needles_2x": float(count_needles(gaussians, large)[0]),
            "sharpness_2x": gradient_energy(twice[box]) / max(gradient_energy(enlarged[box]), 1e-12),
        }
        if truth is not None:
            true = truth[place][box]
            values["psnr_head_2x"] = metrics.psnr(twice[box], true)
            values["psnr_head_bicubic"] = metrics.psnr(enlarged[box], true)
            values["detail_2x"] = gradient_energy(twice[box]) / max(gradient_energy(true), 1e-12)
        return values

    def _cameras(self, camera: Camera) -> tuple[Camera, Camera]:
        """The camera [1] at the trained size and at twice that; the second agrees with the stored frames."""
        width, height = self.capture.size_at(self.trained_size)
        large = (
            self.capture.size_at(FACTOR * self.trained_size) if self.has_truth else (FACTOR * width, FACTOR * height)
        )
        return camera.resized(width, height), camera.resized(*large)


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` evenly spread indices [n] out of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, int)


def bicubic(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image [H,W,3] in 0..1 enlarged to [height,width,3]."""
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def gradient_energy(image: np.ndarray) -> float:
    """Mean squared length of the luma gradient (Rec. 601, central differences) of an image [H,W,3] in 0..1."""
    luma = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return float(sum(np.square(slope).mean() for slope in np.gradient(luma)))
