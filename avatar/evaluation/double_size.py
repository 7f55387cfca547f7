"""Measures at twice the size on which an avatar was trained: the size at which people look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.image_regions import head_box
from avatar.data.training_frames import TrainingFrames, load_frames, over_white
from avatar.evaluation import metrics
from avatar.evaluation.frame_rendering import frame_gaussians, head_pixels, head_vertices, rendered
from avatar.evaluation.needles import count_needles
from avatar.model.avatar import Avatar
from avatar.rendering.backends import Rasterizer
from avatar.types import Camera

#: Frames of a row that are measured, evenly spread, and how many are in memory at once.
MOST_FRAMES = 60
_CHUNK = 8
FACTOR = 2
#: The capture stores true frames large enough from so many times the trained size on; they are compared at that size.
_STORED_FACTOR = 1.75


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
