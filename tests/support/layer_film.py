"""Frames that show the mesh layer of a head and nothing else."""

from __future__ import annotations

import numpy as np
import torch

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.head.model import HeadModel
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.rendering.layer import layer_images
from avatar.types import Camera, HeadParams

FRAMES = 9


def filmed(head: HeadModel, person: HeadModel, params: HeadParams) -> TrainingFrames:
    """Frames of the mouth layer of `person` in other colors, with states of `head`."""
    camera = Camera.facing(500.0, 160, 160).repeated(FRAMES)
    shown = HeadStates.of(params, person)
    layer = MeshLayer(person)
    with torch.no_grad():
        texels = layer.texels() * torch.tensor([0.9, 0.8, 0.7])
        posed = layer.posed(shown.vertices, shown.rotation, shown.translation, torch.ones(0), texels)
        images = layer_images(posed, camera)
    rgb = torch.full((FRAMES, camera.height, camera.width, 3), 0.5)
    height, width = images.coverage.shape[1:]
    for frame, (x, y) in enumerate(images.origin.tolist()):
        window = rgb[frame, y : y + height, x : x + width]
        kept = 1 - images.coverage[frame, : window.shape[0], : window.shape[1], None]
        window.mul_(kept).add_(images.color[frame, : window.shape[0], : window.shape[1]])
    alpha = torch.full(rgb.shape[:3], 255, dtype=torch.uint8)
    return TrainingFrames(
        (255 * rgb).round().to(torch.uint8), alpha, camera, HeadStates.of(params, head), torch.arange(FRAMES),
        np.arange(FRAMES) / 25, torch.ones(FRAMES),
    )  # fmt: skip
